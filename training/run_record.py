"""What a run tells of itself at its start: to `config.json` and to the user."""

from __future__ import annotations

import dataclasses
import datetime
from typing import Any

import keras

from . import provenance
from .datasets import Dataset
from .placement import Placement
from .published_recipes import get_recipe
from .train_config import TrainConfig


def count_parameters(model: keras.Model) -> int:
    """The trainable numbers of a model."""
    return sum(int(variable.value.shape.num_elements()) for variable in model.trainable_weights)


def describe_data(dataset: Dataset) -> dict[str, Any]:
    """What all processes of a run, and one that goes on, have to find alike.

    Returns:
        Numbers, texts and lists of names, as `config.json` has them.
    """
    return {
        "train_images": len(dataset.train),
        "test_images": len(dataset.test),
        "class_names": list(dataset.class_names),
        "train_fingerprint": dataset.train.fingerprint,
        "test_fingerprint": dataset.test.fingerprint,
    }


def describe_recipe(name: str, config: TrainConfig) -> dict[str, str | None]:
    """What `config.json` says of the recipe that settings were taken from.

    Args:
        name: The recipe's, or that of a published model.
        config: The settings.

    Returns:
        The name, and the test accuracy that is expected, in words; None where nobody has said.

    Raises:
        ValueError: There is no such recipe, or it is not for the model.
    """
    return {"name": name, "expected": get_recipe(name).expected_of(config)}


def describe_placement(placement: Placement) -> dict[str, Any]:
    """What a process of a run computes on, as `config.json` has it."""
    return {
        "strategy": placement.name,
        "replicas": placement.strategy.num_replicas_in_sync,
        "cluster": None if placement.cluster is None else dict(placement.cluster.tasks),
        "devices": provenance.devices(),
    }


def describe_process() -> dict[str, Any]:
    """What a process of a run was made by, as `config.json` has it."""
    return {
        "versions": provenance.versions(),
        "git_revision": provenance.git_revision(),
        "command": provenance.command(),
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def record(
    config: TrainConfig,
    model: keras.Model,
    dataset: Dataset,
    steps: int,
    placement: Placement,
    recipe: dict[str, str | None] | None,
) -> dict[str, Any]:
    """What `config.json` says: settings, what they led to, and what made the run.

    Args:
        config: The run's settings.
        model: The model as it is trained.
        dataset: What it is trained on.
        steps: Training steps in an epoch.
        placement: The run's strategy.
        recipe: What `describe_recipe` gave; None without a recipe.

    Returns:
        What JSON can hold.
    """
    return {
        "config": dataclasses.asdict(config),
        "recipe": recipe,
        "resolved": {
            "parameters": count_parameters(model),
            **describe_data(dataset),
            "steps_per_epoch": steps,
            "optimizer": model.optimizer.name,
            "jit_compile": model.jit_compile,
            "precision": config.precision,
            **describe_placement(placement),
        },
        **describe_process(),
    }


def start_lines(
    config: TrainConfig, model: keras.Model, dataset: Dataset, steps: int, placement: Placement
) -> dict[str, str | None]:
    """What the user is told, by name, or None; arguments as of `record`."""
    size = config.image_size
    idle = placement.idle_gpus if config.strategy == "auto" else 0
    uneven = f", {_counted(idle, 'GPU')} idle as all can't share the batch evenly" if idle else ""
    return {
        "model": f"{config.model}, {config.stage}, {count_parameters(model):,} parameters",
        "dataset": f"{config.dataset}, {len(dataset.train):,} training and {len(dataset.test):,} "
        f"test images, at {size}x{size}",
        "left out": dataset.left_out_files,
        "steps": f"{_counted(config.epochs, 'epoch')} of {_counted(steps, 'step')}, "
        f"global batch {config.batch_size}",
        "rate": f"{config.optimizer}, {config.schedule} from {config.learning_rate}"
        + _unfinished_warmup(config, steps),
        "compute": f"{placement}{uneven}, {config.precision}, jit_compile {model.jit_compile}",
    }


def _unfinished_warmup(config: TrainConfig, steps: int) -> str:
    """What to tell of a warm-up that the run ends within."""
    images = steps * config.batch_size * config.epochs
    if images > config.warmup_examples:
        return ""
    return (
        f", which is not reached: the warm-up takes {config.warmup_examples:,} training images and "
        f"the run {images:,} (--warmup-examples)"
    )


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
