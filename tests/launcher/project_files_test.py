"""Holds pyproject.toml and the locks against each other and against the tree."""

import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from shimzoo.tests.launcher.source_tree import ROOT, python_files

FLAVOURS = {"requirements.lock": "cpu", "requirements-cuda.lock": "cuda"}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_installed_by_pip(project):
    folders = [file.parent for file in python_files() if file.name == "__init__.py"]
    packages = {".".join(("shimzoo", *folder.parts)) for folder in folders}
    assert packages == set(project["tool"]["setuptools"]["packages"])


@pytest.mark.parametrize("name", FLAVOURS)
def test_lock_meets_the_declared_ranges(project, name):
    lock = (ROOT / name).read_text()
    pinned: dict[str, list[Version]] = {}
    for package, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE):
        pinned.setdefault(canonicalize_name(package), []).append(Version(version))
    extras = project["project"]["optional-dependencies"]
    for text in project["project"]["dependencies"] + extras[FLAVOURS[name]] + extras["test"]:
        requirement = Requirement(text)
        versions = pinned.get(canonicalize_name(requirement.name), [])
        assert versions, f"{name} lacks {text}"
        assert all(version in requirement.specifier for version in versions), text


@pytest.mark.parametrize("name", FLAVOURS)
def test_lock_pins_hashes_and_names_no_address(name):
    lock = (ROOT / name).read_text()
    assert not re.search(r"://|file:|^-", lock, re.MULTILINE)
    entries = re.split(r"^(?=\w)", lock, flags=re.MULTILINE)[1:]
    assert entries
    assert all("--hash=sha256:" in entry for entry in entries)


@pytest.mark.parametrize(
    "statement",
    [
        "import shimzoo",
        "from shimzoo import models; models.list_models()",
        "import sys; from shimzoo import cli; sys.argv = ['shimzoo', '--help']; cli.main()",
    ],
)
def test_light_uses_import_no_framework(statement):
    program = f"""
import sys
try:
    {statement}
except SystemExit as end:
    assert not end.code
heavy = {{"tensorflow", "keras", "tf_slim", "sklearn", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_each_behaviour_of_the_shim_has_tests_of_its_name():
    text = (ROOT / "shim" / "README.md").read_text()
    behaviours = re.findall(r"^\| G(\d+) \|", text, re.MULTILINE)
    assert behaviours == [str(number) for number in range(1, 21)]
    tests = "".join(f.read_text() for f in (ROOT / "tests").rglob("*_test.py"))
    # G20 is the README itself, whose examples a test runs.
    missing = [b for b in behaviours[:-1] if f"def test_g{int(b):02d}_" not in tests]
    assert not missing
