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
