"""`input`: how fast images are read, decoded and distorted, and whether a step would starve."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
from typing import Any

from ...training.datasets import load_dataset
from . import machine, photographs
from .driver import Contender, ask_unless_failed, interleaved
from .input_settings import (
    MEASURES,
    OURS,
    PHOTOGRAPHS,
    TEXTBOOK,
    InputSettings,
    Step,
)
from .measuring import Measuring
from .progress import Progress
from .rows import Row

WARM_UP_ROUNDS = 1
UNIT = "images/s"
TITLES = {
    "decode": "decoding alone, images/s a core",
    "evaluate": "for evaluation, images/s a core",
    "train": "for training, images/s a core",
}


class InputSpeed(Measuring):
    """A run of `input`.

    Args:
        settings: what is measured.
        step: a training step that is to be fed; None for none.

    Raises:
        ValueError: the dataset has fewer images than a batch, or its files are damaged.
        OSError: the dataset is not there.
    """

    name = "input"
    titles = TITLES
    subjects = (OURS,)

    def __init__(self, settings: InputSettings, step: Step | None = None) -> None:
        if settings.dataset != PHOTOGRAPHS:
            _check_batch(settings, len(load_dataset(settings.dataset, settings.data_dir).train))
        self._settings = settings
        self._step = step
        # By measure and contender.
        self._samples: dict[str, dict[str, list[float]]] = {}
        reasons = {name: settings.hindrance(name) for name in (OURS, TEXTBOOK)}
        # Why a contender is left out, from the start or from a failure on.
        self.hindered = {name: why for name, why in reasons.items() if why is not None}
        self._failures = dict(self.hindered)
        self.facts = {name: _sizes(settings) for name in (OURS, TEXTBOOK)}

    def measure(self, rounds: int) -> None:
        """As in the base class."""
        settings = self._settings
        names = [name for name in (OURS, TEXTBOOK) if name not in self._failures]
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shimzoo-benchmark-"))
            if settings.dataset == PHOTOGRAPHS:
                photographs.write(folder, photographs.enough_for(settings.batch_size))
            runs = (rounds + WARM_UP_ROUNDS) * sum(
                _has(name, measure) for name in names for measure in MEASURES
            )
            self.progress = Progress(runs + len(names))
            progress = stack.enter_context(self.progress.shown())
            contenders = [stack.enter_context(started(name, settings, folder)) for name in names]
            progress.now("opening the dataset")
            for contender in contenders:
                facts = ask_unless_failed(contender, "facts", self._failures)
                self.facts[contender.name] |= facts or {}
                progress.advance()
            for measure in MEASURES:
                progress.now(TITLES[measure], rounds)
                interleaved(
                    [contender for contender in contenders if _has(contender.name, measure)],
                    measure,
                    rounds,
                    WARM_UP_ROUNDS,
                    progress.advance,
                    self._samples.setdefault(measure, {}),
                    self._failures,
                    progress.begin_round,
                )

    def rows(self) -> list[Row]:
        """Rates, and the ratio to the textbook's."""
        return found_rows(self._samples, self._failures)

    def notes(self) -> list[str]:
        """As in the base class."""
        settings = self._settings
        said = [
            f"{settings.dataset}, {settings.preprocessing}, {settings.image_size} pixels, batch "
            f"{settings.batch_size}, {settings.threads} core(s)"
        ]
        rates = self._samples.get("train", {}).get(OURS)
        if self._step is not None and rates:
            said.append(self._step.verdict(statistics.median(rates), machine.available_cores()))
        return said


def _check_batch(settings: InputSettings, images: int) -> None:
    if settings.batch_size > images:
        raise ValueError(
            f"batch_size={settings.batch_size}, and {settings.dataset} has {images} training "
            "images."
        )


def _has(contender: str, measure: str) -> bool:
    """Decoding alone is the same for all."""
    return (contender, measure) != (TEXTBOOK, "decode")


def started(
    name: str, settings: InputSettings, folder: str
) -> contextlib.AbstractContextManager[Contender]:
    """Starts a contender; it ends with the context."""
    # The pipeline runs on the CPU, and a GPU would only be kept busy by looking at it.
    environment = os.environ | {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", f"{__package__}.input_worker"]
    return Contender.started(name, [*command, name, settings.to_json(), folder], environment)


def found_rows(samples: dict[str, dict[str, list[float]]], failures: dict[str, str]) -> list[Row]:
    """Sums up what was measured: rates, and the ratio to the textbook's.

    Args:
        samples: by measure and contender, the rates.
        failures: by contender, why it has none, or not all.
    """
    found: list[Row] = []
    for measure, by_name in samples.items():
        for name, taken in by_name.items():
            if not taken:
                continue
            found.append(Row.of(name, measure, UNIT, taken, failures.get(name, "")))
            if name == OURS and (theirs := by_name.get(TEXTBOOK)):
                found.append(Row.ratio(name, measure, taken, TEXTBOOK, theirs))
    measured = {row.contender for row in found}
    missing = [name for name in failures if name not in measured]
    found += [Row(name, "train", UNIT, note=failures[name]) for name in missing]
    return sorted(found, key=lambda row: MEASURES.index(row.measure))


def _sizes(settings: InputSettings) -> dict[str, Any]:
    return {
        "dataset": settings.dataset,
        "preprocessing": settings.preprocessing,
        "image_size": settings.image_size,
        "batch_size": settings.batch_size,
        "threads": settings.threads,
    }
