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
# Added, or multiplied by.
_AMOUNTS = {
    "brightness": (-32 / 255, 32 / 255),
    "saturation": (0.5, 1.5),
    "hue": (-0.2, 0.2),
    "contrast": (0.5, 1.5),
}
_NORMALIZED = (-1.0, 1.0)
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
        return self._distorted(image, size, seed, self.value_range)

    def train(self, image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """As `Preprocessing.train`, in fewer passes over the pixels."""
        return self._distorted(image, size, seed, _NORMALIZED)

    def crop(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """As `Preprocessing.crop`, values in [0, 1]."""
        return _central(image, size, self.value_range)

    def evaluate(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """As `Preprocessing.evaluate`, in fewer passes over the pixels."""
        return _central(image, size, _NORMALIZED)

    def normalize(self, pixels: tf.Tensor) -> tf.Tensor:
        """From [0, 1] to [-1, 1]."""
        return (pixels - 0.5) * 2.0

    def _distorted(
        self, image: tf.Tensor, size: int, seed: tf.Tensor, value_range: tuple[float, float]
    ) -> tf.Tensor:
        crop_seed, resize_seed, order_seed, color_seed = seeds(seed, 4)
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
        window = images.decode_window(image, begin[:2], extent[:2])
        pixels = tf.ensure_shape(self._resized(window, size, resize_seed), [size, size, 3])
        # All at once: a draw takes four small operations, and a seed of its own two.
        drawn = tf.random.stateless_uniform([1 + len(self._orders[0])], color_seed)
        changed = [
            functools.partial(_flipped_and_recolored, pixels, drawn, order, value_range)
            for order in self._orders
        ]
        if len(changed) == 1:
            return changed[0]()
        chosen = tf.random.stateless_uniform([], order_seed, 0, len(changed), tf.int32)
        return tf.switch_case(chosen, changed)

    def _resized(self, pixels: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """Pixels as decoded at the new size, float32 in [0, 1]."""
        return images.resize_bilinear(pixels, size, size, self.value_range)


class InceptionFull(Inception):
    """`Inception` with hue and contrast changed as well, and one of four ways of resizing."""

    _orders = _FULL_ORDERS

    def _resized(self, pixels: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        given = {"images": pixels[tf.newaxis], "size": [size, size], "align_corners": False}
        ways = (
            lambda: tf.raw_ops.ResizeBilinear(**given)[0],
            lambda: tf.cast(tf.raw_ops.ResizeNearestNeighbor(**given)[0], tf.float32),
            lambda: tf.raw_ops.ResizeBicubic(**given)[0],
            lambda: tf.raw_ops.ResizeArea(**given)[0],
        )
        way = tf.random.stateless_uniform([], seed, 0, len(ways), tf.int32)
        resized = tf.switch_case(way, ways)
        # Pixels stay bytes until there are fewer of them.
        return resized / 255.0 if pixels.dtype == tf.uint8 else resized


def _central(image: tf.Tensor, size: int, value_range: tuple[float, float]) -> tf.Tensor:
    whole = tf.cast(images.image_size(image), tf.float64)
    # As `tf.image.central_crop` rounds.
    begin = tf.cast((whole - whole * _CENTRAL_FRACTION) / 2, tf.int32)
    extent = tf.cast(whole, tf.int32) - 2 * begin
    pixels = images.decode_window(image, begin, extent)
    return tf.ensure_shape(images.resize_bilinear(pixels, size, size, value_range), [size, size, 3])


# XLA makes one pass over the pixels of what are a dozen op by op.
@tf.function(jit_compile=True)
def _flipped_and_recolored(
    pixels: tf.Tensor,
    drawn: tf.Tensor,
    order: tuple[str, ...],
    value_range: tuple[float, float],
) -> tf.Tensor:
    """Pixels from [0, 1] in a range; `drawn` is a number in [0, 1) for the flip and each change."""
    changes = {
        "brightness": tf.add,
        "saturation": images.adjust_saturation,
        "hue": tf.image.adjust_hue,
        "contrast": tf.image.adjust_contrast,
    }
    flip, *shares = tf.unstack(drawn)
    pixels = tf.where(flip < 0.5, pixels[:, ::-1], pixels)
    for change, share in zip(order, shares, strict=True):
        least, most = _AMOUNTS[change]
        pixels = changes[change](pixels, least + share * (most - least))
    low, high = value_range
    return tf.clip_by_value(pixels, 0.0, 1.0) * (high - low) + low
