"""TF-Slim's preprocessing of the VGG nets and of ResNet v1.

Every number is from research/slim/preprocessing/vgg_preprocessing.py in tensorflow/models.
"""

from __future__ import annotations

import tensorflow as tf

from . import images
from .base import Preprocessing, seeds
from .names import VGG_SMALLEST_SIDE

# Red, green and blue over ImageNet's training images, 0 to 255.
_MEAN = (123.68, 116.78, 103.94)
_LARGEST_SIDE = 512


class Vgg(Preprocessing):
    """A crop of the resized image, less ImageNet's mean colour.

    The smaller side becomes 256 pixels long, in training 256 to 512, drawn for each image; the crop
    is central, in training anywhere and flipped half of the times. Values are those of 0 to 255,
    less the mean.
    """

    value_range = (0.0, 255.0)

    def distort(self, image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """As `Preprocessing.distort`, values from 0 to 255."""
        side_seed, crop_seed, flip_seed = seeds(seed, 3)
        side = tf.random.stateless_uniform(
            [], side_seed, VGG_SMALLEST_SIDE, _LARGEST_SIDE + 1, tf.int32
        )
        pixels = _with_smaller_side(images.decode(image, max_value=255), side)
        pixels = tf.image.stateless_random_crop(pixels, [size, size, 3], crop_seed)
        return tf.image.stateless_random_flip_left_right(pixels, flip_seed)

    def crop(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """As `Preprocessing.crop`, values from 0 to 255."""
        pixels = _with_smaller_side(images.decode(image, max_value=255), VGG_SMALLEST_SIDE)
        begin = (tf.shape(pixels)[:2] - size) // 2
        return tf.slice(pixels, tf.pad(begin, [[0, 1]]), [size, size, 3])

    def normalize(self, pixels: tf.Tensor) -> tf.Tensor:
        """Subtracts the mean colour."""
        return pixels - _MEAN


def _with_smaller_side(pixels: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Resizes so that the smaller side has that length and the proportions stay."""
    extent = tf.cast(tf.shape(pixels)[:2], tf.float32)
    scale = tf.cast(side, tf.float32) / tf.reduce_min(extent)
    height, width = tf.unstack(tf.cast(tf.math.rint(extent * scale), tf.int32))
    return images.resize_bilinear(pixels, height, width)
