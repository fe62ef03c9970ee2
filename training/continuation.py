"""What a run that goes on must have in common with what it was."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from .train_config import TrainConfig

# These decide nothing of what a run comes to, so they may change when it is resumed.
FREE_SETTINGS = frozenset(
    {"data_dir", "keep", "log_every", "max_bad_fraction", "profile", "save_every"}
)


# What `run_record.describe_data` calls them, and what they are of.
_FINGERPRINTS = {"train_fingerprint": "training", "test_fingerprint": "test"}


def check_same_settings(saved: TrainConfig, asked: TrainConfig, path: pathlib.Path) -> None:
    """Raises ValueError where settings differ that decide what the run in a directory comes to."""
    was, now = dataclasses.asdict(saved), dataclasses.asdict(asked)
    differences = [
        f"{name} is {now[name]!r} now and was {was[name]!r}"
        for name in was
        if was[name] != now[name] and name not in FREE_SETTINGS
    ]
    if differences:
        raise ValueError(
            f"The run in '{path}' was started with other settings: {'; '.join(differences)}. "
            "Leave these options out to resume it, or start a new run."
        )


def check_same_data(
    recorded: Mapping[str, Any], found: Mapping[str, Any], path: pathlib.Path
) -> None:
    """Refuses to go on with a dataset that has changed.

    Args:
        recorded: What the run in a directory was started with, "resolved" in its `config.json`.
        found: Entries of it as the dataset has them now: numbers, texts and lists of names.
        path: The directory.

    Raises:
        ValueError: Some differ, or another version recorded less.
    """
    if missing := [name for name in found if name not in recorded]:
        raise ValueError(
            f"The run in '{path}' does not say what its data were ({', '.join(missing)}): it can "
            "only be continued by the version of shimzoo that its config.json names."
        )
    names = [name for name, now in found.items() if recorded[name] != now]
    # A fingerprint tells nothing that a person can look up, where something else does.
    told = [name for name in names if name not in _FINGERPRINTS] or names
    differences = [_difference(name, recorded[name], found[name]) for name in told]
    if differences:
        raise ValueError(
            f"The run in '{path}' was started with other data: {'; '.join(differences)}. Put the "
            "dataset back as it was to resume it, or start a new run."
        )


def tell_other_replicas(before: Sequence[Mapping[str, Any]], now: Mapping[str, Any]) -> str | None:
    """Says that a run goes on with other replicas, and so not exactly.

    Args:
        before: The parts of the run until now, in their order: "step", after which each began,
            "replicas" and "strategy".
        now: The same of the part that begins.

    Returns:
        A line for the user; None where all steps that count were taken on such replicas.
    """
    later = [*before[1:], now]
    # What was trained after a step from which a later part began was given up.
    ends = [min(part["step"] for part in later[number:]) for number in range(len(before))]
    others = dict.fromkeys(
        _replicas(part) for part, end in zip(before, ends, strict=True) if part["step"] < end
    )
    others.pop(_replicas(now), None)
    if not others:
        return None
    return (
        f"{_replicas(now)} now and {' and '.join(others)} before: each replica gets another share "
        "of a batch, so the weights will not be those of a run that nothing stopped"
    )


def _replicas(part: Mapping[str, Any]) -> str:
    number = part["replicas"]
    return f"{number} replica{'' if number == 1 else 's'} ({part['strategy']})"


def _difference(name: str, was: Any, now: Any) -> str:
    if name in _FINGERPRINTS:
        return f"as many {_FINGERPRINTS[name]} images as before, but others or of other classes"
    if not (isinstance(was, list) and isinstance(now, list)):
        return f"{name} is {now!r} now and was {was!r}"
    if len(was) != len(now):
        return f"{name} are {len(now)} now and were {len(was)}"
    index = next(i for i, pair in enumerate(zip(was, now, strict=True)) if pair[0] != pair[1])
    return f"{name} have {now[index]!r} as number {index} now and had {was[index]!r}"
