"""Holds the BUILD files and the order of the rooms against the imports in the code."""

import sys
from pathlib import Path

import pytest
from shimzoo.tests.launcher import source_tree

# Each imports only from those before it.
ROOMS = ("shim", "models", "checkpoints", "training", "tools", "cli")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    files = source_tree.python_files()
    assert Path("cli/__init__.py") in files
    return files


@pytest.fixture(scope="module")
def targets() -> dict[str, source_tree.Target]:
    return {target.label: target for target in source_tree.targets()}


def test_every_file_has_its_target(files, targets):
    missing = []
    for file in files:
        rule = "pytest_test" if file.name.endswith("_test.py") else "py_library"
        target = targets.get(source_tree.label_of(file))
        if target is None or (target.rule, target.sources) != (rule, (str(file),)):
            missing.append(f"{file.parent}/BUILD: {rule} {source_tree.label_of(file)} for {file}")
    assert not missing, "\n".join(missing)


def test_targets_name_every_import_as_a_dependency(files, targets):
    missing = []
    for file in files:
        label = source_tree.label_of(file)
        imported = {source_tree.own_file(name) for name in source_tree.imported_modules(file)}
        wanted = {source_tree.label_of(own) for own in imported - {None, file}}
        dependencies = targets[label].dependencies if label in targets else set()
        missing += [f"{label} needs the dependency {dep}" for dep in sorted(wanted - dependencies)]
    assert not missing, "\n".join(missing)


def test_each_target_stands_once():
    labels = [target.label for target in source_tree.targets()]
    assert len(labels) == len(set(labels)), sorted({x for x in labels if labels.count(x) > 1})


def test_dependencies_exist(targets):
    unknown = [
        f"{target.label} depends on {dep}"
        for target in targets.values()
        for dep in target.dependencies
        if dep not in targets
    ]
    assert not unknown, "\n".join(unknown)


def room_number(file: Path) -> int | None:
    return ROOMS.index(file.parts[0]) if file.parts[0] in ROOMS else None


def test_rooms_import_only_from_earlier_rooms(files):
    backward = []
    for file in files:
        own = {source_tree.own_file(name) for name in source_tree.imported_modules(file)} - {None}
        for other in own:
            if room_number(file) is None:
                allowed = file.parts[0] == "tests"
            elif room_number(other) is None:
                allowed = other == Path("__init__.py")
            else:
                allowed = room_number(other) <= room_number(file)
            if not allowed:
                backward.append(f"{file} imports {other}")
    assert not backward, "\n".join(backward)


def test_native_models_import_only_keras_and_models(files):
    foreign = []
    native = [file for file in files if file.match("models/*/native.py")]
    assert native
    for file in native:
        for module in source_tree.imported_modules(file):
            own = source_tree.own_file(module)
            top = module.split(".")[0]
            allowed = (
                own.parts[0] == "models" if own else top in {"keras", *sys.stdlib_module_names}
            )
            if not allowed:
                foreign.append(f"{file} imports {module}")
    assert not foreign, "\n".join(foreign)
