"""What `throughput` says of its numbers: below the table, and in the columns of its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ... import models
from . import rows
from .flops import TRAINING_TO_INFERENCE
from .rows import Row
from .throughput_settings import MATRIX_PRODUCT, Entry, Settings

NAME = "throughput"
TITLES = {
    "training": "training step, ms",
    "inference": "inference step, ms",
    "training_first": "tracing + first, training, ms",
    "inference_first": "tracing + first, inference, ms",
    "training_on_files": "training step on files, ms",
    "training_share": "training's share of ceiling",
    "inference_share": "inference's share of ceiling",
    "memory": "most memory in use, MiB",
}


def sizes(settings: Settings) -> dict[str, Any]:
    """What all contenders' numbers depend on, by column."""
    return {
        "model": settings.model,
        "stage": "",
        "batch_size": settings.batch_size,
        "image_size": settings.image_size,
        "precision": settings.precision,
        "strategy": settings.strategy,
        "replicas": settings.replicas or "",
        "options": " ".join(f"{name}={value}" for name, value in settings.options.items()),
        "threads": settings.threads,
    }


def stage_and_backend(entry: Entry, settings: Settings) -> dict[str, Any]:
    """What a contender's numbers depend on, by column."""
    stage = entry.kind if entry.kind in models.STAGES else ""
    return {
        "stage": stage,
        "backend": entry.backend,
        "jit_compile": entry.compiles(settings),
    }


def lines(found: Sequence[Row], facts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows as lines of the CSV file, with images/s beside the time of a step.

    Args:
        found: the rows.
        facts: by contender, what the numbers depend on.
    """
    made = rows.lines(found, NAME, facts)
    for row, line in zip(found, made, strict=True):
        rates = row.images_per_second
        line["images_per_second"] = "" if rates is None else rates[0]
    return made


def notes(settings: Settings, facts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What is said below the table.

    Args:
        settings: what was measured.
        facts: by contender that was measured, what the numbers depend on.
    """
    compiled = [name for name, fact in facts.items() if fact["jit_compile"]]
    said = [
        f"{settings.model}, batch {settings.batch_size}, {settings.image_size} pixels, "
        f"{settings.precision}, {settings.strategy}, {settings.threads} thread(s), jit_compile: "
        f"{', '.join(compiled) or 'none'}"
    ]
    if MATRIX_PRODUCT in facts:
        said.append(
            f"share of ceiling: FLOP/s to those of a {'x'.join([str(settings.matrix_size)] * 3)} "
            f"matrix product of this precision; training is counted as {TRAINING_TO_INFERENCE} "
            "inferences"
        )
    return said
