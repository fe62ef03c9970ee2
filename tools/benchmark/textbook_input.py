"""Input pipelines as textbooks have them: decode the whole image, then crop, resize and distort.

With the numbers of `training.preprocessing` and TF1's way of resizing, so that both give a model
the same. Pixels stay bytes until they are computed with, as decoders give them.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from ...training.datasets import Split
from .input_settings import TEXTBOOK_PREPROCESSINGS

_CENTRAL_FRACTION = 0.875
_SIDES = (256, 512)
_MEAN = (123.68, 116.78, 103.94)

# From pixels as `decode` gives them and a size to an image for a model, float32 `[size, size, 3]`.
_Prepare = Callable[[tf.Tensor, int], tf.Tensor]


def training_batches(
    split: Split, preprocessing: str, image_size: int, batch_size: int
) -> tf.data.Dataset:
    """Shuffled and distorted batches without end.

    Args:
        split: the images.
        preprocessing: one of `TEXTBOOK_PREPROCESSINGS`.
        image_size: height and width of the crops, in pixels.
        batch_size: images in a batch.

    Returns:
        A dataset of images, float32 `[B, image_size, image_size, 3]` in the model's range, and
        labels.
    """
    order = tf.data.Dataset.range(len(split)).shuffle(len(split)).repeat()
    examples = _prepared(split, order, _DISTORT[preprocessing], image_size)
    return examples.batch(batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(
    split: Split, preprocessing: str, image_size: int, batch_size: int
) -> tf.data.Dataset:
    """All images once, their central part; arguments and returns as for `training_batches`."""
    order = tf.data.Dataset.range(len(split))
    examples = _prepared(split, order, _CROP[preprocessing], image_size)
    return examples.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def _prepared(
    split: Split, order: tf.data.Dataset, prepare: _Prepare, size: int
) -> tf.data.Dataset:
    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = split.read(index)
        pixels = prepare(decode(example["image"]), size)
        return tf.ensure_shape(pixels, [size, size, 3]), example["label"]

    return order.map(load, num_parallel_calls=tf.data.AUTOTUNE)


def _inception_distorted(pixels: tf.Tensor, size: int) -> tf.Tensor:
    begin, extent, _ = tf.image.sample_distorted_bounding_box(
        tf.shape(pixels),
        bounding_boxes=tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        min_object_covered=0.1,
        aspect_ratio_range=(0.75, 1.33),
        area_range=(0.05, 1.0),
        max_attempts=100,
        use_image_if_no_bounding_boxes=True,
    )
    pixels = _resized(_as_floats(tf.slice(pixels, begin, extent)), [size, size])
    pixels = tf.image.random_flip_left_right(tf.ensure_shape(pixels, [None, None, 3]))
    pixels = tf.image.random_brightness(pixels, 32 / 255)
    pixels = tf.image.random_saturation(pixels, 0.5, 1.5)
    return (tf.clip_by_value(pixels, 0.0, 1.0) - 0.5) * 2.0


def _inception_cropped(pixels: tf.Tensor, size: int) -> tf.Tensor:
    pixels = _as_floats(tf.image.central_crop(pixels, _CENTRAL_FRACTION))
    return (_resized(pixels, [size, size]) - 0.5) * 2.0


def _vgg_distorted(pixels: tf.Tensor, size: int) -> tf.Tensor:
    side = tf.random.uniform([], _SIDES[0], _SIDES[1] + 1, tf.int32)
    pixels = tf.image.random_crop(_with_smaller_side(pixels, side), [size, size, 3])
    return tf.image.random_flip_left_right(pixels) - _MEAN


def _vgg_cropped(pixels: tf.Tensor, size: int) -> tf.Tensor:
    pixels = _with_smaller_side(pixels, tf.constant(_SIDES[0]))
    begin = (tf.shape(pixels)[:2] - size) // 2
    return tf.image.crop_to_bounding_box(pixels, begin[0], begin[1], size, size) - _MEAN


_DISTORT: dict[str, _Prepare] = dict(
    zip(TEXTBOOK_PREPROCESSINGS, (_inception_distorted, _vgg_distorted), strict=True)
)
_CROP: dict[str, _Prepare] = dict(
    zip(TEXTBOOK_PREPROCESSINGS, (_inception_cropped, _vgg_cropped), strict=True)
)


def _with_smaller_side(pixels: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Float32 pixels from 0 to 255, the smaller side that long, in the same proportions."""
    extent = tf.cast(tf.shape(pixels)[:2], tf.float32)
    scale = tf.cast(side, tf.float32) / tf.reduce_min(extent)
    resized = _resized(pixels, tf.cast(tf.round(extent * scale), tf.int32))
    return resized if pixels.dtype == tf.uint8 else resized * 255


def _resized(pixels: tf.Tensor, size: tf.Tensor | list[int]) -> tf.Tensor:
    """Resized bilinearly as by TF1; float32 whatever came."""
    return tf.compat.v1.image.resize(pixels, size)


def decoded(split: Split) -> tf.data.Dataset:
    """All images once, decoded and no more, as `decode` gives them."""
    return tf.data.Dataset.range(len(split)).map(
        lambda index: decode(split.read(index)["image"]), num_parallel_calls=tf.data.AUTOTUNE
    )


def decode(image: tf.Tensor) -> tf.Tensor:
    """Pixels of an image as `Split.read` gives it: `[H, W, 3]`, uint8, or float32 in [0, 1]."""
    if image.dtype == tf.string:
        image = tf.io.decode_image(image, channels=3, expand_animations=False)
    return tf.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def _as_floats(pixels: tf.Tensor) -> tf.Tensor:
    return tf.image.convert_image_dtype(pixels, tf.float32)
