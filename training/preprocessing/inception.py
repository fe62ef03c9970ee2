"""TF-Slim's preprocessing of the Inception nets and MobileNets.

Every number is from research/slim/preprocessing/inception_preprocessing.py in tensorflow/models.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf

from . import images
from .base import Preprocessing, seeds

_CENTRAL_FRACTION = 0.875
_MIN_OBJECT_COVERED = 0.1
_ASPECT_RATIOS = (0.75, 1.33)
_AREAS = (0.05, 1.0)
_MAX_ATTEMPTS = 100
# Added, or multiplied by.
_AMOUNTS = {
    "brightness": (-32 / 255, 32 / 255),
    "saturation": (0.5, 1.5),
    "hue": (-0.2, 0.2),
    "contrast": (0.5, 1.5),
}
_WHOLE_IMAGE = ((0.0, 0.0, 1.0, 1.0),)

# One of the orders is drawn for each image.
_FAST_ORDERS = (("brightness", "saturation"),)
_FULL_ORDERS = (
    ("brightness", "saturation", "hue", "contrast"),
    ("saturation", "brightness", "contrast", "hue"),
    ("contrast", "hue", "brightness", "saturation"),
    ("hue", "saturation", "contrast", "brightness"),
)


class Inception(Preprocessing):
    """A distorted crop in training, the central 7/8 in testing; values in [-1, 1].

    The training crop has 5 to 100 % of the image's area and is 0.75 to 1.33 times as wide as it is
    high; it is resized bilinearly, flipped half of the times, and its brightness and saturation
    changed: TF-Slim's `fast_mode`, which is its default.
    """

    value_range = (0.0, 1.0)
    _orders: tuple[tuple[str, ...], ...] = _FAST_ORDERS

    def distort(self, image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """As `Preprocessing.distort`, values in [0, 1]."""
        crop_seed, resize_seed, flip_seed, order_seed, color_seed = seeds(seed, 5)
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.concat([images.image_size(image), [3]], 0),
            bounding_boxes=[_WHOLE_IMAGE],
            seed=crop_seed,
            min_object_covered=_MIN_OBJECT_COVERED,
            aspect_ratio_range=_ASPECT_RATIOS,
            area_range=_AREAS,
            max_attempts=_MAX_ATTEMPTS,
            use_image_if_no_bounding_boxes=True,
        )
        resize = functools.partial(self._resized, size=size, seed=resize_seed)
        pixels = _resized_window(image, begin[:2], extent[:2], size, resize)
        changes = self._orders[0]
        amounts = {
            change: tf.random.stateless_uniform([], own_seed, *_AMOUNTS[change])
            for change, own_seed in zip(changes, seeds(color_seed, len(changes)), strict=True)
        }
        is_flipped = tf.random.stateless_uniform([], flip_seed) < 0.5
        order = tf.random.stateless_uniform([], order_seed, 0, len(self._orders), tf.int32)
        changed = [
            functools.partial(_flipped_and_recolored, pixels, is_flipped, amounts, o)
            for o in self._orders
        ]
        return tf.switch_case(order, changed)

    def crop(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """As `Preprocessing.crop`, values in [0, 1]."""
        whole = tf.cast(images.image_size(image), tf.float64)
        # As `tf.image.central_crop` rounds.
        begin = tf.cast((whole - whole * _CENTRAL_FRACTION) / 2, tf.int32)
        extent = tf.cast(whole, tf.int32) - 2 * begin
        resize = functools.partial(images.resize_bilinear, height=size, width=size)
        return _resized_window(image, begin, extent, size, resize)

    def normalize(self, pixels: tf.Tensor) -> tf.Tensor:
        """From [0, 1] to [-1, 1]."""
        return (pixels - 0.5) * 2.0

    def _resized(self, pixels: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        return images.resize_bilinear(pixels, size, size)


class InceptionFull(Inception):
    """`Inception` with hue and contrast changed as well, and one of four ways of resizing."""

    _orders = _FULL_ORDERS

    def _resized(self, pixels: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        given = {"images": pixels[tf.newaxis], "size": [size, size], "align_corners": False}
        ways = (
            lambda: images.resize_bilinear(pixels, size, size),
            lambda: tf.cast(tf.raw_ops.ResizeNearestNeighbor(**given)[0], tf.float32),
            lambda: tf.raw_ops.ResizeBicubic(**given)[0],
            lambda: tf.raw_ops.ResizeArea(**given)[0],
        )
        return tf.switch_case(tf.random.stateless_uniform([], seed, 0, len(ways), tf.int32), ways)


def _resized_window(
    image: tf.Tensor,
    begin: tf.Tensor,
    extent: tf.Tensor,
    size: int,
    resize: Callable[[tf.Tensor], tf.Tensor],
) -> tf.Tensor:
    """A part of the image after resizing: float32 `[size, size, 3]` in [0, 1]."""
    pixels = images.decode_window(image, begin, extent)
    resized = tf.ensure_shape(resize(pixels), [size, size, 3])
    # Pixels stay bytes until there are fewer of them.
    return resized / 255.0 if pixels.dtype == tf.uint8 else resized


# XLA makes one pass over the pixels of what are a dozen op by op.
@tf.function(jit_compile=True)
def _flipped_and_recolored(
    pixels: tf.Tensor, is_flipped: tf.Tensor, amounts: dict[str, tf.Tensor], order: tuple[str, ...]
) -> tf.Tensor:
    changes = {
        "brightness": tf.add,
        "saturation": images.adjust_saturation,
        "hue": tf.image.adjust_hue,
        "contrast": tf.image.adjust_contrast,
    }
    pixels = tf.where(is_flipped, pixels[:, ::-1], pixels)
    for change in order:
        pixels = changes[change](pixels, amounts[change])
    return tf.clip_by_value(pixels, 0.0, 1.0)
