"""What benchmarks report: a row for each number, alike in all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from . import targets
from .measures import RATIO, has_interval
from .summary import Summary
from .targets import Bound


@dataclasses.dataclass(frozen=True)
class Row:
    """One number of a contender, or its ratio to another contender's.

    Args:
        contender: whose it is.
        measure: what was measured.
        unit: of the values; `RATIO` where it is a ratio to that of `against`.
        against: the other contender of a ratio; else empty.
        rounds: how often it was measured; 0 where it was not.
        summary: what came out; None where nothing did.
        bound: what it is to be; None: nothing is asked.
        note: why there is no number, or not of all rounds.
        images: in the step whose milliseconds it has; 0 where they are no step's.
    """

    contender: str
    measure: str
    unit: str
    against: str = ""
    rounds: int = 0
    summary: Summary | None = None
    bound: Bound | None = None
    note: str = ""
    images: int = 0

    @classmethod
    def of(
        cls,
        contender: str,
        measure: str,
        unit: str,
        sample: Sequence[float],
        note: str = "",
        images: int = 0,
    ) -> Row:
        """The row of a sample of one number or more."""
        summary = Summary.of(sample)
        return cls(contender, measure, unit, "", len(sample), summary, None, note, images)

    @classmethod
    def ratio(
        cls,
        contender: str,
        measure: str,
        sample: Sequence[float],
        against: str,
        baseline: Sequence[float],
    ) -> Row:
        """The row of the round by round ratios of two contenders' samples."""
        rounds = min(len(sample), len(baseline))
        return cls(contender, measure, RATIO, against, rounds, Summary.paired(sample, baseline))

    @property
    def outcome(self) -> str:
        """Says "ok", "missed", or nothing where nothing is asked or measured.

        "unclear" is a value whose interval holds the bound, or that too few rounds have for one.
        """
        if self.bound is None or self.summary is None:
            return ""
        found = self.summary
        return self.bound.outcome(self.measure, self.rounds, found.median, found.low, found.high)

    @property
    def has_interval(self) -> bool:
        """Whether the ends of its interval are told."""
        return self.summary is not None and has_interval(self.measure, self.rounds)

    @property
    def images_per_second(self) -> tuple[float, float, float] | None:
        """Of the step whose times it has, at their median and quartiles; None for other rows.

        Returns:
            The median, the lower and the upper quartile, in images/s.
        """
        if self.summary is None or not self.images:
            return None
        found, thousand = self.summary, 1e3 * self.images
        return thousand / found.median, thousand / found.q3, thousand / found.q1

    def line(self) -> dict[str, Any]:
        """The row as a line of a CSV file; empty where there is nothing."""
        summary: dict[str, Any] = dict.fromkeys(("median", "q1", "q3", "low", "high"), "")
        if self.summary is not None:
            summary = dataclasses.asdict(self.summary)
        if not self.has_interval:
            summary |= {"low": "", "high": ""}
        return {
            "contender": self.contender,
            "measure": self.measure,
            "unit": self.unit,
            "against": self.against,
            "rounds": self.rounds,
            **summary,
            "target": "" if self.bound is None else str(self.bound),
            "outcome": self.outcome,
            "note": self.note,
        }


def judged(rows: Sequence[Row], lines: Sequence[Mapping[str, Any]]) -> list[Row]:
    """The rows with what each is to be.

    Args:
        rows: the rows.
        lines: each as a line of the CSV file, with all that its number depends on.
    """
    return [
        dataclasses.replace(row, bound=targets.bound_of(line))
        for row, line in zip(rows, lines, strict=True)
    ]


def lines(
    rows: Sequence[Row], benchmark: str, facts: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The rows as lines of a CSV file, with all that the numbers depend on.

    Args:
        rows: the rows.
        benchmark: the benchmark's name.
        facts: by contender, what its process ran on: versions, device, sizes, precision.
    """
    return [
        {"benchmark": benchmark} | row.line() | dict(facts.get(row.contender, {})) for row in rows
    ]
