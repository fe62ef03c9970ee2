"""The three files of MobileNet v1 as a lesson: README and code in step, and the files alike."""

import ast
import re
import textwrap
from pathlib import Path

import pytest
import shimzoo.models.mobilenet

FOLDER = Path(shimzoo.models.mobilenet.__file__).parent
STAGES = ("shimmed", "partially_native", "native")
README = (FOLDER / "README.md").read_text()
QUOTES = re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def lines_of(code):
    return [line.rstrip() for line in code.splitlines()]


def tree(stage):
    return ast.parse((FOLDER / f"{stage}.py").read_text())


def functions(stage):
    return [node for node in ast.walk(tree(stage)) if isinstance(node, ast.FunctionDef)]


def definitions(stage):
    """Names of functions, classes and methods in the order of the file."""
    names = []
    for node in tree(stage).body:
        if isinstance(node, ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = [child.name for child in node.body if isinstance(child, ast.FunctionDef)]
            names += [node.name, *(f"{node.name}.{method}" for method in methods)]
    return names


def test_every_code_block_of_the_readme_names_its_file():
    assert len(QUOTES) == README.count("```python") >= 15


@pytest.mark.parametrize(("name", "quote"), QUOTES)
def test_the_readme_quotes_the_code_as_it_is(name, quote):
    code, quoted = lines_of((FOLDER / name).read_text()), lines_of(quote)
    windows = (code[i : i + len(quoted)] for i in range(len(code)))
    assert any(lines_of(textwrap.dedent("\n".join(window))) == quoted for window in windows), quote


@pytest.mark.parametrize("stage", STAGES)
def test_files_can_be_read_in_one_sitting(stage):
    assert len((FOLDER / f"{stage}.py").read_text().splitlines()) < 250
    for function in functions(stage):
        assert function.end_lineno - function.lineno < 60, function.name


@pytest.mark.parametrize("first", STAGES)
@pytest.mark.parametrize("second", STAGES)
def test_what_two_files_share_is_in_the_same_order(first, second):
    ours, others = definitions(first), definitions(second)
    assert [name for name in ours if name in others] == [name for name in others if name in ours]
    assert "MobilenetV1._head" in ours


def test_the_native_file_needs_keras_alone():
    imported = set()
    for node in ast.walk(tree("native")):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level + (node.module or ""))
    assert imported == {"dataclasses", "typing", "keras", "..batch_norm", "."}
