"""What all Inceptions have in common: their options, and of three of them the auxiliary head.

Numbers are those of TF-Slim's `research/slim/nets/inception_utils.py` and of the nets beside it,
which agree on them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from . import options
from .branches import Pool, side_after

DROPOUT_KEEP_PROB = 0.8
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 0.001

# The auxiliary head: a pool, a 1x1 convolution, and one over the map that is left.
AUX_POOL = Pool("AvgPool_1a_5x5", 5, stride=3, padding="VALID")
AUX_REDUCTION_DEPTH = 128
AUX_DEPTH = 768
# What the pool leaves of the published images, of 299x299 pixels. TF-Slim's Inception v3 takes it
# for images of unknown size; its Inception v4 and Inception-ResNet v2 fail on these. Here all do as
# v3.
AUX_MAP_SIZE = 5
_UNKNOWN = "unknown size, which counts as 299x299"
_WITHOUT = "make the model with create_aux_logits=False."


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options that all Inceptions have, checked.

    Args:
        num_classes: Classes of the heads; None for the pooled features without a head.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution and
            dense layer.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    PREPROCESSING = "inception"

    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptionsWithAuxLogits(Options):
    """The options of an Inception with an auxiliary head, checked.

    Its second convolution sees the whole map, so its weights depend on the size of the images. An
    unknown size counts as the published one.

    Args:
        create_aux_logits: Whether there is an auxiliary head, which gives logits of its own from
            the last maps of 17x17 pixels and is there to be trained with. There is none without
            classes.

    Raises:
        ValueError: A value is out of its range.
    """

    # Of a smaller image no pixel is left behind the last module, or behind the head's pool.
    MIN_IMAGE_SIZE = 75
    MIN_IMAGE_SIZE_OF_AUX = 107

    create_aux_logits: bool = True

    @property
    def has_aux_logits(self) -> bool:
        """Whether there is an auxiliary head: it needs classes, too."""
        return self.create_aux_logits and self.num_classes is not None

    def aux_map_side(self, side: int | None) -> int | None:
        """Height or width of the map that the auxiliary head sits on, from the images'."""
        raise NotImplementedError

    def aux_kernel_size(self, map_size: Sequence[int | None]) -> tuple[int, int]:
        """Height and width of the auxiliary head's second convolution: all that its pool leaves.

        Args:
            map_size: Height and width of the map that the head sits on; None if not known.
        """
        height, width = (side_after(AUX_POOL, side) or AUX_MAP_SIZE for side in map_size)
        return height, width

    def check_images(self, images: Any, built: Mapping[str, Any] | None = None) -> None:
        """As in the base class, and whether the auxiliary head fits."""
        super().check_images(images, built)
        if self.has_aux_logits:
            self._check_aux_size(images.shape[1:3])
            if built is not None:
                self._check_aux_weights(images.shape[1:3], built["input_shape"][1:3])

    def _check_aux_size(self, size: Sequence[int | None]) -> None:
        least = self.MIN_IMAGE_SIZE_OF_AUX
        if any(side is not None and side < least for side in size):
            raise ValueError(
                f"{self.MODEL}'s auxiliary head takes images of at least {least}x{least} pixels, "
                f"got {size[0]}x{size[1]}: take larger ones, or {_WITHOUT}"
            )

    def _check_aux_weights(
        self, size: Sequence[int | None], built_size: Sequence[int | None]
    ) -> None:
        kernel_size, built_kernel_size = (
            self.aux_kernel_size([self.aux_map_side(side) for side in sides])
            for sides in (size, built_size)
        )
        if kernel_size != built_kernel_size:
            made_for = _UNKNOWN if None in built_size else f"{built_size[0]}x{built_size[1]} pixels"
            got = f"ones of {_UNKNOWN}" if None in size else f"{size[0]}x{size[1]}"
            raise ValueError(
                f"{self.MODEL}'s auxiliary head was made for images of {made_for}, got {got}: take "
                f"such images, or {_WITHOUT}"
            )
