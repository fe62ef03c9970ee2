"""Augmentations of the papers, by Keras' layers, as functions of a seed.

Keras' layers draw from a generator with state. Here each gets one that counts from the example's
own seed, so that what an example becomes does not depend on what was read before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

Transformation = Mapping[str, tf.Tensor]

# What RandAugment draws from (https://arxiv.org/abs/1909.13719), as Keras names its own layers.
_RAND_AUGMENT_OPERATIONS = (
    "random_shear",
    "random_translation",
    "random_rotation",
    "random_brightness",
    "random_color_degeneration",
    "random_contrast",
    "random_sharpness",
    "random_posterization",
    "solarization",
    "auto_contrast",
    "equalization",
)
_OPERATIONS_AN_IMAGE = 2
_BYTE_RANGE = (0, 255)


class SeedSequence(keras.random.SeedGenerator):
    """Hands Keras' layers a seed's own sequence of seeds.

    Args:
        seed: int32 `[2]`.
    """

    def __init__(self, seed: tf.Tensor) -> None:
        # The class that Keras asks for keeps a variable, which a function of the seed must not.
        self._seed = seed
        self._drawn = 0

    def next(self, ordered: bool = True) -> tf.Tensor:
        """The next seed."""
        self._drawn += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._drawn)


def rand_augment(
    strength: float, value_range: tuple[float, float]
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """RandAugment: two operations drawn from eleven, one after the other.

    Args:
        strength: `factor` of `keras.layers.RandAugment`, 0 to 1.
        value_range: Least and greatest value of the pixels.

    Returns:
        A function of pixels, float32 `[H, W, 3]`, and a seed, int32 `[2]`, that gives such pixels,
        clipped to the range.
    """
    layer = keras.layers.RandAugment(_BYTE_RANGE, factor=strength, dtype="float32")
    operations = [getattr(layer, name) for name in _RAND_AUGMENT_OPERATIONS]
    low, high = value_range
    scale = 255 / (high - low)

    def augment(pixels: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        # Some of the layers reckon in 0 to 255 whatever the range they are told.
        pixels = tf.clip_by_value((pixels - low) * scale, *map(float, _BYTE_RANGE))
        shape = pixels.shape
        for number in range(_OPERATIONS_AN_IMAGE):
            own_seed = tf.random.experimental.stateless_fold_in(seed, number)
            drawn = tf.random.stateless_uniform([], own_seed, 0, len(operations), tf.int32)
            # The layer itself applies all eleven and keeps one.
            branches = [_applied(operation, pixels, own_seed) for operation in operations]
            pixels = tf.ensure_shape(tf.switch_case(drawn, branches), shape)
        return pixels / scale + low

    return augment


def random_erasing(
    probability: float, value_range: tuple[float, float]
) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Random erasing (https://arxiv.org/abs/1708.04896): a rectangle becomes noise.

    Args:
        probability: Of an image's getting one, 0 to 1.
        value_range: Least and greatest value of the pixels.

    Returns:
        A function as `rand_augment` returns it.
    """
    layer = keras.layers.RandomErasing(
        factor=(probability, probability), value_range=value_range, dtype="float32"
    )
    return lambda pixels, seed: tf.ensure_shape(_applied(layer, pixels, seed)(), pixels.shape)


def shift(pixels: tf.Tensor, max_shift: float, seed: tf.Tensor) -> tf.Tensor:
    """Moves an image by up to a share of its size; what comes in at the border is 0.

    Args:
        pixels: float32 `[H, W, 3]`.
        max_shift: The share, 0 to 1.
        seed: int32 `[2]`.

    Returns:
        float32 `[H, W, 3]`.
    """
    height, width, _ = pixels.shape
    limits = tf.constant([max_shift * height, max_shift * width])
    dy, dx = tf.unstack(tf.random.stateless_uniform([2], seed, -limits, limits))
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=pixels[tf.newaxis],
        # Rows of a 3x3 matrix, the last 1 left out.
        transforms=tf.stack([[1.0, 0.0, dx, 0.0, 1.0, dy, 0.0, 0.0]]),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    return moved[0]


