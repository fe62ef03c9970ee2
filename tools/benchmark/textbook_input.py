"""The input pipeline as textbooks have it: decode the whole image, then crop, resize and distort.

With the numbers of `training.preprocessing.inception` and TF1's way of resizing, so that both give
a model the same.
"""

from __future__ import annotations

import tensorflow as tf

from ...training.datasets import Split

_CENTRAL_FRACTION = 0.875


def training_batches(split: Split, image_size: int, batch_size: int) -> tf.data.Dataset:
    """Shuffled and distorted batches without end.

    Args:
        split: the images.
        image_size: height and width of the crops, in pixels.
        batch_size: images in a batch.

    Returns:
        A dataset of images, float32 `[B, image_size, image_size, 3]` in [-1, 1], and labels.
    """

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = split.read(index)
        pixels = decode(example["image"])
        begin, extent, _ = tf.image.sample_distorted_bounding_box(
            tf.shape(pixels),
            bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
            min_object_covered=0.1,
            aspect_ratio_range=(0.75, 1.33),
            area_range=(0.05, 1.0),
            max_attempts=100,
            use_image_if_no_bounding_boxes=True,
        )
        pixels = tf.compat.v1.image.resize(
            tf.slice(pixels, begin, extent), [image_size, image_size]
        )
        pixels = tf.image.random_flip_left_right(tf.ensure_shape(pixels, [None, None, 3]))
        pixels = tf.image.random_brightness(pixels, 32 / 255)
        pixels = tf.image.random_saturation(pixels, 0.5, 1.5)
        return (tf.clip_by_value(pixels, 0.0, 1.0) - 0.5) * 2.0, example["label"]

    order = tf.data.Dataset.range(len(split)).shuffle(len(split)).repeat()
    examples = order.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return examples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(split: Split, image_size: int, batch_size: int) -> tf.data.Dataset:
    """All images once, their central part; arguments and returns as for `training_batches`."""

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = split.read(index)
        pixels = tf.image.central_crop(decode(example["image"]), _CENTRAL_FRACTION)
        pixels = tf.compat.v1.image.resize(pixels, [image_size, image_size])
        return (tf.ensure_shape(pixels, [None, None, 3]) - 0.5) * 2.0, example["label"]

    examples = tf.data.Dataset.range(len(split)).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def decoded(split: Split) -> tf.data.Dataset:
    """All images once, decoded and no more: float32 `[H, W, 3]` in [0, 1]."""
    return tf.data.Dataset.range(len(split)).map(
        lambda index: decode(split.read(index)["image"]), num_parallel_calls=tf.data.AUTOTUNE
    )


def decode(image: tf.Tensor) -> tf.Tensor:
    """Pixels of an image as `Split.read` gives it: float32 `[H, W, 3]` in [0, 1]."""
    if image.dtype == tf.string:
        image = tf.io.decode_image(image, channels=3, expand_animations=False)
    pixels = tf.image.convert_image_dtype(image, tf.float32)
    return tf.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
