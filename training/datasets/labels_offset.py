"""Datasets with a number subtracted from their labels, as TF-Slim's `--labels_offset` does."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING

from .dataset import Dataset, Split, fingerprint_of

if TYPE_CHECKING:
    import tensorflow as tf

# The class in front of the others in TF-Slim's ImageNet heads of 1001 classes.
BACKGROUND = "background"


def with_labels_offset(dataset: Dataset, offset: int) -> Dataset:
    """Subtracts a number from all labels; an image without a label (below 0) gets none by it.

    Args:
        dataset: The dataset.
        offset: 1 leaves out class 0, as heads of 1000 classes need it of ImageNet whose class 0
            is the background; -1 puts a background class in front, as heads of 1001 classes
            need it of ImageNet without one.

    Returns:
        The dataset with other labels and class names.

    Raises:
        ValueError: A label that is used would be negative, or no class would be left. Where
            labels are not known without reading the images, `check_labels_offset` finds it.
    """
    if offset == 0:
        return dataset
    names = dataset.class_names
    if offset >= len(names):
        raise ValueError(
            f"labels_offset={offset} leaves no class of the {len(names)} of {dataset.name}: it is "
            "the number of classes in front that no image is of."
        )
    for split in (dataset.train, dataset.test):
        if split.labels is None:
            continue
        left_out = split.labels[(split.labels >= 0) & (split.labels < offset)]
        if len(left_out):
            raise ValueError(
                f"labels_offset={offset} is not for {dataset.name}, which has images of class "
                f"{left_out.min()} ({names[left_out.min()]}): it leaves out classes that no image "
                "is of."
            )
    left_out_names = names[: max(offset, 0)]
    return dataclasses.replace(
        dataset,
        train=_OffsetLabels(dataset.train, offset, left_out_names),
        test=_OffsetLabels(dataset.test, offset, left_out_names),
        class_names=names[offset:] if offset > 0 else (BACKGROUND,) * -offset + names,
    )


def check_labels_offset(split: Split, index: int, label: int) -> None:
    """Holds the label of an image against the classes that the offset of the labels leaves out.

    Args:
        split: What the image is of.
        index: Its number there.
        label: Its label, as `read` gave it.

    Raises:
        ValueError: The image is of such a class.
    """
    offset = len(split.left_out)
    if -offset <= label < 0:
        raise ValueError(
            f"labels_offset={offset} is not for this dataset: {split.name_of(index)} is of class "
            f"{label + offset} ({split.left_out[label]}), and it leaves out classes that no image "
            "is of."
        )


def describe_foreign_label(split: Split, label: int) -> str:
    """Says of a label that is none of the classes what it is and which ones there are.

    Args:
        split: What the image is of.
        label: Its label, as `read` gave it.

    Returns:
        Both with the numbers that the files have.
    """
    offset = split.labels_offset
    first, last = _of_none(offset), offset + split.num_classes - 1
    subtracted = f" with labels_offset={offset}" if offset else ""
    return f"label {label_in_files(split, label)}, where {first} to {last} are classes{subtracted}"


def begin_at_one(split: Split, labels: Collection[int]) -> bool:
    """Whether labels seem to count from 1 where names of classes count from 0.

    Args:
        split: What the labels are of.
        labels: Those that are none of the classes, as `read` gave them.

    Returns:
        Whether there are some, and all are the number that comes after the last class.
    """
    return bool(labels) and all(label == split.num_classes for label in labels)


def label_in_files(split: Split, label: int) -> int:
    """The number that the files have for a label, which `read` gave."""
    offset = split.labels_offset
    return label + (_of_none(offset) if label < 0 else offset)


def _of_none(offset: int) -> int:
    # An image without a label, below 0, must get none by an offset below 0.
    return max(offset, 0)


class _OffsetLabels(Split):
    """A split with a number subtracted from its labels."""

    def __init__(self, split: Split, offset: int, left_out: tuple[str, ...]) -> None:
        import numpy as np

        self._split = split
        self.left_out = left_out
        self.labels_offset = offset
        self.num_classes = split.num_classes - offset
        self._of_none = _of_none(offset)
        self.labels = None
        if (labels := split.labels) is not None:
            self.labels = labels - np.where(labels < 0, self._of_none, offset).astype(labels.dtype)
        self.in_memory = split.in_memory

    def __len__(self) -> int:
        return len(self._split)

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        example = self._split.read(index)
        label = example["label"]
        return {**example, "label": label - tf.where(label < 0, self._of_none, self.labels_offset)}

    def name_of(self, index: int) -> str:
        return self._split.name_of(index)

    @property
    def fingerprint(self) -> str:
        return fingerprint_of(self._split.fingerprint, str(self.labels_offset))
