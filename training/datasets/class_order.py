"""Datasets whose classes are put into another order, by their names."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .dataset import Dataset, Split, fingerprint_of, held

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


def is_reordered(names: Sequence[str], others: Sequence[str]) -> bool:
    """Whether classes have the same names as others, each once, in whatever order.

    Args:
        names: Names of classes.
        others: The same of other classes.

    Returns:
        False also where a name stands for two classes, which could not be told apart.
    """
    return len(set(names)) == len(names) == len(others) and set(names) == set(others)


def with_class_order(dataset: Dataset, class_names: Sequence[str]) -> Dataset:
    """Numbers the classes of a dataset anew.

    Args:
        dataset: The dataset.
        class_names: Its class names in the order that they are to have.

    Returns:
        The dataset with other labels. A label that is none of its classes stays as it is.

    Raises:
        ValueError: The names are not the dataset's, or not each once.
    """
    import numpy as np

    if not is_reordered(dataset.class_names, class_names):
        raise ValueError(f"The classes of {dataset.name} can't be ordered by other names.")
    place = {name: number for number, name in enumerate(class_names)}
    numbers = np.array([place[name] for name in dataset.class_names], np.int32)
    return dataclasses.replace(
        dataset,
        train=_OrderedLabels(dataset.train, numbers),
        test=_OrderedLabels(dataset.test, numbers),
        class_names=tuple(class_names),
    )


class _OrderedLabels(Split):
    """A split whose class `i` has the number `numbers[i]`."""

    def __init__(self, split: Split, numbers: np.ndarray) -> None:
        import numpy as np

        self._split = split
        self._numbers = numbers
        self.num_classes = split.num_classes
        self.labels_offset = split.labels_offset
        self.left_out = split.left_out
        self.in_memory = split.in_memory
        self.labels = None
        if (labels := split.labels) is not None:
            is_class = (labels >= 0) & (labels < len(numbers))
            self.labels = np.where(is_class, numbers[np.where(is_class, labels, 0)], labels)

    def __len__(self) -> int:
        return len(self._split)

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        example = self._split.read(index)
        label = example["label"]
        is_class = (label >= 0) & (label < len(self._numbers))
        ordered = tf.gather(self._held_numbers, tf.where(is_class, label, 0))
        return {**example, "label": tf.where(is_class, ordered, label)}

    def name_of(self, index: int) -> str:
        return self._split.name_of(index)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self._split.fingerprint, self._numbers)

    @functools.cached_property
    def _held_numbers(self) -> tf.Tensor:
        return held(self._numbers)
