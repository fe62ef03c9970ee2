"""One comparison of two models' arrays, and what it gave."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Rung:
    """What one comparison gave.

    Args:
        name: What was compared.
        compared: How many arrays.
        deviation: The largest difference, as a share of the largest absolute value of its array.
        tolerance: What it may be.
        worst: Which array has it.
        difference: What is not comparable, in a line; None if everything is.
    """

    name: str
    compared: int
    deviation: float
    tolerance: float
    worst: str
    difference: str | None = None

    @property
    def is_equal(self) -> bool:
        """Whether there is no difference but that of rounding. A deviation of NaN is one."""
        return self.difference is None and self.deviation <= self.tolerance


def compare_variables(
    first: Mapping[str, keras.Variable], second: Mapping[str, keras.Variable]
) -> Rung:
    """Compares variables by name, shape, whether they are trained, and order.

    Args:
        first: Name -> variable, in order of creation.
        second: Likewise.

    Returns:
        The rung "variables"; nothing is measured, so its deviation is 0.
    """
    missing = [f"only the first has {name}" for name in first if name not in second]
    missing += [f"only the second has {name}" for name in second if name not in first]
    differ = [
        f"{name} is {_kind(first[name])} and {_kind(second[name])}"
        for name in first
        if name in second and _kind(first[name]) != _kind(second[name])
    ]
    pairs = zip(first, second, strict=False)
    order = [f"{one} stands where the second has {two}" for one, two in pairs if one != two]
    text, *others = missing + differ or order or [None]
    if others:
        text = f"{text}, and {len(others)} more"
    if not first.keys() & second.keys():
        text = f"{text}; no name is in both: `rename` tells what is called how"
    return Rung("variables", len(first), 0.0, 0.0, "", text)


def _kind(weight: keras.Variable) -> str:
    sizes = "x".join(str(size) for size in weight.shape) or "a scalar"
    return f"{sizes}, {'trainable' if weight.trainable else 'not trainable'}"


def compare_arrays(
    rung: str, first: Mapping[str, Any], second: Mapping[str, Any], tolerance: float, least: float
) -> Rung:
    """Compares arrays by name.

    Args:
        rung: What is compared.
        first: Name -> array, or None where there is none, such as a gradient.
        second: Likewise, to be the same.
        tolerance: What two values may differ by, as a share of their array's largest.
        least: The smallest scale for that, as a share of the largest value of all arrays.

    Returns:
        The rung.
    """
    if list(first) != list(second):
        odd = sorted(set(first) ^ set(second)) or ["the order"]
        return Rung(rung, len(first), np.nan, tolerance, "", f"not in both: {', '.join(odd)}")
    deviations = {}
    largest = {
        name: np.abs(value).max(initial=0.0) for name, value in first.items() if value is not None
    }
    least_scale = least * max(largest.values(), default=0.0)
    for name in first:
        if (first[name] is None) != (second[name] is None):
            return Rung(rung, len(first), np.nan, tolerance, "", f"{name}: only one has it")
        if first[name] is None:
            continue
        actual, expected = np.asarray(second[name]), np.asarray(first[name])
        if actual.shape != expected.shape:
            text = f"{name}: shapes {list(expected.shape)} and {list(actual.shape)}"
            return Rung(rung, len(first), np.nan, tolerance, "", text)
        off = np.abs(actual - expected).max(initial=0.0)
        deviations[name] = float(off / (max(largest[name], least_scale) or 1.0))
    # NaN counts as more than any number.
    ranked = {name: np.nan_to_num(each, nan=np.inf) for name, each in deviations.items()}
    worst = max(ranked, key=ranked.__getitem__, default="")
    return Rung(rung, len(deviations), deviations.get(worst, 0.0), tolerance, worst)
