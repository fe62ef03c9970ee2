"""What a preprocessing is: a crop, distorted in training, and the scale that the model expects."""

from __future__ import annotations

import abc

import tensorflow as tf


class Preprocessing(abc.ABC):
    """Makes of an image of any size what a model sees.

    An image is a string scalar, an encoded JPEG, PNG, GIF, BMP or WebP; or pixels `[H, W, C]` with
    one or three channels, uint8, or float32 in [0, 1]. Whatever is random is a function of the seed
    alone.

    Attributes:
        value_range: The least and the greatest value of the pixels before they are normalized.
    """

    value_range: tuple[float, float]

    @abc.abstractmethod
    def distort(self, image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """A random crop, distorted at random.

        Args:
            image: As above.
            size: Height and width of the crop, in pixels.
            seed: int32 `[2]`.

        Returns:
            float32 `[size, size, 3]`.
        """

    @abc.abstractmethod
    def crop(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """The crop that models are tested on.

        Args:
            image: As above.
            size: Height and width of the crop, in pixels.

        Returns:
            float32 `[size, size, 3]`.
        """

    @abc.abstractmethod
    def normalize(self, pixels: tf.Tensor) -> tf.Tensor:
        """Maps a crop's values to those that the model expects.

        Args:
            pixels: float32 `[size, size, 3]`.

        Returns:
            The same shape and type.
        """

    def train(self, image: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
        """What a model sees of an image in training; arguments as in `distort`."""
        return self.normalize(self.distort(image, size, seed))

    def evaluate(self, image: tf.Tensor, size: int) -> tf.Tensor:
        """What a model sees of an image when it is tested; arguments as in `crop`."""
        return self.normalize(self.crop(image, size))


def seeds(seed: tf.Tensor, number: int) -> list[tf.Tensor]:
    """Independent seeds from one.

    Args:
        seed: int32 `[2]`.
        number: How many.

    Returns:
        int32 `[2]` each.
    """
    return [tf.random.experimental.stateless_fold_in(seed, i) for i in range(number)]
