"""Splits of arrays, and of parts of other splits."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from .dataset import Split, fingerprint_of, held

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class ArraySplit(Split):
    """Images in memory.

    Args:
        images: `[N, H, W, C]` with one or three channels, uint8, or float32 in [0, 1].
        labels: int32 `[N]`.
        num_classes: Classes of the labels.
        name: What messages call it.
    """

    in_memory = True

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, num_classes: int, name: str = "array"
    ) -> None:
        self.images = images
        self.labels = labels
        self.num_classes = num_classes
        self._name = name

    def __len__(self) -> int:
        return len(self.images)

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        images, labels = self._tensors
        return {"image": tf.gather(images, index), "label": tf.gather(labels, index)}

    def name_of(self, index: int) -> str:
        return f"{self._name}[{index}]"

    @functools.cached_property
    def fingerprint(self) -> str:
        return fingerprint_of(self.images, self.labels)

    @functools.cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        return held(self.images), held(self.labels.astype("int32"))


class Subset(Split):
    """Some examples of another split.

    Args:
        whole: The other split.
        indices: int `[N]`, which of its examples.
    """

    def __init__(self, whole: Split, indices: np.ndarray) -> None:
        self._whole = whole
        self._indices = indices
        self.num_classes = whole.num_classes
        self.labels = None if whole.labels is None else whole.labels[indices]
        self.in_memory = whole.in_memory
        self.labels_offset = whole.labels_offset
        self.left_out = whole.left_out

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        return self._whole.read(tf.gather(self._held_indices, index))

    def name_of(self, index: int) -> str:
        return self._whole.name_of(int(self._indices[index]))

    @functools.cached_property
    def fingerprint(self) -> str:
        return fingerprint_of(self._whole.fingerprint, self._indices)

    @functools.cached_property
    def _held_indices(self) -> tf.Tensor:
        return held(self._indices)
