"""Writing beside the place where a file is to be, so that a death leaves the old one or the new."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# The folder of a process is `.<name>.<random><_SUFFIX>`, with this file in it, which is locked for
# as long as the process lives.
_SUFFIX = ".writing"
_LOCK = ".lock"


@contextlib.contextmanager
def scratch_directory(path: Path) -> Iterator[Path]:
    """A directory beside `path`, on the same file system, that does not outlive the writing.

    Those that killed processes left, which were writing the same path, are removed; so are
    directories that were made for a file that could not be written.

    Args:
        path: What is to be written; missing directories are made.

    Raises:
        OSError: Something could not be written.
    """
    try:
        with (
            _parent_of(path),
            tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as made,
            _locked(Path(made)) as scratch,
        ):
            yield scratch
    except OSError as error:
        raise OSError(f"{path} could not be written: {error}") from error


@contextlib.contextmanager
def _parent_of(path: Path) -> Iterator[None]:
    """Makes a path's directory, which stays if nothing fails."""
    parents = [path.parent, *path.parent.parents]
    made = [parent for parent in parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        yield
    except BaseException:
        for directory in made:
            with contextlib.suppress(OSError):  # Not made, or another process writes in it too.
                directory.rmdir()
        raise


@contextlib.contextmanager
def _locked(made: Path) -> Iterator[Path]:
    """A directory in its final place, which says that its process lives."""
    scratch = made.with_name(made.name + _SUFFIX)
    with open(made / _LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # By this name others find it; so it is never there without its lock.
        made.rename(scratch)
        try:
            yield scratch
        finally:
            scratch.rename(made)


def _remove_abandoned(path: Path) -> None:
    for file in path.parent.iterdir():
        is_one = file.name.startswith(f".{path.name}.") and file.name.endswith(_SUFFIX)
        if is_one and _is_abandoned(file):
            shutil.rmtree(file, ignore_errors=True)  # Another process may be removing it as well.


def _is_abandoned(scratch: Path) -> bool:
    """Whether no process writes in a directory any more: the system frees the locks of the dead."""
    try:
        with open(scratch / _LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # Locked, gone, somebody else's, or on a file system without locks.
        return False
    return True
