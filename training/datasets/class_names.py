"""The names of classes, as text files have them."""

from __future__ import annotations

import pathlib
import re

# TF-Slim's datasets come with a labels.txt of such lines: "0:daisy".
_NUMBERED = re.compile(r"(-?\d+):(.*)")


def read_class_names(path: pathlib.Path) -> tuple[str, ...]:
    """Reads the names of classes.

    Args:
        path: A text file with a name a line, in the classes' order, or with TF-Slim's lines
            `number:name`, in any order.

    Returns:
        The names in the classes' order, one at least.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no text, names no class, or its numbers are not all from 0 up, each once.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no '{path}', which names the classes: write a line for each, as 0:daisy."
        )
    try:
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(
            f"'{path}' is not a text in UTF-8: it takes a line for each class."
        ) from error
    lines = [line for line in lines if line]
    if not lines:
        raise ValueError(f"'{path}' names no class: it takes a line for each, as 0:daisy.")
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if not any(numbered):
        return tuple(lines)
    names: dict[int, str] = {}
    for line, match in zip(lines, numbered, strict=True):
        if match is None or int(match[1]) in names or not match[2].strip():
            raise ValueError(
                f"'{path}' has the line {line!r}: where lines have numbers, each is a number, a "
                "colon and a name, as in 0:daisy, and each number is there once."
            )
        names[int(match[1])] = match[2].strip()
    missing = sorted(set(range(len(names))) - set(names))
    if missing:
        raise ValueError(
            f"'{path}' names no class {missing[0]}: its {len(names)} classes have the numbers 0 to "
            f"{len(names) - 1}."
        )
    return tuple(names[number] for number in range(len(names)))
