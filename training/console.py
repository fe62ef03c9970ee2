"""Where a run tells what goes on."""

from __future__ import annotations

import rich.console


def make_console(is_quiet: bool = False) -> rich.console.Console:
    """Makes what prints lines as they are, however long."""
    return rich.console.Console(highlight=False, soft_wrap=True, quiet=is_quiet)


def tell(line: str) -> None:
    """Shows what only this process may know, so that it is shown by any process of a run."""
    make_console().print(line, markup=False)
