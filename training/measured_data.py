"""Which dataset a trained model is measured on, and how it is read."""

from __future__ import annotations

import dataclasses
from typing import Any

from .datasets import Dataset, load_dataset
from .recipes import DEMO
from .train_config import TrainConfig
from .trained_models import TrainedModel

# What measuring takes over from the run, and what of that is about the run's dataset alone.
_READING = ("dataset", "batch_size", "max_bad_fraction")
_WHERE = ("data_dir", "labels_offset")


def data_settings(trained: TrainedModel, **given: Any) -> TrainConfig:
    """The settings by which a dataset is read for a trained model.

    Args:
        trained: The model.
        **given: Fields of `TrainConfig` about data, None for what the user left open: that is as
            in the run, or else the default. Where the data is and its labels' offset are as in the
            run for its own dataset only.

    Returns:
        Settings for `evaluation_batches`; what they say of training means nothing.

    Raises:
        ValueError: No dataset is known, or a setting is out of its range.
    """
    settings = {name: value for name, value in given.items() if value is not None}
    if (run := trained.run) is not None:
        is_the_runs = settings.get("dataset", run.dataset) == run.dataset
        taken = _READING + _WHERE if is_the_runs else _READING
        settings = {name: getattr(run, name) for name in taken} | settings
    if "dataset" not in settings:
        raise ValueError(
            f"'{trained.checkpoint}' is not of a run of `shimzoo train`, which would name a "
            "dataset: pass --dataset NAME."
        )
    settings |= {
        "model": trained.model,
        "stage": trained.stage,
        "image_size": trained.image_size,
        "preprocessing": trained.preprocessing,
    }
    # Fields without a default are about training, except those given.
    training = {
        field.name: getattr(DEMO.config, field.name)
        for field in dataclasses.fields(TrainConfig)
        if field.default is dataclasses.MISSING
    }
    return TrainConfig(**training | settings)


def load_data(trained: TrainedModel, config: TrainConfig) -> Dataset:
    """Loads the dataset that a trained model is to be measured on.

    Args:
        trained: The model.
        config: What `data_settings` gave.

    Returns:
        The dataset.

    Raises:
        ValueError: It has another number of classes than the model.
    """
    dataset = load_dataset(config.dataset, config.data_dir, config.labels_offset)
    more = len(dataset.class_names) - trained.num_classes
    if more == 0:
        return dataset
    advice = "choose a dataset of the model's classes"
    if abs(more) == 1:
        advice = (
            "if the one more is a background class in front, pass "
            f"--labels-offset {config.labels_offset + more}"
        )
    raise ValueError(
        f"{trained.model} from '{trained.checkpoint}' has {trained.num_classes} classes, and the "
        f"dataset {dataset.name} has {len(dataset.class_names)}: {advice}."
    )
