"""What `shim-overhead` has measured, as a table and as lines of a CSV file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import rich.table

# With what they are called in the table.
TIMES = {
    "eager_inference": "eager inference, ms",
    "eager_training": "eager training, ms",
    "step_forward": "step forward, ms",
    "step_gradients": "step gradients, ms",
    "tracing": "tracing, ms",
}
GROWTHS = {
    "memory_mib": "memory growth, MiB",
    "collection_entries": "collections' growth",
    "graph_ops": "graph ops' growth",
}
TITLES = TIMES | GROWTHS
# What the shim's time may at most be, as a share of another contender's.
RATIO_TARGETS = {
    ("eager_inference", "official_shim"): 0.6,
    ("eager_inference", "keras_applications"): 1.0,
    ("eager_training", "official_shim"): 0.6,
    ("eager_training", "keras_applications"): 1.0,
    ("step_forward", "plain"): 1.02,
    ("step_gradients", "plain"): 1.02,
    ("tracing", "keras_applications"): 1.0,
}
# How much of each may be there more after many calls. 0.5 MiB is what the allocator keeps now and
# then; the smallest Python object left behind by each of 10,000 calls would be 0.15 MiB.
GROWTH_TARGETS = {"memory_mib": 0.5, "collection_entries": 0.0, "graph_ops": 0.0}


@dataclasses.dataclass(frozen=True)
class Row:
    """What came out for one contender and measure.

    Args:
        contender: the contender.
        measure: a key of `TIMES` (in ms) or `GROWTHS`.
        rounds: how often it was measured.
        median, q1, q3: median and quartiles.
        ratio_median, ratio_low, ratio_high: median of the shim's time to this contender's, round by
            round, and the median's 95 % confidence interval.
        target: what the ratio, or without one the median, is to be at most; None: nothing is asked.
    """

    contender: str
    measure: str
    rounds: int
    median: float | None
    q1: float | None = None
    q3: float | None = None
    ratio_median: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None
    target: float | None = None

    @property
    def outcome(self) -> str:
        """Says "ok", "missed", or nothing where nothing is asked or measured.

        "unclear" is a ratio above its target by less than the rounds tell apart.
        """
        value = self.median if self.ratio_median is None else self.ratio_median
        if self.target is None or value is None:
            return ""
        if value <= self.target:
            return "ok"
        return "missed" if self.ratio_low is None or self.ratio_low > self.target else "unclear"


def table(rows: Sequence[Row], left_out: Mapping[str, str]) -> rich.table.Table:
    """The rows as a table for the terminal.

    Args:
        rows: the rows, those of a measure together.
        left_out: contenders that did not run, with the reason.

    Returns:
        The table.
    """
    columns = ("", "median", "quartiles", "ratio", "95 %", "target", "")
    report = rich.table.Table(box=None, padding=(0, 1, 0, 0), caption_justify="left")
    for number, column in enumerate(columns):
        report.add_column(column, justify="left" if number == 0 else "right", no_wrap=True)
    measure = None
    for row in rows:
        if row.measure != measure:
            measure = row.measure
            report.add_row(f"[bold]{TITLES[measure]}[/]")
        report.add_row(
            f"  {row.contender}",
            _number(row.median, 1),
            _range(row.q1, row.q3, 1),
            _number(row.ratio_median, 3),
            _range(row.ratio_low, row.ratio_high, 3),
            "" if row.target is None else f"≤ {row.target:g}",
            row.outcome,
        )
    notes = ["ratio: the shim's time to this contender's, median over the rounds and its interval"]
    if any(row.outcome == "unclear" for row in rows):
        notes.append("unclear: above the target by less than this many rounds tell apart")
    notes += [f"{name} is left out: {why}" for name, why in left_out.items()]
    report.caption = "\n".join(notes)
    return report


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _range(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None else f"{low:.{digits}f}..{high:.{digits}f}"


def csv_lines(rows: Sequence[Row], facts: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as lines of a CSV file, with all that the numbers depend on.

    Args:
        rows: the rows.
        facts: by contender, what its process runs on: versions, device, sizes, precision.
    """
    return [
        dataclasses.asdict(row) | {"outcome": row.outcome} | facts[row.contender] for row in rows
    ]
