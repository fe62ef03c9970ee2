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
# The least number of rounds whose bootstrapped interval of the median is one of about 95 %: of 2,
# 3, 4 and 5 it covers the median of any continuous distribution in 50, 75, 88 and 94 % of all runs;
# of 6 to 20, that of normal and log-normal samples in 91 to 95 % (1500 or 500 runs each).
LEAST_ROUNDS = 5


def has_interval(measure: str, rounds: int) -> bool:
    """Whether so many rounds of a measure pin its median down."""
    return rounds >= LEAST_ROUNDS and measure not in TAKEN_ONCE
