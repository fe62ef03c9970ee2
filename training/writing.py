"""Where each process of a run writes: its first one into the run's directory, the others aside."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from .run_directory import RunDirectory

_PREFIX = "shimzoo-aside-"


@contextlib.contextmanager
def place_to_write(directory: RunDirectory, is_chief: bool) -> Iterator[RunDirectory]:
    """Gives a process the directory that it writes into, which no other one uses meanwhile.

    Values of variables that all processes have a part of are gathered from all of them, so each has
    to save when the chief does; what the others write is of no use, and lies where the system keeps
    temporary files.

    Args:
        directory: The run's.
        is_chief: Whether this process writes the run's files.

    Yields:
        `directory`, or a folder that is deleted at the end; of processes that were killed, the next
        one of the same user deletes it.

    Raises:
        BlockingIOError: Another process trains in `directory`.
    """
    if is_chief:
        with directory.in_use():
            yield directory
        return
    _delete_leftovers()
    folder, lock = _make_folder()
    try:
        yield RunDirectory(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make_folder() -> tuple[pathlib.Path, int]:
    """Makes a folder, locked as long as this process runs or the descriptor is open."""
    while True:
        folder = pathlib.Path(tempfile.mkdtemp(prefix=_PREFIX))
        # Before it is locked, another process can take it for a leftover.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _delete_leftovers() -> None:
    """Deletes the folders of processes that have ended without doing so."""
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # In use, another user's, or just being deleted.
        with contextlib.suppress(OSError), _opened(folder) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(lock).st_uid == os.getuid():
                shutil.rmtree(folder)


@contextlib.contextmanager
def _opened(folder: pathlib.Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
