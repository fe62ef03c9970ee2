"""MobileNet v2 as data: layers, constants, and the checks all versions share.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
https://arxiv.org/abs/1801.04381. Numbers that the paper leaves open are those of TF-Slim's
`research/slim/nets/mobilenet/mobilenet_v2.py`, `mobilenet.py` and `conv_blocks.py`.

Images are preprocessed as for Inception: float values in [-1, 1]. The head has 1001 classes, 0 is
the background.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from .. import options, pooling
from ..depths import divisible

# The product of all strides: a smaller image leaves convolutions that see nothing but padding.
MIN_IMAGE_SIZE = 32

# Constants of `training_scope` and `mobilenet` in TF-Slim.
DROPOUT_KEEP_PROB = 0.8
MIN_DEPTH = 8
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.997
BATCH_NORM_EPSILON = 0.001
INITIALIZER_STDDEV = 0.09

# The first and the last convolution.
STEM_DEPTH = 32
STEM_KERNEL_SIZE = 3
STEM_STRIDE = 2
LAST_DEPTH = 1280
# The kernel of all depthwise convolutions.
KERNEL_SIZE = 3

# (expansion, depth, how often, stride of the first): the paper's table 2.
BOTTLENECKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """An inverted residual: a wide depthwise convolution between two narrow maps.

    Args:
        name: Its scope.
        inner_depth: Channels of the depthwise convolution.
        has_expansion: Whether a 1x1 convolution makes them; else the inputs have as many.
        depth: Output channels.
        stride: Stride of the depthwise convolution.
        rate: Its atrous rate.
        has_residual: Whether the inputs are added to the outputs.
    """

    name: str
    inner_depth: int
    has_expansion: bool
    depth: int
    stride: int
    rate: int
    has_residual: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one MobileNet v2, checked.

    Args:
        depth_multiplier: Factor on the channels of every convolution, above 0.
        num_classes: Classes of the head; None for the pooled features without a head.
        global_pool: Whether to average over the whole map before the head.
        output_stride: Ratio of the image's size to the last map's: 8 or 16 turn later strides
            into atrous convolutions, 32 or None leave the net as published.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        finegrain_classification_mode: Whether a multiplier below 1 leaves the last convolution
            before the head as wide as it is, as in the published weights.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        min_depth: Least number of channels of a convolution.
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution that
            is not depthwise.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "MobileNet v2"
    PREPROCESSING = "inception"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    depth_multiplier: float
    global_pool: bool = True
    output_stride: int | None = None
    spatial_squeeze: bool = True
    finegrain_classification_mode: bool = True
    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    min_depth: int = MIN_DEPTH
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    def check_images(self, images: Any, built: Mapping[str, Any] | None = None) -> None:
        """As in the base class, and whether the last map can be squeezed."""
        super().check_images(images, built)
        if self.num_classes is None or self.global_pool or not self.spatial_squeeze:
            return
        stride = self.output_stride or math.prod(
            [STEM_STRIDE, *(stride for *_, stride in BOTTLENECKS)]
        )
        pooling.check_last_map(images.shape[1:3], stride)

    def stem_depth(self) -> int:
        """Channels of the first convolution."""
        return self._thinned(STEM_DEPTH)

    def last_depth(self) -> int:
        """Channels of the last convolution before the head."""
        if self.finegrain_classification_mode and self.depth_multiplier < 1:
            return LAST_DEPTH
        return self._thinned(LAST_DEPTH)

    def bottlenecks(self) -> tuple[Bottleneck, ...]:
        """The bottlenecks with their channels thinned and their strides kept or made atrous.

        Once the map is `output_stride` times smaller than the image, a stride becomes the atrous
        rate of the convolutions behind it: the map stays large and each output still sees the same
        part of the image (TF-Slim's rule).
        """
        stride_so_far, next_rate, depth_in = STEM_STRIDE, 1, self.stem_depth()
        resolved: list[Bottleneck] = []
        for expansion, published_depth, count, first_stride in BOTTLENECKS:
            for i in range(count):
                stride, rate = first_stride if i == 0 else 1, 1
                if stride_so_far == self.output_stride:
                    rate, next_rate, stride = next_rate, next_rate * stride, 1
                stride_so_far *= stride
                depth = self._thinned(published_depth)
                number = len(resolved)
                resolved.append(
                    Bottleneck(
                        name=f"expanded_conv_{number}" if number else "expanded_conv",
                        inner_depth=divisible(depth_in * expansion) if expansion > 1 else depth_in,
                        has_expansion=expansion > 1,
                        depth=depth,
                        stride=stride,
                        rate=rate,
                        has_residual=stride == 1 and depth == depth_in,
                    )
                )
                depth_in = depth
        return tuple(resolved)

    def _thinned(self, depth: int) -> int:
        """The depth with the multiplier."""
        return divisible(depth * self.depth_multiplier, self.min_depth)
