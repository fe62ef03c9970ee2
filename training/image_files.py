"""Which image files a user means."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

# Of what `tf.io.decode_image` reads.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")


class FoundFiles(NamedTuple):
    """What files and folders stand for.

    Args:
        images: The images.
        others: Files beside them in folders, which end in none of `IMAGE_SUFFIXES`. Hidden ones,
            which systems and programs put there, are not among them.
    """

    images: list[pathlib.Path]
    others: list[pathlib.Path]


def images_below(folder: pathlib.Path) -> FoundFiles:
    """All files in and below a folder, sorted."""
    found = FoundFiles([], [])
    for file in sorted(folder.rglob("*")):
        is_image = file.suffix.lower() in IMAGE_SUFFIXES
        is_hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if (is_image or not is_hidden) and file.is_file():
            (found.images if is_image else found.others).append(file)
    return found


def find_images(paths: Sequence[pathlib.Path]) -> FoundFiles:
    """The images that files and folders stand for.

    Args:
        paths: Files of any name, and folders, which stand for all files in and below them that
            end in one of `IMAGE_SUFFIXES`.

    Returns:
        The files, in the order given, those of a folder sorted.

    Raises:
        FileNotFoundError: There is no such file or folder, or no image in a folder.
    """
    found = FoundFiles([], [])
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"There is no image or folder '{path}'.")
        if not path.is_dir():
            found.images.append(path)
            continue
        inside = images_below(path)
        if not inside.images:
            raise FileNotFoundError(
                f"There is no image in the folder '{path}': it has no file that ends in "
                f"{', '.join(IMAGE_SUFFIXES)}."
            )
        found.images.extend(inside.images)
        found.others.extend(inside.others)
    return found


def describe_others(others: Sequence[pathlib.Path]) -> str | None:
    """How many files were left out, with an example, in a line without a full stop.

    Args:
        others: As `FoundFiles` has them.

    Returns:
        The line; None if there are none.
    """
    if not others:
        return None
    endings = ", ".join(IMAGE_SUFFIXES)
    if len(others) == 1:
        return f"1 file that ends in none of {endings}: '{others[0]}'"
    return f"{len(others):,} files that end in none of {endings}, such as '{others[0]}'"
