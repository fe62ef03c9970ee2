"""Files and directories that appear whole or not at all."""

from __future__ import annotations

import contextlib
import datetime
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator


def new_path(parent: pathlib.Path, name: str) -> pathlib.Path:
    """A path that is not there yet: `<name>-<time>` in a directory."""
    time = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    path = parent / f"{name}-{time}"
    number = 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{time}-{number}"
    return path


def check_target(
    path: pathlib.Path, overwrite: bool, is_replaceable: Callable[[pathlib.Path], bool]
) -> None:
    """Refuses a target before the long work that it is for.

    Args:
        path: What is to be written, a file or a directory.
        overwrite: Whether an existing one may be replaced.
        is_replaceable: Tells an older one of the same kind from what must not be lost.

    Raises:
        FileExistsError: It exists and may not be replaced.
        NotADirectoryError: One of its parents is a file.
        PermissionError: It can't be written.
    """
    is_empty = path.is_dir() and not any(path.iterdir())
    if path.exists() and not is_empty:
        if not is_replaceable(path):
            raise FileExistsError(
                f"'{path}' exists and is something else than what would be written: choose another "
                "name."
            )
        if not overwrite:
            raise FileExistsError(
                f"'{path}' exists already: pass --overwrite to replace it, or choose another name."
            )
    check_writable(path.parent, path)


def check_writable(folder: pathlib.Path, target: pathlib.Path) -> None:
    """Finds out whether files can be made in a folder, which itself may have to be made.

    Args:
        folder: The folder.
        target: What messages say can't be made.

    Raises:
        NotADirectoryError: It or one of its parents is a file.
        PermissionError: It can't be written.
    """
    places = (folder.absolute(), *folder.absolute().parents)
    existing = next(place for place in places if place.exists())
    if not existing.is_dir():
        raise NotADirectoryError(f"'{target}' can't be made: '{existing}' is a file.")
    try:
        # Permissions alone don't tell: there are read-only and special file systems, and root.
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise PermissionError(
            f"'{target}' can't be written ({error.strerror}): choose another place."
        ) from error


@contextlib.contextmanager
def published(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a path to write to, whose file or directory takes the target's place at the end.

    Args:
        path: The target, checked; missing parents are made.

    Yields:
        A path of the same name, in a directory on the same file system. If the block raises, what
        was written there is deleted, and an older target stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
        written = pathlib.Path(scratch) / path.name
        yield written
        if not path.is_dir():
            os.replace(written, path)
            return
        old = pathlib.Path(scratch) / "old"
        os.rename(path, old)  # A directory that has files can't be replaced at once.
        try:
            os.rename(written, path)
        except OSError:
            os.rename(old, path)
            raise
