"""Shows on stderr how far a benchmark is."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import rich.progress

from . import terminal

# Where there is no bar, how long nothing is said of the rounds.
_SECONDS_OF_SILENCE = 10.0


class Progress:
    """A bar, or lines where stderr is no terminal.

    Args:
        total: steps in all.

    Attributes:
        reached: where it is, as it is told of a run that was interrupted there.
    """

    def __init__(self, total: int) -> None:
        self.reached = "before it began"
        self._what, self._rounds, self._told = "", 0, 0.0
        self._console = terminal.console(stderr=True)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description:<36}", markup=False),
            rich.progress.BarColumn(bar_width=12),
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

    def now(self, what: str, rounds: int = 0) -> None:
        """Tells which part begins, and of how many rounds it is where it has some."""
        self._what, self._rounds = what, rounds
        self.reached = f"after 0 of {rounds} rounds of {what}" if rounds else f"while {what}"
        self._bar.update(self._task, description=what)
        self._tell(what)

    def begin_round(self, number: int) -> None:
        """Tells which round begins: from 1 on; those before are for warming up."""
        if not self._rounds:
            return
        which = f"round {number} of {self._rounds}" if number > 0 else "warming up"
        self.reached = f"after {max(0, number - 1)} of {self._rounds} rounds of {self._what}"
        self._bar.update(self._task, description=f"{self._what}: {which}")
        if time.monotonic() - self._told > _SECONDS_OF_SILENCE:
            self._tell(f"{self._what}: {which}")

    def advance(self) -> None:
        """Tells that a step is done."""
        self._bar.advance(self._task)

    def _tell(self, line: str) -> None:
        self._told = time.monotonic()
        if not self._console.is_terminal:
            self._console.print(line, markup=False, highlight=False)