class Mixing:
    """Mixup (https://arxiv.org/abs/1710.09412) and CutMix (https://arxiv.org/abs/1905.04899).

    Each image is mixed with the one behind it in the batch: in an epoch's random order that is as
    good as any. So whoever has a part of a batch needs of the rest only the next rows. Where both
    are asked for, each image gets one of them, drawn evenly.

    Args:
        mixup: `alpha` of `keras.layers.MixUp`, 0 for none.
        cutmix: `factor` of `keras.layers.CutMix`, 0 for none.
        num_classes: Classes of the labels.

    Attributes:
        partners: How many of the next rows it takes to mix a row.
    """

    def __init__(self, mixup: float, cutmix: float, num_classes: int) -> None:
        self._layers: list[Any] = []
        if mixup:
            self._layers.append(keras.layers.MixUp(alpha=mixup, dtype="float32"))
        if cutmix:
            self._layers.append(keras.layers.CutMix(factor=cutmix, dtype="float32"))
        self._num_classes = num_classes
        self.partners = len(self._layers)

    def draw(self, pixels: tf.Tensor, seed: tf.Tensor) -> tuple[Transformation, ...]:
        """Draws how an example is mixed.

        Args:
            pixels: float32 `[H, W, 3]`.
            seed: int32 `[2]`.

        Returns:
            What `mix` needs of it, for each of Keras' layers.
        """
        chosen = tf.random.stateless_uniform([], seed, 0, max(self.partners, 1), tf.int32)
        drawn = []
        for number, layer in enumerate(self._layers):
            own_seed = tf.random.experimental.stateless_fold_in(seed, number)
            found = layer.get_random_transformation(
                pixels[tf.newaxis], training=True, seed=SeedSequence(own_seed)
            )
            own = {"mix_weight": tf.reshape(found["mix_weight"], [])}
            if "batch_masks" in found:
                own["batch_masks"] = found["batch_masks"][0]
            drawn.append(_unless(chosen == number, own))
        return tuple(drawn)

    def mix(
        self,
        pixels: tf.Tensor,
        labels: tf.Tensor,
        can_be_mixed: tf.Tensor,
        drawn: tuple[Transformation, ...],
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Mixes a batch.

        Args:
            pixels: float32 `[B + partners, H, W, 3]`: the rows behind the batch come with it.
            labels: int32 `[B + partners]`.
            can_be_mixed: bool `[B + partners]`: False for rows that no other is mixed with.
            drawn: A batch of what `draw` gave.

        Returns:
            float32 `[B, H, W, 3]` and float32 `[B, num_classes]`, which add up to 1.
        """
        soft = tf.one_hot(labels, self._num_classes)
        rows = labels.shape[0]
        # The last row has none behind it: it is there for the one in front.
        following = tf.minimum(tf.range(1, rows + 1), rows - 1)
        for layer, transformation in zip(self._layers, drawn, strict=True):
            allowed = tf.gather(can_be_mixed, following)
            transformation = _unless(allowed, transformation)
            transformation["permutation_order"] = following
            pixels = layer.transform_images(pixels, transformation)
            soft = layer.transform_labels(soft, transformation)
        return pixels[: rows - self.partners], soft[: rows - self.partners]


def _applied(layer: Any, pixels: tf.Tensor, seed: tf.Tensor) -> Callable[[], tf.Tensor]:
    def apply() -> tf.Tensor:
        batch = pixels[tf.newaxis]
        drawn = layer.get_random_transformation(batch, training=True, seed=SeedSequence(seed))
        return layer.transform_images(batch, drawn)[0]

    return apply


def _unless(mixed: tf.Tensor, transformation: Transformation) -> dict[str, tf.Tensor]:
    """The transformation where it is to be, and elsewhere none: a weight of 1, no mask."""
    changed = {"mix_weight": tf.where(mixed, transformation["mix_weight"], 1.0)}
    if "batch_masks" in transformation:
        masks = transformation["batch_masks"]
        shape = tf.concat([tf.shape(mixed), tf.ones(tf.rank(masks) - tf.rank(mixed), tf.int32)], 0)
        changed["batch_masks"] = masks & tf.reshape(mixed, shape)
    return changed
