"""Whether the processes of a run were started with the same settings, told by digests of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

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


def _digest(value: object) -> list[int]:
    return np.frombuffer(hashlib.sha256(repr(value).encode()).digest(), ">u4").tolist()


def _are_equal(rows: np.ndarray) -> bool:
    return bool((rows == rows[0]).all())
