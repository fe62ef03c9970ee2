"""TF-Slim's preprocessing for MNIST.

Every number is from research/slim/preprocessing/lenet_preprocessing.py in tensorflow/models.
"""

from __future__ import annotations

import tensorflow as tf

from . import images
from .base import Preprocessing

_MIDDLE = 128.0


class Lenet(Preprocessing):
    """The image's centre, cropped or padded without resizing; the same in training.

    Values are in [-1, 1): 0 to 255, less 128, over 128.
    """

    value_range = (0.0, 255.0)

    def distort(self, image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """As `crop`: nothing is random."""
        return self.crop(image, size)

    def crop(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """As `Preprocessing.crop`, values from 0 to 255."""
        pixels = images.decode(image, max_value=255)
        return tf.ensure_shape(
            tf.image.resize_with_crop_or_pad(pixels, size, size), [size, size, 3]
        )

    def normalize(self, pixels: tf.Tensor) -> tf.Tensor:
        """From 0 to 255 to -1 to 1."""
        return (pixels - _MIDDLE) / _MIDDLE
