"""Every command and snippet of README.md runs."""

import pathlib
import re
import shlex
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
# Run for real elsewhere: the demo's training by tests/training/demo_accuracy_test.py, the tests by
# themselves, and a fresh clone by continuous integration.
RUN_ELSEWHERE = ["git clone <this repository> shimzoo && cd shimzoo", "./zoo train", "./zoo test"]


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    return [line for block in blocks("sh") for line in block.splitlines()]


def test_the_readme_has_what_is_tested_here():
    assert len(blocks("python")) >= 2
    assert set(RUN_ELSEWHERE) < set(commands())


@pytest.mark.parametrize("command", [c for c in commands() if c not in RUN_ELSEWHERE])
def test_commands(command, tmp_path):
    program, *arguments = shlex.split(command)
    assert program == "./zoo", "the README's commands are the launcher's"
    # The launcher's environment is the one these tests run in.
    run = subprocess.run(
        [sys.executable, "-m", "shimzoo.cli", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout


@pytest.mark.parametrize("snippet", blocks("python"), ids=["tf1 code", "checkpoint"])
def test_snippets(snippet, tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", snippet],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr


def test_files_named_in_the_readme_exist():
    for name in re.findall(r"`([\w/.]+\.(?:md|py)|\.ci/run)`", README):
        found = (ROOT / name).exists() or (ROOT / "models/mobilenet" / name).exists()
        assert found, name
