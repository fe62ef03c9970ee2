"""The most probable classes of single images."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from . import preprocessing as preprocessings
from .evaluation import Predict
from .image_errors import decoding_error

_BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of an image.

    Args:
        image: The image's file.
        classes: The most probable classes, the most probable first: number, name and probability
            of each; empty if the image can't be read.
        error: Why the image can't be read; None if it can.
    """

    image: pathlib.Path
    classes: tuple[tuple[int, str, float], ...] = ()
    error: str | None = None


def read_image(encoded: tf.Tensor, size: int, preprocessing: str) -> tf.Tensor:
    """Decodes an image and prepares it for a model, as in its evaluation.

    It is built of TensorFlow's operations only, so that it can be part of an exported model.

    Args:
        encoded: Scalar string: a JPEG, PNG, GIF (its first frame), BMP or WebP file.
        size: Height and width of the result, in pixels.
        preprocessing: One of `preprocessing.PREPROCESSINGS`.

    Returns:
        float32 `[size, size, 3]`.

    Raises:
        tf.errors.InvalidArgumentError: It is no such file, damaged, or too small for the crop.
    """
    return preprocessings.get(preprocessing).evaluate(encoded, size)


def predict(
    logits_of: Predict,
    images: Sequence[pathlib.Path],
    *,
    size: int,
    preprocessing: str,
    class_names: Sequence[str],
    top: int = 5,
    on_batch: Callable[[int], None] = lambda images: None,
) -> Iterator[Prediction]:
    """Finds the most probable classes of images.

    An image that can't be read does not keep the others from being classified.

    Args:
        logits_of: From images, float32 `[B, size, size, 3]`, to logits `[B, num_classes]`.
        images: Files.
        size: Height and width of the model's images, in pixels.
        preprocessing: Name of the preprocessing.
        class_names: Names of the classes, in their order.
        top: How many classes are told of an image.
        on_batch: Called after each batch with its number of images.

    Yields:
        A prediction for each file, in their order.

    Raises:
        FloatingPointError: The model gives NaN for an image.
    """
    for first in range(0, len(images), _BATCH_SIZE):
        files = images[first : first + _BATCH_SIZE]
        read = [_read_file(file, size, preprocessing) for file in files]
        pixels = [result for result in read if not isinstance(result, str)]
        rows = iter(_most_probable(logits_of(np.stack(pixels)), top) if pixels else ())
        for file, result in zip(files, read, strict=True):
            if isinstance(result, str):
                yield Prediction(file, error=result)
            else:
                probable = next(rows)
                if not np.isfinite([probability for _, probability in probable]).all():
                    raise FloatingPointError(
                        f"The model gives NaN for '{file}': its weights are of a run that "
                        "diverged, or of another model."
                    )
                yield Prediction(file, tuple((n, class_names[n], p) for n, p in probable))
        on_batch(len(files))


def _read_file(file: pathlib.Path, size: int, preprocessing: str) -> np.ndarray | str:
    """The prepared image, or why there is none."""
    try:
        encoded = tf.constant(file.read_bytes())
    except OSError as error:
        return f"can't be read: {error.strerror}"
    try:
        return read_image(encoded, size, preprocessing).numpy()
    except tf.errors.InvalidArgumentError:
        return f"can't be used: {decoding_error(encoded) or 'too small for the crop'}"


def _most_probable(logits: np.ndarray, top: int) -> Iterator[list[tuple[int, float]]]:
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))
    for row in probabilities:
        # Of equal ones the first, as argmax has it.
        order = np.argsort(-row, kind="stable")[:top]
        yield [(int(number), float(row[number])) for number in order]
