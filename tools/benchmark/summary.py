"""Median and spread of what was measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np


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


def paired_ratio(sample: Sequence[float], baseline: Sequence[float]) -> Summary:
    """Sums up the round by round ratios of a sample to a baseline from the same rounds."""
    return Summary.of([ours / theirs for ours, theirs in zip(sample, baseline, strict=True)])
