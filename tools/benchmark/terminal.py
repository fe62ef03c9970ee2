"""Where the benchmarks print: as wide as a terminal, and in files and pipes as wide as it takes."""

from __future__ import annotations

import rich.console

# In columns, beyond any line.
_UNLIMITED = 10_000


def console(stderr: bool = False) -> rich.console.Console:
    """A console that cuts and wraps nothing where what it prints goes to no terminal.

    Args:
        stderr: whether it prints there, and not to standard output.
    """
    made = rich.console.Console(stderr=stderr)
    if not made.is_terminal:
        made.width = _UNLIMITED
    return made
