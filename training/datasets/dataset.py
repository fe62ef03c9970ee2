"""What a dataset is: two splits whose examples can be read in any order, with the same classes.

Any order, because then what a training step sees needs no reading of what came before it: a run
goes on in the middle of an epoch at once, and workers share an epoch without reading it whole.
"""

from __future__ import annotations

import abc
import dataclasses
import hashlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


def held(values: Any) -> tf.Tensor:
    """A tensor that functions refer to; as a constant each of them would have a copy in its graph.

    Args:
        values: What `tf.constant` takes.

    Returns:
        The tensor.
    """
    import tensorflow as tf

    with tf.init_scope():
        return tf.constant(values)


def fingerprint_of(*parts: str | np.ndarray) -> str:
    """A number that tells datasets apart.

    Args:
        parts: What makes up a dataset.

    Returns:
        The first 64 bits of a SHA-256, as 16 hexadecimal digits.
    """
    import numpy as np

    digest = hashlib.sha256()
    for part in parts:
        array = np.frombuffer(os.fsencode(part), np.uint8) if isinstance(part, str) else part
        # The shape as well, so that no two lists of parts come to the same bytes.
        digest.update(repr((array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:16]


class TooManyBadExamples(Exception):  # noqa: N818, its name says it
    """More of a split than is allowed could not be read."""


class Split(abc.ABC):
    """Labelled images, numbered from 0.

    Attributes:
        num_classes: Labels are from 0 to this - 1, but for examples that are damaged.
        labels: int `[N]`, where they are known without reading the images; None where not.
        in_memory: Whether reading can't fail, as the images are held as arrays.
        labels_offset: What has been subtracted from the labels that the files have.
        left_out: Names of the classes in front that an offset of the labels leaves out: an image of
            the last of them has label -1.
    """

    num_classes: int
    labels: np.ndarray | None = None
    in_memory: bool = False
    labels_offset: int = 0
    left_out: tuple[str, ...] = ()

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @property
    @abc.abstractmethod
    def fingerprint(self) -> str:
        """Tells whether another split has the same examples with the same labels and numbers.

        It says what `fingerprint_of` gives of arrays, or else of what is known without reading the
        images, below the folder they are in: the same files elsewhere have the same.
        """

    @abc.abstractmethod
    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Reads an example, in a `tf.data` function.

        Args:
            index: int scalar, from 0 to the number of examples - 1.

        Returns:
            `image`: a string scalar, an encoded JPEG, PNG, GIF, BMP or WebP; or pixels `[H, W, C]`
            with one or three channels, uint8, or float32 in [0, 1]. `label`: an int32 scalar.
        """

    @abc.abstractmethod
    def name_of(self, index: int) -> str:
        """What messages call an example: its file and place."""

    def order(self, seed: tf.Tensor | None) -> tf.Tensor:
        """The order of an epoch.

        Args:
            seed: int32 `[2]`, which alone decides the order; None for 0, 1, 2 and so on.

        Returns:
            int32 `[N]`, each number from 0 to N - 1 once.
        """
        import tensorflow as tf

        numbers = tf.range(len(self))
        if seed is None:
            return numbers
        return tf.random.experimental.stateless_shuffle(numbers, seed)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A training and a test split with the same classes.

    Args:
        name: As in `load_dataset`.
        train: What a model is trained on.
        test: What it is tested on; no image is in both.
        class_names: What the labels stand for, in their order.
        left_out_files: Which files in the folders of its classes are no images, in words; None if
            all are.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    left_out_files: str | None = None
