"""What kinds of numbers the benchmarks take, and of how many rounds an interval tells something."""

from __future__ import annotations

TIMES = ("ms", "s")
# Of these more is better.
RATES = ("images/s",)
RATIO = "ratio"
# Counted, and so the same in every run.
COUNTS = ("ops", "entries")
# Of memory.
SIZES = ("MiB", "MB")
# Measures, and ratios of them, that a run takes once: they are what they are, without an interval.
TAKEN_ONCE = ("memory", "graph_ops", "memory_growth", "collections_growth", "global_ops_growth")
# The least number of rounds whose bootstrapped interval of the median is one of 95 %: of 5 it
# covers the true median in 94 % of all runs, of 4 in 87 %, of 3 in 75 %, of 2 in 50 %.
LEAST_ROUNDS = 5


def has_interval(measure: str, rounds: int) -> bool:
    """Whether so many rounds of a measure pin its median down."""
    return rounds >= LEAST_ROUNDS and measure not in TAKEN_ONCE
