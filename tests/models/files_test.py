"""The files of every family as a lesson: README and code in step, and the files alike."""

import ast
import functools
import re
import textwrap
from pathlib import Path

import pytest
import shimzoo.models

MODELS = Path(shimzoo.models.__file__).parent
FOLDERS = sorted(str(file.parent.relative_to(MODELS)) for file in MODELS.rglob("variants.py"))
STAGES = ("shimmed", "partially_native", "native")
every_folder = pytest.mark.parametrize("folder", FOLDERS)
# A half-way file has layers of both kinds.
MOST_LINES = {"shimmed": 250, "partially_native": 350, "native": 250}
# What the versions share: the record, the net, and the tables of one with several architectures.
MOST_SHARED_LINES = 300
TABLES = ("architectures.py",)


def readme(folder):
    return (MODELS / folder / "README.md").read_text()


def quotes(folder):
    pattern = r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$"
    return re.findall(pattern, readme(folder), re.MULTILINE | re.DOTALL)


def lines_of(code):
    return [line.rstrip() for line in code.splitlines()]


@functools.cache
def tree(folder, stage):
    return ast.parse((MODELS / folder / f"{stage}.py").read_text())


def definitions(folder, stage):
    """Names of functions, classes and methods in the order of the file."""
    names = []
    for node in tree(folder, stage).body:
        if isinstance(node, ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = [child.name for child in node.body if isinstance(child, ast.FunctionDef)]
            names += [node.name, *(f"{node.name}.{method}" for method in methods)]
    return names


def code_of(folder, stage):
    """Functions and classes, and the lines of their code."""
    code = (MODELS / folder / f"{stage}.py").read_text()
    return {
        node.name: lines_of(ast.get_source_segment(code, node))
        for node in tree(folder, stage).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }


def is_model(folder, name):
    """Whether it is the name of the family's model, whose methods are what the versions show."""
    names = shimzoo.models.list_models()
    records = (shimzoo.models.get_variant(each) for each in names)
    return (folder, name) in {(record.family, record.model_class) for record in records}


def test_every_family_is_here():
    assert set(shimzoo.models.FAMILIES) == set(FOLDERS)


@every_folder
def test_every_code_block_of_the_readme_names_its_file(folder):
    assert len(quotes(folder)) == readme(folder).count("```python") >= 10


@pytest.mark.parametrize(
    ("folder", "file", "quote"), [(f, *quote) for f in FOLDERS for quote in quotes(f)]
)
def test_the_readme_quotes_the_code_as_it_is(folder, file, quote):
    code, quoted = lines_of((MODELS / folder / file).read_text()), lines_of(quote)
    windows = (code[i : i + len(quoted)] for i in range(len(code)))
    assert any(lines_of(textwrap.dedent("\n".join(window))) == quoted for window in windows), quote


@every_folder
@pytest.mark.parametrize("stage", STAGES)
def test_files_can_be_read_in_one_sitting(folder, stage):
    code = (MODELS / folder / f"{stage}.py").read_text()
    assert len(code.splitlines()) <= MOST_LINES[stage]
    for node in ast.walk(tree(folder, stage)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


@every_folder
@pytest.mark.parametrize("first", STAGES)
@pytest.mark.parametrize("second", STAGES)
def test_what_two_files_share_is_in_the_same_order(folder, first, second):
    ours, others = definitions(folder, first), definitions(folder, second)
    assert [name for name in ours if name in others] == [name for name in others if name in ours]
    assert {"_forward", "_body", "_head"} <= {name.rpartition(".")[2] for name in ours}


@every_folder
def test_the_half_way_files_have_one_policy(folder):
    methods = [name.rpartition(".")[2] for name in definitions(folder, "partially_native")]
    start = methods.index("_make_layers")
    assert methods[start : start + 3] == ["_make_layers", "build", "build_from_config"]
    assert not {"build", "build_from_config", "_make_layers"} & {
        name.rpartition(".")[2] for name in definitions(folder, "shimmed")
    }


@every_folder
def test_the_half_way_file_has_the_layers_of_the_native_one(folder):
    """So that the step between them is the stem, the head and the model, and nothing else."""
    half_way, native = code_of(folder, "partially_native"), code_of(folder, "native")
    shared = {name for name in half_way.keys() & native.keys() if not is_model(folder, name)}
    assert "Conv" in shared
    # Which layer is made of what: the stem's and the head's come later.
    if "layers_of" in shared:
        shared.remove("layers_of")
        assert set(half_way["layers_of"]) <= set(native["layers_of"])
    for name in shared:
        assert half_way[name] == native[name], name


@every_folder
@pytest.mark.parametrize("stage", STAGES)
def test_a_file_uses_what_it_defines(folder, stage):
    used = {node.id for node in ast.walk(tree(folder, stage)) if isinstance(node, ast.Name)}
    defined = set(code_of(folder, stage))
    assert {name for name in defined - used if not is_model(folder, name)} == set()


@every_folder
def test_the_shared_files_have_one_subject_each(folder):
    files = {file.name for file in (MODELS / folder).glob("*.py")}
    files -= {"__init__.py", *(f"{stage}.py" for stage in STAGES)}
    assert {"published.py", "variants.py"} <= files <= {"published.py", "variants.py", *TABLES}
    for file in files:
        assert len((MODELS / folder / file).read_text().splitlines()) <= MOST_SHARED_LINES, file


@every_folder
def test_a_figure_is_told_once(folder):
    for file in (MODELS / folder).glob("*.py"):
        told = re.findall(r"top-?[15]|\d %", file.read_text(), re.IGNORECASE)
        assert bool(told) == (file.name == "published.py"), file.name


@every_folder
def test_a_number_of_a_paper_is_in_no_version(folder):
    """They are in the files that all versions read; these here are of indices, halves and ReLU6."""
    allowed = {0, 1, 2, 3, 6}
    for stage in STAGES:
        numbers = {
            node.value
            for node in ast.walk(tree(folder, stage))
            if isinstance(node, ast.Constant) and type(node.value) in (int, float)
        }
        assert numbers <= allowed, stage


@every_folder
def test_the_native_file_needs_keras_alone(folder):
    imported = set()
    for node in ast.walk(tree(folder, "native")):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
    own = {"..batch_norm", "..regularizers", "."}
    assert imported <= {"collections.abc", "dataclasses", "typing", "keras", *own}
