"""What a benchmark has measured, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import rich.console
import rich.table

from .measures import LEAST_ROUNDS, RATIO
from .rows import Row

_COLUMNS = ("", "median", "quartiles", "95 %", "n", "target", "")


def show(
    console: rich.console.Console,
    rows: Sequence[Row],
    titles: Mapping[str, str],
    notes: Sequence[str] = (),
) -> None:
    """Prints the rows as a table.

    Args:
        console: where to.
        rows: the rows, those of a measure together.
        titles: by measure what it is called, with its unit.
        notes: what is said below it.
    """
    report = rich.table.Table(box=None, padding=(0, 1, 0, 0))
    for number, column in enumerate(_COLUMNS):
        report.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    last = Row("", "", "")
    for row in rows:
        if row.measure != last.measure:
            report.add_row(f"[bold]{titles[row.measure]}[/]")
        follows = (row.measure, row.contender) == (last.measure, last.contender)
        report.add_row(f"    / {row.against}" if follows else f"  {row.contender}", *_cells(row))
        if (rates := row.images_per_second) is not None:
            median, q1, q3 = map(_three_digits, rates)
            report.add_row("    images/s", median, f"{q1}..{q3}")
        last = row
    said = list(notes)
    if any(row.summary is not None for row in rows):
        console.print(report)
        said.insert(0, "n: rounds")
    if any(row.unit == RATIO for row in rows):
        said.insert(1, "/: ratio to another's within a round, median and interval over the rounds")
    if any(row.outcome == "unclear" for row in rows):
        said.append(
            "unclear: the target lies within the 95 % interval, or there are fewer than "
            f"{LEAST_ROUNDS} rounds, which have none; more rounds may tell"
        )
    said += dict.fromkeys(f"{row.contender}: {row.note}" for row in rows if row.note)
    for note in said:
        console.print(note, markup=False, highlight=False)


def _cells(row: Row) -> tuple[str, ...]:
    if row.summary is None:
        return ("-",)
    found = row.summary
    return (
        _number(row, found.median),
        f"{_number(row, found.q1)}..{_number(row, found.q3)}",
        f"{_number(row, found.low)}..{_number(row, found.high)}" if row.has_interval else "-",
        str(row.rounds),
        "" if row.bound is None else str(row.bound),
        row.outcome,
    )


def _number(row: Row, value: float) -> str:
    return f"{value:.3f}" if row.against else _three_digits(value)


def _three_digits(value: float) -> str:
    return f"{value:.{max(0, 3 - len(f'{abs(value):.0f}'))}f}"
