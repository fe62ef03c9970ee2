"""What a dataset is: two splits whose examples can be read in any order, with the same classes.

Any order, because then what a training step sees needs no reading of what came before it: a run
goes on in the middle of an epoch at once, and workers share an epoch without reading it whole.
"""

from __future__ import annotations

import abc
import dataclasses
import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

# The class in front of the others in TF-Slim's ImageNet heads of 1001 classes.
BACKGROUND = "background"


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


class Split(abc.ABC):
    """Labelled images, numbered from 0.

    Attributes:
        num_classes: Labels are from 0 to this - 1, but for examples that are damaged.
        labels: int `[N]`, where they are known without reading the images; None where not.
        in_memory: Whether reading can't fail, as the images are held as arrays.
        left_out: Names of the classes in front that an offset of the labels leaves out: an image of
            the last of them has label -1.
    """

    num_classes: int
    labels: np.ndarray | None = None
    in_memory: bool = False
    left_out: tuple[str, ...] = ()

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """Reads an example, in a `tf.data` function.

        Args:
            index: int scalar, from 0 to the number of examples - 1.

        Returns:
            `image`: a string scalar, an encoded JPEG, PNG, GIF or BMP; or pixels `[H, W, C]` with
            one or three channels, uint8, or float32 in [0, 1]. `label`: an int32 scalar.
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

    def examples(self, order_seed: tf.Tensor | None) -> tf.data.Dataset:
        """All examples once, as `read` gives them.

        Args:
            order_seed: As in `order`.

        Returns:
            A dataset of dictionaries.
        """
        import tensorflow as tf

        order = tf.data.Dataset.from_tensor_slices(self.order(order_seed))
        return order.map(self.read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


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
        self.left_out = whole.left_out

    def __len__(self) -> int:
        return len(self._indices)

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        return self._whole.read(tf.gather(self._held_indices, index))

    def name_of(self, index: int) -> str:
        return self._whole.name_of(int(self._indices[index]))

    @functools.cached_property
    def _held_indices(self) -> tf.Tensor:
        return held(self._indices)


class _OffsetLabels(Split):
    """A split with a number subtracted from its labels."""

    def __init__(self, split: Split, offset: int, left_out: tuple[str, ...]) -> None:
        self._split = split
        self.left_out = left_out
        self._offset = offset
        self.num_classes = split.num_classes - offset
        self.labels = None if split.labels is None else split.labels - offset
        self.in_memory = split.in_memory

    def __len__(self) -> int:
        return len(self._split)

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        example = self._split.read(index)
        return {**example, "label": example["label"] - self._offset}

    def name_of(self, index: int) -> str:
        return self._split.name_of(index)


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


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A training and a test split with the same classes.

    Args:
        name: As in `load_dataset`.
        train: What a model is trained on.
        test: What it is tested on; no image is in both.
        class_names: What the labels stand for, in their order.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]

    def with_labels_offset(self, offset: int) -> Dataset:
        """Subtracts a number from all labels, as TF-Slim's `--labels_offset` does.

        Args:
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
            return self
        if offset >= len(self.class_names):
            raise ValueError(
                f"labels_offset={offset} leaves no class of the {len(self.class_names)} of "
                f"{self.name}: it is the number of classes in front that no image is of."
            )
        for split in (self.train, self.test):
            labels = split.labels
            if labels is not None and len(labels) and labels.min() < offset:
                first = self.class_names[int(labels.min())]
                raise ValueError(
                    f"labels_offset={offset} is not for {self.name}, which has images of class "
                    f"{int(labels.min())} ({first}): it leaves out classes that no image is of."
                )
        names = self.class_names[offset:] if offset > 0 else (BACKGROUND,) * -offset
        left_out = self.class_names[: max(offset, 0)]
        return Dataset(
            name=self.name,
            train=_OffsetLabels(self.train, offset, left_out),
            test=_OffsetLabels(self.test, offset, left_out),
            class_names=names if offset > 0 else names + self.class_names,
        )

    def check_classes(self, num_classes: int, what: str) -> None:
        """Holds the number of classes against that of a head.

        Args:
            num_classes: Classes of the head.
            what: What messages call what has that head.

        Raises:
            ValueError: The numbers differ; the message tells of `labels_offset` where that helps.
        """
        found = len(self.class_names)
        if found == num_classes:
            return
        advice = "train a new head, or choose the dataset it was trained on"
        if abs(found - num_classes) == 1:
            advice = f"if the one more is a background class, labels_offset={found - num_classes}"
        raise ValueError(f"{self.name} has {found} classes and {what} has {num_classes}: {advice}.")
