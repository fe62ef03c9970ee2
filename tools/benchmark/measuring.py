"""What all benchmarks are: they measure, tell what they found, and end in the same ways."""

from __future__ import annotations

import abc
import dataclasses
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import report, results_file, rows, terminal
from .progress import Progress
from .rows import Row


class Measuring(abc.ABC):
    """A benchmark's run, and what it has measured so far.

    Attributes:
        name: the benchmark's name.
        titles: by measure what it is called, with its unit.
        subjects: the contenders that it is about: without a number of each the run has failed.
        hindered: by contender that can't take part, why; known before anything is measured.
        facts: by contender, what the numbers depend on.
        progress: how far it is, once it measures.
    """

    name: str
    titles: Mapping[str, str]
    subjects: Sequence[str]
    hindered: Mapping[str, str] = {}
    facts: dict[str, dict[str, Any]]
    progress: Progress | None = None

    @abc.abstractmethod
    def measure(self, rounds: int) -> None:
        """Measures everything of all contenders.

        Args:
            rounds: how often each time is measured, 1 or more.

        Raises:
            KeyboardInterrupt: Ctrl-C or SIGTERM; what was measured stays.
        """

    @abc.abstractmethod
    def rows(self) -> list[Row]:
        """What was measured so far, and a row with the reason for what could not be."""

    @abc.abstractmethod
    def notes(self) -> list[str]:
        """What is said below the table."""

    def lines(self, found: Sequence[Row]) -> list[dict[str, Any]]:
        """Rows as lines of the CSV file."""
        return rows.lines(found, self.name, self.facts)


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a run ended.

    Args:
        exit_code: 0; 1 where a subject has no number; 128 and the signal's number after one.
        is_written: whether the CSV file has its results.
    """

    exit_code: int
    is_written: bool


def carry_out(measuring: Measuring, rounds: int, out: Path | None = None) -> Ending:
    """Measures, prints the table, and writes the CSV file.

    After Ctrl-C or SIGTERM both have what was measured until then, and say that it is not all.
    Without a single number the file stays as it was.

    Args:
        measuring: the benchmark's run.
        rounds: how often each time is measured, 1 or more.
        out: CSV file for the results, replaced where it exists; None: no file.

    Raises:
        ValueError: `rounds` is less than 1, or a subject can't take part.
        OSError: `out` can't be written.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be 1 or more.")
    for name in measuring.subjects:
        if name in measuring.hindered:
            raise ValueError(f"{name} can't be measured: {measuring.hindered[name]}")
    if out is not None:
        results_file.check_writable(out)
    _say_who_is_hindered(measuring)
    origin = results_file.origin()
    signal_number = _measured(measuring, rounds)
    is_complete = signal_number is None
    found = measuring.rows()
    judged = rows.judged(found, [origin | line for line in measuring.lines(found)])
    measured = {row.contender for row in judged if row.summary is not None}
    is_written = out is not None and bool(measured)
    if is_written:
        results_file.write_csv(out, measuring.lines(judged), origin | {"complete": is_complete})
    notes = [*measuring.notes(), *_said_of_the_end(measuring, out, bool(measured), is_complete)]
    report.show(terminal.console(), judged, measuring.titles, notes)
    if signal_number is not None:
        return Ending(128 + signal_number, is_written)
    return Ending(0 if measured.issuperset(measuring.subjects) else 1, is_written)


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _measured(measuring: Measuring, rounds: int) -> int | None:
    """Measures, and tells which signal ended it; None where it came to its end."""

    def end(number: int, frame: Any) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        measuring.measure(rounds)
    except _Terminated:
        return signal.SIGTERM
    except KeyboardInterrupt:
        return signal.SIGINT
    finally:
        signal.signal(signal.SIGTERM, before)
    return None


def _said_of_the_end(
    measuring: Measuring, out: Path | None, is_measured: bool, is_complete: bool
) -> list[str]:
    """How far it came, and where the results are."""
    said = []
    if not is_complete:
        reached = measuring.progress.reached if measuring.progress else "before it began"
        what = "this" if is_measured else "nothing"
        said.append(f"interrupted {reached}: {what} was measured so far")
    if out is not None:
        is_not = f"nothing was measured: '{out}' is not written"
        said.append(f"written: '{out}'" if is_measured else is_not)
    return said


def _say_who_is_hindered(measuring: Measuring) -> None:
    """Tells before the measuring, which takes long, what is known of it by then."""
    console = terminal.console(stderr=True)
    for name, why in measuring.hindered.items():
        console.print(f"{name} takes no part: {why}", markup=False, highlight=False)
