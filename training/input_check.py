"""Whether the images of a dataset suit the settings of a run, before it begins."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from .bad_examples import BadExamples
from .datasets import Dataset, Split, check_labels_offset
from .image_errors import decoding_error, is_out_of_memory, line_of
from .input_pipeline import preprocessing_of
from .train_config import TrainConfig

# Examples that are read: if none can be used, the settings are at fault.
_PROBED = 8


def check_input(dataset: Dataset, config: TrainConfig) -> None:
    """Reads the first examples, so that settings the images don't suit are told at once.

    Args:
        dataset: What the run is to train on.
        config: The run's settings.

    Raises:
        MemoryError: An image needs more memory than there is.
        ValueError: None of the first examples of a part can be used; says why of the first one. Or
            one is of a class that the offset of the labels leaves out.
    """
    preprocess, size, seed = preprocessing_of(config), config.image_size, tf.constant([0, 0])
    ways: dict[str, tuple[Split, Callable[[tf.Tensor], tf.Tensor]]] = {
        "training": (dataset.train, lambda image: preprocess.train(image, size, seed)),
        "test": (dataset.test, lambda image: preprocess.evaluate(image, size)),
    }
    for part, (split, way) in ways.items():
        if not len(split):
            raise ValueError(f"{config.dataset} has no {part} images.")
        bad = BadExamples(split, config.max_bad_fraction, part)
        probed = range(min(_PROBED, len(split)))
        # All are read, as any may have a label that is not for the offset.
        try:
            usable = [_can_be_used(split, index, way) for index in probed]
        except tf.errors.OpError as error:
            raise MemoryError(
                f"{part} images of {config.dataset} at image_size={size} run out of memory "
                f"({line_of(error)}): take a smaller size."
            ) from error
        if not any(usable):
            name, shape = split.name_of(0), _shape_of(split)
            raise ValueError(
                f"None of the first {len(probed)} {part} images of {config.dataset} can be used "
                f"with the preprocessing {type(preprocess).__name__.lower()} at image_size={size}. "
                f"The first, {name}{shape}: {bad.reason(0)}.{bad.advice([0])}"
            )


def _can_be_used(split: Split, index: int, way: Callable[[tf.Tensor], tf.Tensor]) -> bool:
    try:
        example = split.read(tf.constant(index))
    except tf.errors.OpError:
        return False
    label = int(example["label"])
    check_labels_offset(split, index, label)
    try:
        way(example["image"])
    except (tf.errors.OpError, ValueError) as error:
        # An image that is too large by itself is bad as any other; else all are made too large.
        if is_out_of_memory(error) and decoding_error(example["image"]) is None:
            raise
        return False
    return 0 <= label < split.num_classes


def _shape_of(split: Split) -> str:
    try:
        image = split.read(tf.constant(0))["image"]
        if image.dtype == tf.string:
            image = tf.io.decode_image(image, channels=3, expand_animations=False)
    except tf.errors.OpError:
        return ""
    return f" of {image.shape[0]}x{image.shape[1]} pixels"
