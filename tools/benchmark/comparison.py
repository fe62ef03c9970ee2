"""`compare`: what got faster or slower between two files of results, beyond noise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import rich.markup
import rich.table

from . import results_file, terminal
from .measures import COUNTS, LEAST_ROUNDS, RATES, SIZES

# What says which number it is, in any benchmark's file.
_KEY = (
    "benchmark",
    "model",
    "stage",
    "backend",
    "contender",
    "measure",
    "against",
    "dataset",
    "preprocessing",
    "batch_size",
    "image_size",
    "precision",
    "jit_compile",
    "strategy",
    "replicas",
    "options",
)
_Key = tuple[str, ...]
# What numbers depend on that are compared all the same, and a reader has to know.
_CIRCUMSTANCES = (
    *("cpu", "cores", "threads", "gpu", "python"),
    *("tensorflow", "keras", "jax", "torch", "torchvision", "timm", "tf_slim", "git_commit"),
)
# Of a share of a ceiling more is better, as of rates and of their ratios.
_SHARE = "_share"
# The most memory of a process that does the very same differed by up to 5 %
# between runs (the matrix product's, 1110 to 1165 MiB); what calls leave behind, by half a MiB.
_SIZE_NOISE, _LEAST_SIZE_NOISE = 0.05, 0.5
# The half width of a median's interval in interquartile ranges, over the root of the number of
# values, so that two intervals that do not meet differ at about 95 %: McGill, Tukey and Larsen,
# "Variations of box plots", The American Statistician 32 (1978).
_NOTCH = 1.57
_LEGEND = (
    "%: + is worse and - is better, of the medians; of images/s and shares, of 1 over them",
    "in brackets what is judged: a time's notch, a ratio's 95 % interval, what memory differs by "
    f"from run to run; same: they meet; unclear: fewer than {LEAST_ROUNDS} rounds, which have none",
)


@dataclasses.dataclass(frozen=True)
class Value:
    """A median and how far its rounds pin it down.

    Args:
        median: the median.
        interval: the ends of its interval; None where its rounds are too few for one.
        unit: of the values.
        more_is_better: whether more of it is better.
    """

    median: float
    interval: tuple[float, float] | None
    unit: str
    more_is_better: bool = False

    def __str__(self) -> str:
        median = f"{self.median:.4g}"
        if self.interval is None or self.unit in COUNTS:
            return median
        return f"{median} ({self.interval[0]:.4g}..{self.interval[1]:.4g})"


@dataclasses.dataclass(frozen=True)
class Change:
    """A number of both files.

    Args:
        name: which.
        before: that of the first file.
        after: that of the second.
    """

    name: str
    before: Value
    after: Value

    @property
    def percent(self) -> float:
        """How much more it takes, in percent: time or memory, or time for an image.

        Infinite where there was none before.
        """
        base, other = self.before.median, self.after.median
        if self.before.more_is_better:
            base, other = other, base
        if base > 0:
            return 100 * (other / base - 1)
        return 0.0 if other == base else math.copysign(math.inf, other - base)

    @property
    def outcome(self) -> str:
        """Says "better" or "worse", "same" where the intervals meet, "unclear" for few rounds."""
        if self.before.interval is None or self.after.interval is None:
            return "unclear"
        (low, high), (other_low, other_high) = self.before.interval, self.after.interval
        if low <= other_high and other_low <= high:
            return "same"
        return "worse" if self.percent > 0 else "better"


def run(before: Path, after: Path, fail_above: float | None = None) -> bool:
    """Compares two files and prints the table.

    Args:
        before: a file that a benchmark's `--out` wrote.
        after: another.
        fail_above: how many percent worse, beyond noise, is too much; None for any number.

    Returns:
        Whether nothing is too much worse, and nothing was lost where `fail_above` says what is too
        much.

    Raises:
        OSError: a file can't be read.
        ValueError: a file has no results, they have none in common, or `fail_above` is negative.
    """
    if fail_above is not None and not 0 <= fail_above < math.inf:
        raise ValueError(f"fail_above={fail_above:g}: must be 0 or more, in percent.")
    lines = [results_file.read_csv(path) for path in (before, after)]
    values = [dict(_values(of_file)) for of_file in lines]
    names = _names(values[0])
    changes = [
        Change(names[key], values[0][key], values[1][key]) for key in values[0] if key in values[1]
    ]
    if not changes:
        raise ValueError(f"'{before}' and '{after}' have no result in common.")
    alone = [[key for key in one if key not in other] for one, other in (values, values[::-1])]
    too_much = [
        change
        for change in changes
        if fail_above is not None and change.outcome == "worse" and change.percent > fail_above
    ]
    notes = [
        f"'{path}' is of a run that was interrupted"
        for path, of_file in zip((before, after), lines, strict=True)
        if not results_file.is_complete(of_file)
    ]
    notes += differences(*lines)
    notes += [
        f"{len(keys)} result(s) only in '{path}'"
        for keys, path in zip(alone, (before, after), strict=True)
        if keys
    ]
    notes += dict.fromkeys(
        f"{line['contender']}: {line['note']}" for line in lines[1] if line.get("note")
    )
    if fail_above is not None:
        notes.append(
            f"{len(too_much)} result(s) worse by more than {fail_above:g} %, {len(alone[0])} lost"
        )
    console = terminal.console()
    lost = [(names[key], values[0][key]) for key in alone[0]]
    console.print(table(changes, lost))
    for note in (*_LEGEND, *notes):
        console.print(note, markup=False, highlight=False)
    return not too_much and (fail_above is None or not lost)


def _values(lines: Sequence[Mapping[str, str]]) -> Iterator[tuple[_Key, Value]]:
    """The numbers of a file by what says which they are; without what was not taken.

    Ratios of counts and sizes are left out, which say no more than these.
    """
    units = {line["measure"]: line["unit"] for line in lines if not line.get("against")}
    for line in lines:
        unit = units.get(line["measure"], line["unit"])
        if not line.get("median") or (line.get("against") and unit in (*COUNTS, *SIZES)):
            continue
        key = tuple(line.get(name, "") for name in _KEY)
        more_is_better = unit in RATES or line["measure"].endswith(_SHARE)
        yield key, Value(float(line["median"]), _interval(line), line["unit"], more_is_better)


def _interval(line: Mapping[str, str]) -> tuple[float, float] | None:
    """What a number's interval must not meet for another to differ from it; None for few rounds."""
    median, rounds = float(line["median"]), int(line["rounds"])
    if line["unit"] in COUNTS:
        return median, median
    if line["unit"] in SIZES:  # Each of two numbers has half of what both may differ by.
        half = max(_LEAST_SIZE_NOISE, _SIZE_NOISE * median) / 2
        return median - half, median + half
    ends = [line[name] for name in (("low", "high") if line["against"] else ("q1", "q3"))]
    if rounds < LEAST_ROUNDS or not all(ends):
        return None
    first, last = map(float, ends)
    if line["against"]:
        return first, last
    half = _NOTCH * (last - first) / math.sqrt(rounds)
    return median - half, median + half


