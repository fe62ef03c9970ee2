"""An exported model held against the model that it was made of."""

from __future__ import annotations

import dataclasses
import importlib.resources
import pathlib
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from . import export_formats, runtimes
from .evaluation import Batches, Evaluation, Predict, Tally
from .prediction import read_image

# Largest difference of a logit, as a share of the largest logit. In float32 other kernels sum in
# another order, 2e-5 as measured. Half precision rounds each weight by up to 2**-11, and a hundred
# layers add that up; 1.4e-2 was measured with Inception v3. Integers lose what they lose: it is
# shown, and on a dataset measured as accuracy.
TOLERANCES = {"float32": 1e-4, "float16": 5e-2, "int8": None}
# Real images where no dataset is given; they come with scikit-learn.
_PHOTOGRAPHS = ("china.jpg", "flower.jpg")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How an exported model's logits differ from the model's.

    Args:
        images: Images that both were run on.
        largest_difference: Between two logits of an image and a class.
        largest_logit: Largest absolute value among the model's logits.
        same_top1: Share of the images of which both find the same class most probable, 0 to 1.
        model: How well the model does on the dataset; None without one.
        exported: Likewise for the exported model.
    """

    images: int
    largest_difference: float
    largest_logit: float
    same_top1: float
    model: Evaluation | None
    exported: Evaluation | None

    @property
    def relative_difference(self) -> float:
        """The largest difference as a share of the largest logit."""
        return self.largest_difference / max(self.largest_logit, float(np.finfo(np.float32).tiny))


class Differences:
    """Adds up a comparison batch by batch."""

    def __init__(self) -> None:
        self._images = 0
        self._same = 0
        self._difference = 0.0
        self._largest = 0.0

    def add(self, wanted: np.ndarray, given: np.ndarray) -> None:
        """Adds a batch: logits of the model and of the exported one, `[B, num_classes]`."""
        self._images += len(wanted)
        self._same += int(np.sum(wanted.argmax(axis=1) == given.argmax(axis=1)))
        # NaN is larger than any difference: np.max hands it on, and max() does not.
        self._difference = float(np.max([self._difference, np.max(np.abs(wanted - given))]))
        self._largest = max(self._largest, float(np.max(np.abs(wanted))))

    def result(
        self, model: Evaluation | None = None, exported: Evaluation | None = None
    ) -> Comparison:
        """The comparison of all batches so far."""
        return Comparison(
            images=self._images,
            largest_difference=self._difference,
            largest_logit=self._largest,
            same_top1=self._same / self._images,
            model=model,
            exported=exported,
        )


def on_dataset(
    wanted: Predict,
    given: Predict,
    batches: Batches,
    num_classes: int,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Comparison:
    """Compares two models on a dataset.

    Args:
        wanted: The model: from images, float32 `[B, H, W, 3]`, to logits `[B, num_classes]`.
        given: The exported model, likewise.
        batches: What `evaluation.numpy_batches` gives.
        num_classes: Classes of both.
        on_batch: Called after each batch with its number of images.

    Returns:
        The comparison, with both evaluations.

    Raises:
        FloatingPointError: A logit is NaN or infinite.
        ValueError: There was no image that could be read.
    """
    differences, of_wanted, of_given = Differences(), Tally(num_classes), Tally(num_classes)
    for images, labels, weights in batches:
        logits, exported_logits = wanted(images), given(images)
        differences.add(logits, exported_logits)
        of_wanted.add(labels, logits, weights)
        of_given.add(labels, exported_logits, weights)
        on_batch(len(images))
    return differences.result(of_wanted.result(), of_given.result())


def on_photographs(wanted: Predict, given: Predict, size: int, preprocessing: str) -> Comparison:
    """Compares two models on two photographs.

    Args:
        wanted: The model: from images, float32 `[B, size, size, 3]`, to logits.
        given: The exported model, likewise.
        size: Height and width of the images, in pixels.
        preprocessing: Name of the preprocessing.

    Returns:
        The comparison.
    """
    differences = Differences()
    images = prepared(photographs(), size, preprocessing)
    differences.add(wanted(images), given(images))
    return differences.result()


def on_encoded_photographs(
    wanted: Predict,
    saved_model: pathlib.Path,
    batch_size: int | None,
    size: int,
    preprocessing: str,
) -> Comparison:
    """Compares a model with a SavedModel's signature that takes encoded images.

    Args:
        wanted: The model: from images, float32 `[B, size, size, 3]`, to logits.
        saved_model: The SavedModel.
        batch_size: Images in a batch as it was exported; None for any number.
        size: Height and width of the images, in pixels.
        preprocessing: Name of the preprocessing.

    Returns:
        The comparison.
    """
    differences = Differences()
    files = photographs()
    if batch_size is not None:
        files = [files[i % len(files)] for i in range(batch_size)]
    serve = runtimes.open_encoded(saved_model)
    differences.add(wanted(prepared(files, size, preprocessing)), serve(files))
    return differences.result()


def check(comparison: Comparison, path: pathlib.Path, precision: str) -> None:
    """Refuses an exported model that is another one.

    Args:
        comparison: How it differs.
        path: What was exported, for the message.
        precision: One of `export_formats.PRECISIONS`.

    Raises:
        FloatingPointError: It differs by more than its precision explains.
    """
    tolerance = TOLERANCES[precision]
    difference = comparison.relative_difference
    if np.isnan(difference) or (tolerance is not None and difference > tolerance):
        raise FloatingPointError(
            f"The {export_formats.format_of(path)} differs from the model: its logits by "
            f"{difference:.2g} of the largest, and {precision} explains up to {tolerance}. "
            "It was not kept."
        )


def photographs() -> list[bytes]:
    """Two JPEG files."""
    folder = importlib.resources.files("sklearn.datasets.images")
    return [(folder / name).read_bytes() for name in _PHOTOGRAPHS]


def prepared(files: list[bytes], size: int, preprocessing: str) -> np.ndarray:
    """Encoded images as a model takes them, float32 `[B, size, size, 3]`."""
    return np.stack([read_image(tf.constant(file), size, preprocessing) for file in files])
