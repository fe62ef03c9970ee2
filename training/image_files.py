"""Which image files a user means."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

# Of what `tf.io.decode_image` reads.
IMAGE_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")


def images_below(folder: pathlib.Path) -> list[pathlib.Path]:
    """All files in and below a folder that end in one of `IMAGE_SUFFIXES`, sorted."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
    )


def find_images(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The images that files and folders stand for.

    Args:
        paths: Files of any name, and folders, which stand for all files in and below them that
            end in one of `IMAGE_SUFFIXES`.

    Returns:
        The files, in the order given, those of a folder sorted.

    Raises:
        FileNotFoundError: There is no such file or folder, or no image in a folder.
    """
    found: list[pathlib.Path] = []
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"There is no image or folder '{path}'.")
        if not path.is_dir():
            found.append(path)
            continue
        inside = images_below(path)
        if not inside:
            raise FileNotFoundError(
                f"There is no image in the folder '{path}': it has no file that ends in "
                f"{', '.join(IMAGE_SUFFIXES)}."
            )
        found += inside
    return found
