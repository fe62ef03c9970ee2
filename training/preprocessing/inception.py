"""TF-Slim's preprocessing of the Inception nets and MobileNets.

Every number is from research/slim/preprocessing/inception_preprocessing.py in tensorflow/models.
"""

from __future__ import annotations

import functools

import tensorflow as tf

from . import images
from .base import Preprocessing, seeds

_CENTRAL_FRACTION = 0.875
_MIN_OBJECT_COVERED = 0.1
_ASPECT_RATIOS = (0.75, 1.33)
_AREAS = (0.05, 1.0)
_MAX_ATTEMPTS = 100
_MAX_BRIGHTNESS_DELTA = 32 / 255
_MAX_HUE_DELTA = 0.2
_SATURATIONS = _CONTRASTS = (0.5, 1.5)
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
        pixels = images.decode_window(image, begin[:2], extent[:2], max_value=1)
        pixels = tf.ensure_shape(self._resized(pixels, size, resize_seed), [size, size, 3])
        pixels = tf.image.stateless_random_flip_left_right(pixels, flip_seed)
        order = tf.random.stateless_uniform([], order_seed, 0, len(self._orders), tf.int32)
        changed = [functools.partial(_recolored, pixels, o, color_seed) for o in self._orders]
        return tf.clip_by_value(tf.switch_case(order, changed), 0.0, 1.0)

    def crop(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """As `Preprocessing.crop`, values in [0, 1]."""
        whole = tf.cast(images.image_size(image), tf.float64)
        # As `tf.image.central_crop` rounds.
        begin = tf.cast((whole - whole * _CENTRAL_FRACTION) / 2, tf.int32)
        extent = tf.cast(whole, tf.int32) - 2 * begin
        pixels = images.decode_window(image, begin, extent, max_value=1)
        return tf.ensure_shape(images.resize_bilinear(pixels, size, size), [size, size, 3])

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
            lambda: tf.raw_ops.ResizeNearestNeighbor(**given)[0],
            lambda: tf.raw_ops.ResizeBicubic(**given)[0],
            lambda: tf.raw_ops.ResizeArea(**given)[0],
        )
        return tf.switch_case(tf.random.stateless_uniform([], seed, 0, len(ways), tf.int32), ways)


def _recolored(pixels: tf.Tensor, order: tuple[str, ...], seed: tf.Tensor) -> tf.Tensor:
    change = tf.image
    for what, own_seed in zip(order, seeds(seed, len(order)), strict=True):
        if what == "brightness":
            pixels = change.stateless_random_brightness(pixels, _MAX_BRIGHTNESS_DELTA, own_seed)
        elif what == "saturation":
            pixels = change.stateless_random_saturation(pixels, *_SATURATIONS, own_seed)
        elif what == "hue":
            pixels = change.stateless_random_hue(pixels, _MAX_HUE_DELTA, own_seed)
        else:
            pixels = change.stateless_random_contrast(pixels, *_CONTRASTS, own_seed)
    return pixels