def _names(keys: Iterable[_Key]) -> dict[_Key, str]:
    """What numbers are called: whose, of what, to whose, and what else tells them apart."""
    groups: dict[str, list[_Key]] = {}
    for key in keys:
        named = dict(zip(_KEY, key, strict=True))
        against = f" / {named['against']}" if named["against"] else ""
        groups.setdefault(f"{named['contender']}: {named['measure']}{against}", []).append(key)
    found = {}
    for name, alike in groups.items():
        telling = [place for place in range(len(_KEY)) if len({key[place] for key in alike}) > 1]
        for key in alike:
            others = [f"{_KEY[place]}={key[place] or 'none'}" for place in telling]
            found[key] = f"{name} ({', '.join(others)})" if others else name
    return found


def differences(
    before: Sequence[Mapping[str, str]], after: Sequence[Mapping[str, str]]
) -> list[str]:
    """In what two files differ that their numbers depend on.

    Args:
        before: lines of the first.
        after: lines of the second.

    Returns:
        A text each.
    """
    found = []
    for name in _CIRCUMSTANCES:
        first, second = (
            sorted({line[name] for line in lines if line.get(name)}) for lines in (before, after)
        )
        if first and second and first != second:
            found.append(f"other {name}: {', '.join(first)} before, {', '.join(second)} after")
    return found


def table(changes: Sequence[Change], lost: Sequence[tuple[str, Value]] = ()) -> rich.table.Table:
    """The changes as a table for the terminal, and below them what only the first file has."""
    report = rich.table.Table(box=None, padding=(0, 1, 0, 0))
    for number, column in enumerate(("", "before", "after", "unit", "%", "")):
        report.add_column(column, justify="left" if number == 0 else "right", no_wrap=number > 0)
    for change in changes:
        report.add_row(
            rich.markup.escape(change.name),
            str(change.before),
            str(change.after),
            change.before.unit,
            f"{change.percent:+.1f}",
            change.outcome,
        )
    for name, value in lost:
        report.add_row(rich.markup.escape(name), str(value), "-", value.unit, "", "lost")
    return report
