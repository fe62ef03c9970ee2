"""The whole image, resized: for small images that are centred already, as digits are."""

from __future__ import annotations

import tensorflow as tf

from . import images
from .base import Preprocessing


class Resize(Preprocessing):
    """The whole image resized bilinearly, the same in training; values in [-1, 1].

    [-1, 1] is what TF-Slim's Inception preprocessing gives, which the MobileNets are trained with.
    """

    value_range = (0.0, 1.0)

    def distort(self, image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """As `crop`: nothing is random."""
        return self.crop(image, size)

    def crop(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """As `Preprocessing.crop`, values in [0, 1]."""
        pixels = images.decode(image, max_value=1)
        return tf.image.resize(pixels, [size, size], method="bilinear")

    def normalize(self, pixels: tf.Tensor) -> tf.Tensor:
        """From [0, 1] to [-1, 1]."""
        return pixels * 2.0 - 1.0
