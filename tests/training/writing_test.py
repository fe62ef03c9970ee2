"""Which process of a run writes where, and that nothing is left of what is of no use."""

import os
import signal
import subprocess
import sys
import tempfile

import pytest
from shimzoo.training.run_directory import RunDirectory
from shimzoo.training.writing import place_to_write

KILLED = """
import os, signal, sys
from shimzoo.training.run_directory import RunDirectory
from shimzoo.training.writing import place_to_write

with place_to_write(RunDirectory(sys.argv[1]), is_chief=False) as written:
    written.create({})
    print(written.path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def run(tmp_path):
    return RunDirectory(tmp_path / "run")


def test_the_chief_writes_into_the_runs_directory_and_keeps_others_out(run, temporary):
    with place_to_write(run, is_chief=True) as written:
        assert written is run
        other = place_to_write(RunDirectory(run.path), is_chief=True)
        with pytest.raises(BlockingIOError, match="in use by another process"), other:
            pass
    assert run.path.exists()
    assert not list(temporary.iterdir())


def test_others_write_aside_and_leave_nothing(run, temporary):
    with (
        place_to_write(run, is_chief=False) as first,
        place_to_write(run, is_chief=False) as second,
    ):
        for written in (first, second):
            written.create({})
        assert set(temporary.iterdir()) == {first.path, second.path}
        assert first.path != second.path
    assert not list(temporary.iterdir())
    assert not run.path.exists()


def test_of_killed_ones_the_next_one_deletes_the_files_and_of_no_others(run, temporary, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = temporary / "shimzoo-aside-link"
    link.symlink_to(elsewhere)
    with place_to_write(run, is_chief=False) as living:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(run.path)],
            env={**os.environ, "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        left = temporary / os.path.basename(killed.stdout.strip())
        assert (left / "config.json").exists()
        with place_to_write(run, is_chief=False) as next_one:
            assert set(temporary.iterdir()) == {living.path, next_one.path, link}
    assert elsewhere.exists()
