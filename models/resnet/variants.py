"""ResNet v1 and v2 as data: blocks, constants, and the checks all versions share.

v1: He et al., "Deep Residual Learning for Image Recognition", https://arxiv.org/abs/1512.03385.
v2: He et al., "Identity Mappings in Deep Residual Networks", https://arxiv.org/abs/1603.05027.
Numbers that the papers leave open are those of TF-Slim's `nets/resnet_utils.py`, `resnet_v1.py` and
`resnet_v2.py`.

Images of v1 are preprocessed as for VGG, 0 to 255 less the mean colour, and its head has 1000
classes; those of v2 as for Inception, in [-1, 1], and its head has 1001 classes, 0 is the
background.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from .. import initializers, options, pooling
from ..variant import Variant
from .published import PREPROCESSING, ResnetVariant

# The product of all strides: of a smaller image the last map would be padding for the most part.
MIN_IMAGE_SIZE = 32

# Constants of `resnet_arg_scope` in TF-Slim.
WEIGHT_DECAY = 1e-4
BATCH_NORM_DECAY = 0.997
BATCH_NORM_EPSILON = 1e-5
# `slim.variance_scaling_initializer`, and what draws the same in Keras.
INITIALIZER_FACTOR = 2.0
INITIALIZER_SCALE = initializers.keras_scale(INITIALIZER_FACTOR)

# The stem, in both papers.
STEM_DEPTH = 64
STEM_KERNEL_SIZE = 7
STEM_STRIDE = 2
POOL_SIZE = 3
POOL_STRIDE = 2
# Outputs of a bottleneck for each of its inner channels.
EXPANSION = 4

# Inner channels of the blocks, and the stride of a block's last unit (in the papers: of the next
# block's first one).
BLOCK_DEPTHS = (64, 128, 256, 512)
BLOCK_STRIDES = (2, 2, 2, 1)
# Layers -> units of each block: table 1 of the first paper; 200 layers: section 4 of the second.
BLOCK_UNITS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}


@dataclasses.dataclass(frozen=True)
class Unit:
    """A bottleneck unit.

    Args:
        block: Scope of its block, the units of one depth.
        name: Its scope in the block.
        depth: Output channels.
        depth_bottleneck: Channels of the first two convolutions.
        stride: Stride of the 3x3 convolution and of the shortcut.
        rate: Atrous rate of the 3x3 convolution.
        is_last: Whether it is the block's last one.
    """

    block: str
    name: str
    depth: int
    depth_bottleneck: int
    stride: int
    rate: int
    is_last: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one ResNet, checked.

    Args:
        num_classes: Classes of the head; None for features without a head.
        global_pool: Whether to average over the whole map before the head.
        output_stride: Ratio of the image's size to the last map's: 8 or 16 turn later strides
            into atrous convolutions, 32 or None leave the net as published.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "ResNet"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    global_pool: bool = True
    output_stride: int | None = None
    spatial_squeeze: bool = True
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    @classmethod
    def of(cls, variant: Variant, **options: Any) -> "Options":
        """As in the base class; a variant's version decides how its images are preprocessed."""
        kind = {"vgg": _OptionsV1, "inception": _OptionsV2}[variant.preprocessing]
        return super(Options, kind).of(variant, **options)

    def check_images(self, images: Any, built: Mapping[str, Any] | None = None) -> None:
        """As in the base class, and whether the last map can be squeezed."""
        super().check_images(images, built)
        if self.num_classes is None or self.global_pool or not self.spatial_squeeze:
            return
        stride = self.output_stride or math.prod((STEM_STRIDE, POOL_STRIDE, *BLOCK_STRIDES))
        pooling.check_last_map(images.shape[1:3], stride)


class _OptionsV1(Options):
    PREPROCESSING = PREPROCESSING[1]


class _OptionsV2(Options):
    PREPROCESSING = PREPROCESSING[2]


def units(variant: ResnetVariant, options: Options) -> tuple[Unit, ...]:
    """The units of a net, with their strides kept or made atrous.

    Once the map is `output_stride` times smaller than the image, a stride becomes the atrous rate
    of the units behind it: the map stays large and each output still sees the same part of the
    image (TF-Slim's `stack_blocks_dense`).
    """
    stride_so_far, next_rate = STEM_STRIDE * POOL_STRIDE, 1
    resolved = []
    plan = zip(BLOCK_UNITS[variant.layers], BLOCK_DEPTHS, BLOCK_STRIDES, strict=True)
    for number, (count, depth, block_stride) in enumerate(plan, start=1):
        for i in range(1, count + 1):
            is_last = i == count
            stride, rate = block_stride if is_last else 1, 1
            if stride_so_far == options.output_stride:
                rate, next_rate, stride = next_rate, next_rate * stride, 1
            stride_so_far *= stride
            resolved.append(
                Unit(
                    block=f"block{number}",
                    name=f"unit_{i}",
                    depth=depth * EXPANSION,
                    depth_bottleneck=depth,
                    stride=stride,
                    rate=rate,
                    is_last=is_last,
                )
            )
    return tuple(resolved)
