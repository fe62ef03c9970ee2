"""`input`: how fast images are read, decoded and distorted, and whether a step would starve."""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import rich.console

from ...training.datasets import load_dataset
from . import machine, photographs, report, results_file, rows
from .driver import Contender, ask_unless_failed, interleaved
from .input_settings import (
    MEASURES,
    OURS,
    PHOTOGRAPHS,
    TEXTBOOK,
    InputSettings,
    Step,
)
from .progress import Progress
from .rows import Row

NAME = "input"
WARM_UP_ROUNDS = 1
UNIT = "images/s"
TITLES = {
    "decode": "decoding alone, images/s a core",
    "evaluate": "for evaluation, images/s a core",
    "train": "for training, images/s a core",
}


def run(
    settings: InputSettings, rounds: int, step: Step | None = None, out: Path | None = None
) -> bool:
    """Measures, prints the table, and writes the CSV file.

    Args:
        settings: what is measured.
        rounds: how often each rate is measured, 1 or more.
        step: a training step that is to be fed; None for none.
        out: CSV file for the results, replaced where it exists; None: no file.

    Returns:
        Whether it came to its end; False after Ctrl-C, with what was measured until then.

    Raises:
        ValueError: a value is out of its range, or the dataset's files are damaged.
        OSError: `out` can't be written, or the dataset is not there.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be 1 or more.")
    if settings.dataset != PHOTOGRAPHS:
        _check_batch(settings, len(load_dataset(settings.dataset, settings.data_dir).train))
    if out is not None:
        results_file.check_writable(out)
    samples: dict[str, dict[str, list[float]]] = {}
    failures = {
        name: why for name in (OURS, TEXTBOOK) if (why := settings.hindrance(name)) is not None
    }
    facts = {name: _sizes(settings) for name in (OURS, TEXTBOOK)}
    is_complete = True
    try:
        _measure(settings, rounds, samples, failures, facts)
    except KeyboardInterrupt:
        is_complete = False
    judged = rows.judged(found_rows(samples, failures), NAME, facts)
    notes = _notes(settings, samples, step)
    if not is_complete:
        notes.append("interrupted: this was measured so far")
    report.show(rich.console.Console(), judged, TITLES, notes)
    if out is not None:
        results_file.write_csv(out, rows.lines(judged, NAME, facts))
    return is_complete


def _check_batch(settings: InputSettings, images: int) -> None:
    if settings.batch_size > images:
        raise ValueError(
            f"batch_size={settings.batch_size}, and {settings.dataset} has {images} training "
            "images."
        )


def _measure(
    settings: InputSettings,
    rounds: int,
    samples: dict[str, dict[str, list[float]]],
    failures: dict[str, str],
    facts: dict[str, dict[str, Any]],
) -> None:
    names = [name for name in (OURS, TEXTBOOK) if name not in failures]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="shimzoo-benchmark-"))
        if settings.dataset == PHOTOGRAPHS:
            photographs.write(folder, photographs.enough_for(settings.batch_size))
        runs = (rounds + WARM_UP_ROUNDS) * sum(
            _has(name, measure) for name in names for measure in MEASURES
        )
        progress = stack.enter_context(Progress(runs + len(names)).shown())
        contenders = [stack.enter_context(started(name, settings, folder)) for name in names]
        progress.now("opening the dataset")
        for contender in contenders:
            facts[contender.name] |= ask_unless_failed(contender, "facts", failures) or {}
            progress.advance()
        for measure in MEASURES:
            progress.now(TITLES[measure])
            interleaved(
                [contender for contender in contenders if _has(contender.name, measure)],
                measure,
                rounds,
                WARM_UP_ROUNDS,
                progress.advance,
                samples.setdefault(measure, {}),
                failures,
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
            found.append(rows.noted(Row.of(name, measure, UNIT, taken), failures.get(name, "")))
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


def _notes(
    settings: InputSettings, samples: dict[str, dict[str, list[float]]], step: Step | None
) -> list[str]:
    notes = [
        f"{settings.dataset}, {settings.preprocessing}, {settings.image_size} pixels, batch "
        f"{settings.batch_size}, {settings.threads} core(s)"
    ]
    rates = samples.get("train", {}).get(OURS)
    if step is not None and rates:
        notes.append(step.verdict(statistics.median(rates), machine.available_cores()))
    return notes
