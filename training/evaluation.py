"""How well a model tells the classes of a dataset apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from .bad_examples import EVALUATION, BadExamples
from .datasets import Split, Subset

Predict = Callable[[np.ndarray], np.ndarray]
Batches = Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model gives on the images of a dataset.

    Args:
        confusion: int64 `[num_classes, num_classes]`: images by their class (row) and by the class
            that the model finds most probable (column).
        top5_hits: Images whose class is among the five most probable ones.
        total_loss: Sum over the images of the cross-entropy, in nats.
        bad_images: Images that could not be read, which are left out of all figures.
    """

    confusion: np.ndarray
    top5_hits: int
    total_loss: float
    bad_images: int

    @property
    def images(self) -> int:
        """Images that the figures are of."""
        return int(self.confusion.sum())

    @property
    def top1(self) -> float:
        """Share of the images whose class is found the most probable one, 0 to 1."""
        return float(np.trace(self.confusion) / self.images)

    @property
    def top5(self) -> float | None:
        """Share of the images whose class is among the five most probable ones, 0 to 1.

        None where there are five classes or fewer, as it could be nothing but 1.
        """
        return self.top5_hits / self.images if len(self.confusion) > 5 else None

    @property
    def loss(self) -> float:
        """Mean cross-entropy, in nats, without the model's weight decay."""
        return self.total_loss / self.images

    def per_class(self) -> list[dict[str, float | int | None]]:
        """Figures of each class, in the classes' order.

        Returns:
            Dicts of `images` (of the class), `predicted` (images taken for it), `precision` (share
            of these that are of it), `recall` (share of its images that are found) and `f1` (the
            harmonic mean of both), 0 to 1; None where there is nothing to divide by.
        """
        hits = np.diagonal(self.confusion)
        images, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        return [
            {
                "images": int(of_class),
                "predicted": int(taken),
                "precision": _share(hit, taken),
                "recall": _share(hit, of_class),
                "f1": _share(2 * hit, of_class + taken),
            }
            for hit, of_class, taken in zip(hits, images, predicted, strict=True)
        ]


class Tally:
    """Adds up an evaluation batch by batch.

    Args:
        num_classes: Classes of the model.
    """

    def __init__(self, num_classes: int) -> None:
        self._confusion = np.zeros([num_classes, num_classes], np.int64)
        self._top5_hits = 0
        self._total_loss = 0.0
        self._bad_images = 0

    def add(self, labels: np.ndarray, logits: np.ndarray, weights: np.ndarray) -> None:
        """Adds a batch.

        Args:
            labels: int32 `[B]`, 0 to the number of classes - 1.
            logits: float32 `[B, num_classes]`.
            weights: float32 `[B]`; 0 marks an image that could not be read.

        Raises:
            FloatingPointError: A logit is NaN or infinite.
        """
        good = weights > 0
        self._bad_images += int(np.sum(~good))
        labels, logits = labels[good], logits[good]
        if not np.isfinite(logits).all():
            raise FloatingPointError(
                "The model gives logits that are NaN or infinite: its weights are of a run that "
                "diverged, or the images were not preprocessed as it needs them."
            )
        np.add.at(self._confusion, (labels, logits.argmax(axis=1)), 1)
        self._top5_hits += int(np.sum(tf.math.in_top_k(labels, logits, k=5)))
        losses = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        self._total_loss += float(np.sum(losses, dtype=np.float64))

    def result(self) -> Evaluation:
        """The evaluation of all batches so far.

        Raises:
            ValueError: There was no image that could be read.
        """
        if not self._confusion.any():
            raise ValueError(
                f"None of the {self._bad_images} images could be read: there is nothing to measure."
            )
        return Evaluation(
            self._confusion.copy(), self._top5_hits, self._total_loss, self._bad_images
        )


def evaluate(
    predict: Predict,
    batches: Batches,
    num_classes: int,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Evaluation:
    """Measures a model on batches of images.

    Args:
        predict: From images, float32 `[B, H, W, 3]`, to logits, float32 `[B, num_classes]`.
        batches: What `numpy_batches` gives.
        num_classes: Classes of the model.
        on_batch: Called after each batch with its number of images.

    Returns:
        The evaluation.

    Raises:
        FloatingPointError: A logit is NaN or infinite.
        ValueError: There was no image that could be read.
    """
    tally = Tally(num_classes)
    for images, labels, weights in batches:
        tally.add(labels, predict(images), weights)
        on_batch(len(images))
    return tally.result()


def first_batches(split: Split, batch_size: int, max_batches: int | None) -> Split:
    """The images of a split's first batches.

    To be taken before anything is read: a pipeline that is cut at its end reads ahead, and takes
    down bad images of batches that nobody asked for.

    Args:
        split: A part of a dataset.
        batch_size: Images in a batch.
        max_batches: How many batches are taken; None for all.

    Returns:
        A split of these images; the same one where they are all.
    """
    if max_batches is None or batch_size * max_batches >= len(split):
        return split
    return Subset(split, np.arange(batch_size * max_batches))


def numpy_batches(batches: tf.data.Dataset, bad: BadExamples | None = None) -> Batches:
    """The batches of `input_pipeline.evaluation_batches` as arrays.

    Args:
        batches: Images, labels as numbers, and weights.
        bad: Where the batches' bad images are taken down; None for nowhere.

    Yields:
        Images float32 `[B, H, W, 3]`, labels int32 `[B]` and weights float32 `[B]`.

    Raises:
        TooManyBadExamples: There are more in `bad` than it allows.
        ValueError: The offset of the labels leaves out the class of an image in `bad`, or there are
            more than it allows as labels seem to begin at 1.
    """
    for batch in batches:
        if bad is not None:
            bad.check(EVALUATION)
        images, labels, weights = (np.asarray(part) for part in batch)
        yield images, labels, weights


def predictor(model: keras.Model) -> Predict:
    """A model's inference as one compiled function for batches of any size.

    Args:
        model: A built model of the zoo.

    Returns:
        From images, float32 `[B, H, W, 3]`, to logits, float32 `[B, num_classes]`.
    """
    shape = model.get_build_config()["input_shape"]
    signature = tf.TensorSpec((None, *shape[1:]), tf.float32)

    @tf.function(input_signature=[signature])
    def logits(images: tf.Tensor) -> tf.Tensor:
        return model(images, training=False)

    return lambda images: logits(images).numpy()


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None
