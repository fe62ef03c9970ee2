"""Shows on stderr how far a benchmark is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import rich.console
import rich.progress


class Progress:
    """A bar, or a line for each part where stderr is no terminal.

    Args:
        total: steps in all.
    """

    def __init__(self, total: int) -> None:
        self._console = rich.console.Console(stderr=True)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description:<36}"),
            rich.progress.BarColumn(),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TimeRemainingColumn(compact=True),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total)

    @contextlib.contextmanager
    def shown(self) -> Iterator[Progress]:
        """Shows it until the context ends."""
        with self._bar:
            yield self

    def now(self, what: str) -> None:
        """Tells which part begins."""
        self._bar.update(self._task, description=what)
        if not self._console.is_terminal:
            self._console.print(what, markup=False)

    def advance(self) -> None:
        """Tells that a step is done."""
        self._bar.advance(self._task)
