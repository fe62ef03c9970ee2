"""Median and spread of what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats


@dataclasses.dataclass(frozen=True)
class Summary:
    """Median and spread of a sample.

    Args:
        median: the median.
        q1, q3: the quartiles; the interquartile range is from the one to the other.
        low, high: 95 % confidence interval of the median: how far the sample pins it down.
    """

    median: float
    q1: float
    q3: float
    low: float
    high: float

    @classmethod
    def of(cls, sample: Sequence[float]) -> Summary:
        """Sums up a sample of one number or more; the interval by bootstrap."""
        q1, median, q3 = (float(value) for value in np.percentile(sample, [25, 50, 75]))
        if np.ptp(sample) == 0:  # A single number, which leaves nothing to resample, or no spread.
            return cls(median, q1, q3, median, median)
        interval = scipy.stats.bootstrap(
            [sample], np.median, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        return cls(median, q1, q3, float(interval.low), float(interval.high))

    @classmethod
    def paired(cls, sample: Sequence[float], baseline: Sequence[float]) -> Summary:
        """Sums up the ratios of a sample to a baseline from the same rounds, round by round.

        A round that one of them did not come to any more does not count.
        """
        return cls.of([a / b for a, b in zip(sample, baseline, strict=False)])
