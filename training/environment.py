"""Numbers in this process' environment, where schedulers tell of a cluster."""

from __future__ import annotations

import os


def number(variable: str) -> int:
    """A number in the environment.

    Args:
        variable: Which one; it is there.

    Returns:
        Its value, 0 or more.

    Raises:
        ValueError: It is no number.
    """
    text = os.environ[variable]
    if not text.isdecimal():
        raise ValueError(f"{variable} is {text!r}, and has to be a number.")
    return int(text)
