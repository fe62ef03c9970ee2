"""A trained model exported, reopened by the runtime it is for, and held against itself."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable

import keras
import numpy as np

from . import comparison, evaluation, export_formats, export_writing, input_pipeline, runtimes
from .bad_examples import BadExamples
from .comparison import Comparison
from .datasets import Dataset, Split, Subset
from .publishing import published
from .train_config import TrainConfig

# Images from which the ranges of activations are taken for integers.
CALIBRATION_IMAGES = 256
# Which ones: a draw, as a dataset's order may be that of its classes.
_CALIBRATION_SEED = 0


@dataclasses.dataclass(frozen=True)
class TestImages:
    """What an export is measured on, and calibrated with.

    Args:
        dataset: Its test part is measured on, its training part calibrated with.
        config: How it is read: the fields about data.
        max_batches: How many batches are measured; None for all.
    """

    dataset: Dataset
    config: TrainConfig
    max_batches: int | None = None

    @property
    def part(self) -> Split:
        """The images to be measured."""
        return evaluation.first_batches(self.dataset.test, self.config.batch_size, self.max_batches)


@dataclasses.dataclass(frozen=True)
class Export:
    """What was exported.

    Args:
        path: The file, or the SavedModel's directory.
        format: As in `export_formats`.
        precision: One of `export_formats.PRECISIONS`.
        size_bytes: Size of all its files.
        weights_bytes: Size of the model's weights in memory.
        images: How it differs from the model on preprocessed images.
        encoded: How it differs on encoded ones; None where there is no such signature.
    """

    path: pathlib.Path
    format: str
    precision: str
    size_bytes: int
    weights_bytes: int
    images: Comparison
    encoded: Comparison | None


def export(
    model: keras.Model,
    path: pathlib.Path,
    *,
    precision: str = "float32",
    batch_size: int | None = None,
    preprocessing: str,
    measured_on: TestImages | None = None,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Export:
    """Exports a model, reopens it and compares it; only what has passed is left at the target.

    Args:
        model: A built model of the zoo.
        path: The target, as `export_formats.check` and `publishing.check_target` allow it; an
            older one is replaced. Its name says which format is written.
        precision: One of `export_formats.PRECISIONS`.
        batch_size: Images in a batch of the exported model; None for any number.
        preprocessing: Name of the preprocessing of encoded images.
        measured_on: Images of a dataset; None compares on two photographs, and can't do `"int8"`.
        on_batch: Called after each batch of a dataset with its number of images.

    Returns:
        The export, with what it costs in size and accuracy.

    Raises:
        ValueError: `"int8"` without a dataset.
        FloatingPointError: The exported model differs from the model by more than its precision
            explains, or gives NaN.
    """
    check_calibration(precision, batch_size, measured_on)
    size = model.get_build_config()["input_shape"][1]
    wanted = evaluation.predictor(model)
    with published(path) as written:
        export_writing.write(
            model,
            written,
            precision=precision,
            batch_size=batch_size,
            preprocessing=preprocessing,
            calibration=_calibration(measured_on) if precision == "int8" else None,
        )
        given = runtimes.open_exported(written, batch_size)
        if measured_on is None:
            images = comparison.on_photographs(wanted, given, size, preprocessing)
        else:
            images = comparison.on_dataset(
                wanted,
                given,
                _test_batches(measured_on),
                len(measured_on.dataset.class_names),
                on_batch,
            )
        comparison.check(images, path, precision)
        encoded = None
        if export_formats.format_of(path) == export_formats.SAVED_MODEL:
            encoded = comparison.on_encoded_photographs(
                wanted, written, batch_size, size, preprocessing
            )
            comparison.check(encoded, path, precision)
    return Export(
        path=path,
        format=export_formats.format_of(path),
        precision=precision,
        size_bytes=_size_of(path),
        weights_bytes=sum(np.asarray(weight).nbytes for weight in model.get_weights()),
        images=images,
        encoded=encoded,
    )


def check_calibration(
    precision: str, batch_size: int | None, measured_on: TestImages | None
) -> None:
    """Raises ValueError where `"int8"` has no images, or too few, to take ranges from."""
    if precision != "int8":
        return
    if measured_on is None:
        raise ValueError(
            "int8 takes the ranges of activations from images of a dataset: pass --dataset NAME."
        )
    count = min(CALIBRATION_IMAGES, len(measured_on.dataset.train))
    if batch_size is not None and batch_size > count:
        raise ValueError(
            f"The batch size is {batch_size}, and int8 is calibrated with {count} images: a batch "
            f"takes 1 to {count}."
        )


def _calibration(measured_on: TestImages) -> np.ndarray:
    """Images of the training part as the model sees them in its evaluation."""
    examples = measured_on.dataset.train
    drawn = np.random.default_rng(_CALIBRATION_SEED).permutation(len(examples))[:CALIBRATION_IMAGES]
    part = Subset(examples, drawn)
    bad = BadExamples(part, measured_on.config.max_bad_fraction, "calibration")
    batches = input_pipeline.evaluation_batches(part, measured_on.config, bad)
    read = evaluation.numpy_batches(batches, bad)
    return np.concatenate([images[weights > 0] for images, _, weights in read])


def _test_batches(measured_on: TestImages) -> evaluation.Batches:
    part = measured_on.part
    bad = BadExamples(part, measured_on.config.max_bad_fraction, "test")
    batches = input_pipeline.evaluation_batches(part, measured_on.config, bad)
    return evaluation.numpy_batches(batches, bad)


def _size_of(path: pathlib.Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
