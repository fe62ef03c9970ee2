"""TF-Slim's preprocessing for CIFAR-10.

Every number is from research/slim/preprocessing/cifarnet_preprocessing.py in tensorflow/models.
"""

from __future__ import annotations

import tensorflow as tf

from . import images
from .base import Preprocessing, seeds

_PADDING = 4
_MAX_BRIGHTNESS_DELTA = 63
_CONTRASTS = (0.2, 1.8)


class Cifarnet(Preprocessing):
    """A crop of the padded image without resizing, standardized.

    In training the image gets 4 black pixels on each side, the crop is anywhere, flipped half of
    the times, brightness and contrast are changed. In testing the image is cropped or padded to its
    centre. Then each crop's mean becomes 0 and its variance 1.
    """

    value_range = (0.0, 255.0)

    def distort(self, image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """As `Preprocessing.distort`; values about 0 to 255, as brightness is not clipped."""
        crop_seed, flip_seed, brightness_seed, contrast_seed = seeds(seed, 4)
        around = [[_PADDING, _PADDING], [_PADDING, _PADDING], [0, 0]]
        pixels = tf.pad(images.decode(image, max_value=255), around)
        pixels = tf.image.stateless_random_crop(pixels, [size, size, 3], crop_seed)
        pixels = tf.image.stateless_random_flip_left_right(pixels, flip_seed)
        change = tf.image
        pixels = change.stateless_random_brightness(pixels, _MAX_BRIGHTNESS_DELTA, brightness_seed)
        return change.stateless_random_contrast(pixels, *_CONTRASTS, contrast_seed)

    def crop(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """As `Preprocessing.crop`, values from 0 to 255."""
        pixels = images.decode(image, max_value=255)
        return tf.ensure_shape(
            tf.image.resize_with_crop_or_pad(pixels, size, size), [size, size, 3]
        )

    def normalize(self, pixels: tf.Tensor) -> tf.Tensor:
        """Takes off the mean and divides by the deviation, or 1/sqrt(values) if that is less."""
        return tf.image.per_image_standardization(pixels)
