"""Median and spread of what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import scipy.stats


@dataclasses.dataclass(frozen=True)
class Summary:
    """Median and quartiles of a sample; the interquartile range is from `q1` to `q3`."""

    median: float
    q1: float
    q3: float

    @classmethod
    def of(cls, sample: Sequence[float]) -> Summary:
        """Sums up a sample of one number or more."""
        q1, median, q3 = np.percentile(sample, [25, 50, 75])
        return cls(float(median), float(q1), float(q3))


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Median of a ratio, and how far the rounds at hand pin it down.

    Args:
        median: the median.
        low, high: its 95 % confidence interval.
    """

    median: float
    low: float
    high: float

    @classmethod
    def paired(cls, sample: Sequence[float], baseline: Sequence[float]) -> Ratio:
        """Sums up the round by round ratios of a sample to a baseline from the same rounds."""
        ratios = np.divide(sample, baseline)
        if np.ptp(ratios) == 0:  # A single round, which leaves nothing to resample, or no spread.
            return cls(*[float(ratios[0])] * 3)
        interval = scipy.stats.bootstrap(
            [ratios], np.median, method="percentile", rng=np.random.default_rng(0)
        ).confidence_interval
        return cls(float(np.median(ratios)), float(interval.low), float(interval.high))
