"""`start-up`: how long `import shimzoo` and `shimzoo --help` take, beside Python alone."""

from __future__ import annotations

import itertools
import platform
import subprocess
import sys
import time

from .driver import orders
from .measuring import Measuring
from .progress import Progress
from .rows import Row

MEASURE = "start"
PYTHON, AGAIN = "python", "python_again"
COMMANDS = {
    PYTHON: ("-c", "pass"),
    # The same: its ratio to the first shows how far any of these ratios can be trusted.
    AGAIN: ("-c", "pass"),
    "import": ("-c", "import shimzoo"),
    "help": ("-m", "shimzoo.cli", "--help"),
}
TITLES = {MEASURE: "start to end, ms"}
_WARM_UP_ROUNDS = 2


class StartUp(Measuring):
    """A run of `start-up`: processes that are started in turns, each to its end."""

    name = "start-up"
    titles = TITLES
    subjects = tuple(COMMANDS)

    def __init__(self) -> None:
        self._samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
        self._failures: dict[str, str] = {}
        self.facts = {name: {"python": platform.python_version()} for name in COMMANDS}

    def measure(self, rounds: int) -> None:
        """As in the base class."""
        self.progress = Progress((_WARM_UP_ROUNDS + rounds) * len(COMMANDS))
        with self.progress.shown() as progress:
            progress.now(self.titles[MEASURE], rounds)
            numbered = range(1 - _WARM_UP_ROUNDS, rounds + 1)
            for number, order in zip(numbered, orders(tuple(COMMANDS)), strict=False):
                progress.begin_round(number)
                for name in order:
                    if name not in self._failures:
                        self._start(name, is_noted=number > 0)
                    progress.advance()

    def _start(self, name: str, is_noted: bool) -> None:
        try:
            took = start(COMMANDS[name])
        except subprocess.CalledProcessError as error:
            words = [line.strip() for line in error.stderr.splitlines() if line.strip()]
            self._failures[name] = f"ended with exit code {error.returncode}: " + (
                words[-1] if words else "no reason given"
            )
            return
        if is_noted:
            self._samples[name].append(took)

    def rows(self) -> list[Row]:
        """Times, and their ratios to Python's."""
        return list(itertools.chain.from_iterable(self._rows_of(name) for name in COMMANDS))

    def _rows_of(self, name: str) -> list[Row]:
        taken, python = self._samples[name], self._samples[PYTHON]
        note = self._failures.get(name, "")
        if not taken:
            return [Row(name, MEASURE, "ms", note=note)] if note else []
        found = [Row.of(name, MEASURE, "ms", taken, note)]
        if name != PYTHON and python:
            found.append(Row.ratio(name, MEASURE, taken, PYTHON, python))
        return found

    def notes(self) -> list[str]:
        """As in the base class."""
        return [f"{AGAIN} is Python alone as well: what its ratio is off 1 is noise"]


def start(arguments: tuple[str, ...]) -> float:
    """The milliseconds that a Python process takes from its start to its end.

    Args:
        arguments: its command line after the interpreter.

    Raises:
        CalledProcessError: it ended with another exit code than 0.
    """
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    return (time.perf_counter() - begin) * 1e3
