"""What the processes of a run find out of each other, who can only gather numbers.

Whether they have the same settings is told by digests of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

# Numbers of a SHA-256, of 32 bits each: TensorFlow adds up float64, which holds them exactly.
_DIGEST = 8


def differing(
    settings: Mapping[str, object], gather: Callable[[Sequence[int]], np.ndarray]
) -> list[str]:
    """Finds what other processes have otherwise.

    Args:
        settings: What this process was started with, by name; values whose `repr` says all.
        gather: Called by all processes at the same time with as many numbers, 0 to below 2**32;
            gives those of all, `[processes, numbers]`.

    Returns:
        The names of the settings that are not the same in all processes, in order.

    Raises:
        ValueError: The processes don't know the same settings; raised by all of them.
    """
    names = sorted(settings)
    values = [settings[name] for name in names]
    of_all = gather([*_digest(names), *_digest(values)])
    if _are_equal(of_all):
        return []
    if not _are_equal(of_all[:, :_DIGEST]):
        raise ValueError(
            f"The {len(of_all)} processes run different versions of shimzoo, whose settings are "
            "not the same ones: install one version on all machines."
        )
    each = gather([number for value in values for number in _digest(value)])
    by_setting = each.reshape(len(each), len(names), _DIGEST)
    return [name for i, name in enumerate(names) if not _are_equal(by_setting[:, i])]


def union(numbers: Collection[int], gather: Callable[[Sequence[int]], np.ndarray]) -> list[int]:
    """Finds the numbers that any process has.

    Args:
        numbers: Those of this process, 0 to below 2**53; each has as many as it has.
        gather: As for `differing`, of numbers from -1.

    Returns:
        Each number once, in order; the same for all.
    """
    most = int(gather([len(numbers)]).max())
    if not most:
        return []
    # What gathers is traced anew for each length: these are few.
    length = 1 << (most - 1).bit_length()
    of_all = gather([*numbers, *[-1] * (length - len(numbers))])
    return [int(number) for number in np.unique(of_all) if number >= 0]


def _digest(value: object) -> list[int]:
    return np.frombuffer(hashlib.sha256(repr(value).encode()).digest(), ">u4").tolist()


def _are_equal(rows: np.ndarray) -> bool:
    return bool((rows == rows[0]).all())
