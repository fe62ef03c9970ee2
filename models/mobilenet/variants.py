"""MobileNet v1 as data: convolutions, constants, and the checks all versions share.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", https://arxiv.org/abs/1704.04861. Numbers that the paper leaves open are those of
TF-Slim's `research/slim/nets/mobilenet_v1.py`.

Images are preprocessed as for Inception: float values in [-1, 1]. The head has 1001 classes, 0 is
the background.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import depths, options, pooling

# The product of all strides: a smaller image leaves convolutions that see nothing but padding.
MIN_IMAGE_SIZE = 32

# Constants of `mobilenet_v1_arg_scope` and of `mobilenet_v1` in TF-Slim.
DROPOUT_KEEP_PROB = 0.999
MIN_DEPTH = 8
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 0.001
INITIALIZER_STDDEV = 0.09
# The head's average pool: its window, and the stride that `slim.avg_pool2d` has by default.
POOL_SIZE = 7
POOL_STRIDE = 2


@dataclasses.dataclass(frozen=True)
class ConvDef:
    """A row of the paper's table 1.

    Args:
        kernel_size: Height and width of the spatial kernel, in pixels.
        stride: Stride of the spatial convolution.
        depth: Output channels.
        separable: False for a full convolution, True for a depthwise one and a 1x1 pointwise one.
        rate: Atrous rate of the depthwise convolution.
    """

    kernel_size: int
    stride: int
    depth: int
    separable: bool = True
    rate: int = 1


CONV_DEFS = (
    ConvDef(3, stride=2, depth=32, separable=False),
    ConvDef(3, stride=1, depth=64),
    ConvDef(3, stride=2, depth=128),
    ConvDef(3, stride=1, depth=128),
    ConvDef(3, stride=2, depth=256),
    ConvDef(3, stride=1, depth=256),
    ConvDef(3, stride=2, depth=512),
    ConvDef(3, stride=1, depth=512),
    ConvDef(3, stride=1, depth=512),
    ConvDef(3, stride=1, depth=512),
    ConvDef(3, stride=1, depth=512),
    ConvDef(3, stride=1, depth=512),
    ConvDef(3, stride=2, depth=1024),
    ConvDef(3, stride=1, depth=1024),
)


def pool_window(shape: Sequence[int | None]) -> tuple[int, int]:
    """The window of the head's average pool on a map of that shape, `[B, height, width, C]`."""
    return pooling.window(shape, POOL_SIZE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one MobileNet v1, checked.

    Args:
        depth_multiplier: Factor on the channels of every convolution, above 0.
        num_classes: Classes of the head; None for the pooled features without a head.
        global_pool: True averages over the whole map, False over a window of at most 7x7.
        output_stride: Ratio of the image's size to the last map's: 8 or 16 turn later strides
            into atrous convolutions, 32 or None leave the net as published.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        min_depth: Least number of channels of a convolution.
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution that
            is not depthwise.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "MobileNet v1"
    PREPROCESSING = "inception"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    depth_multiplier: float
    global_pool: bool = False
    output_stride: int | None = None
    spatial_squeeze: bool = True
    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    min_depth: int = MIN_DEPTH
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    def conv_defs(self) -> tuple[ConvDef, ...]:
        """The convolutions with their channels thinned and their strides kept or made atrous.

        Once the map is `output_stride` times smaller than the image, a stride becomes the atrous
        rate of the convolutions behind it: the map stays large and each output still sees the same
        part of the image (TF-Slim's rule).

        Returns:
            As many `ConvDef` as `CONV_DEFS` has.
        """
        stride_so_far = rate = 1
        resolved = []
        for conv in CONV_DEFS:
            depth = depths.rounded_down(conv.depth, self.depth_multiplier, self.min_depth)
            if stride_so_far == self.output_stride:
                resolved.append(dataclasses.replace(conv, depth=depth, stride=1, rate=rate))
                rate *= conv.stride
            else:
                resolved.append(dataclasses.replace(conv, depth=depth))
                stride_so_far *= conv.stride
        return tuple(resolved)

    def check_images(self, images: Any, built: Mapping[str, Any] | None = None) -> None:
        """As in the base class, and whether the last map can be squeezed."""
        super().check_images(images, built)
        if self.num_classes is None or self.global_pool or not self.spatial_squeeze:
            return
        stride = self.output_stride or MIN_IMAGE_SIZE
        pooling.check_pool(
            images.shape[1:3],
            lambda side: math.ceil(side / stride),
            POOL_SIZE,
            POOL_STRIDE,
            at=f"at output stride {stride} ",
        )
