"""Which dataset a trained model is measured on, and how it is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from .datasets import Dataset, load_dataset
from .datasets.class_order import is_reordered, with_class_order
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


def load_data(
    trained: TrainedModel,
    config: TrainConfig,
    report: Callable[[str], object],
    part: str = "test",
) -> Dataset:
    """Loads the dataset that a trained model is to be measured on.

    Args:
        trained: The model.
        config: What `data_settings` gave.
        report: Takes a line to show: that files are no images, that labels were put into the
            model's order, or that the run's dataset is no longer what the run had.
        part: What is measured, "test" or "train".

    Returns:
        The dataset, with the labels of the model.

    Raises:
        ValueError: It has other classes than the model.
    """
    dataset = load_dataset(config.dataset, config.data_dir, config.labels_offset)
    _check_number_of_classes(trained, config, dataset)
    if dataset.left_out_files is not None:
        report(f"left out {dataset.left_out_files}")
    if (line := _change_since(trained, config, dataset, part)) is not None:
        report(line)
    return _in_the_models_order(trained, dataset, report)


def _check_number_of_classes(trained: TrainedModel, config: TrainConfig, dataset: Dataset) -> None:
    more = len(dataset.class_names) - trained.num_classes
    if more == 0:
        return
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


def _change_since(
    trained: TrainedModel, config: TrainConfig, dataset: Dataset, part: str
) -> str | None:
    """What has become of the run's own dataset since the run; None where nothing is known of it."""
    run, was = trained.run, trained.recorded.get(f"{part}_fingerprint")
    if run is None or was is None:
        return None
    if (config.dataset, config.labels_offset) != (run.dataset, run.labels_offset):
        return None
    if getattr(dataset, part).fingerprint == was:
        return None
    if part == "train":
        return f"{dataset.name} has other training images than the run had, or of other classes."
    return (
        f"{dataset.name} has other test images than the run had, or of other classes: it may have "
        "been trained on some of them."
    )


def _in_the_models_order(
    trained: TrainedModel, dataset: Dataset, report: Callable[[str], object]
) -> Dataset:
    """Holds class names against the model's: equal numbers may stand for other classes."""
    names = dataset.class_names
    # What the run has recorded is known for sure, so it goes before what a user has written.
    known = [trained.recorded.get("class_names"), trained.class_names]
    for wanted in map(tuple, filter(None, known)):
        if names == wanted:
            return dataset
        if is_reordered(names, wanted):
            report(
                f"{dataset.name} has the model's classes in another order: its labels are matched "
                "by name."
            )
            return with_class_order(dataset, wanted)
    if trained.run is None:
        return dataset  # Names are what a user calls the classes, if there are any.
    models_names = set(trained.recorded["class_names"])
    unknown = [name for name in names if name not in models_names]
    difference = (
        f"{unknown[0]!r} is none of the model's"
        if unknown
        else "their order is another one, and some have the same name"
    )
    raise ValueError(
        f"The classes of {dataset.name} are not those that '{trained.checkpoint}' was trained on: "
        f"{difference}. Choose a dataset of the model's classes; if only the names are other ones, "
        "pass --labels FILE with the dataset's names in the order of the model's classes."
    )
