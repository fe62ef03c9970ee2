"""MobileNet v3 as data: constants, the nets after a multiplier, and the checks all versions share.

Howard et al., "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244. The minimalistic nets,
MobileNet EdgeTPU and numbers that the paper leaves open are those of TF-Slim's
`research/slim/nets/mobilenet/mobilenet_v3.py`, `mobilenet.py` and `conv_blocks.py`.

Images are preprocessed as for Inception: float values in [-1, 1]. The head has 1001 classes, 0 is
the background.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from .. import options, pooling
from ..depths import divisible
from .architectures import ARCHITECTURES, Architecture
from .published import MobilenetV3Variant

# The product of all strides, in every architecture.
TOTAL_STRIDE = 32
# A smaller image leaves convolutions that see nothing but padding.
MIN_IMAGE_SIZE = TOTAL_STRIDE

# Constants of `training_scope` and `mobilenet` in TF-Slim.
DROPOUT_KEEP_PROB = 0.8
MIN_DEPTH = 8
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.997
BATCH_NORM_EPSILON = 0.001
INITIALIZER_STDDEV = 0.09

# The first convolution.
STEM_KERNEL_SIZE = 3
STEM_STRIDE = 2
# A squeeze has a quarter of the channels that it weighs: section 5.3 of the paper.
SQUEEZE_FACTOR = 4
# ReLU6(x + 3) is 0 to 6. TF-Slim's h-swish divides it by 6, its gates multiply by this.
GATE_FACTOR = 0.16667


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one MobileNet v3, checked.

    Args:
        depth_multiplier: Factor on the channels of every convolution, above 0.
        num_classes: Classes of the head; None for the pooled features without a head.
        global_pool: Whether to average over the whole map, before the convolution behind the pool
            where there is one. False leaves both a map, as if every pixel were the only one.
        output_stride: Ratio of the image's size to the last map's: 8 or 16 turn later strides
            into atrous convolutions, 32 or None leave the net as published.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        finegrain_classification_mode: Whether the multiplier leaves the last convolution before
            the head as wide as it is.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        min_depth: Least number of channels of a convolution, not of the wide maps in a block.
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution that
            is not depthwise.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "MobileNet v3"
    PREPROCESSING = "inception"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    depth_multiplier: float
    global_pool: bool = True
    output_stride: int | None = None
    spatial_squeeze: bool = True
    finegrain_classification_mode: bool
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
        stride = self.output_stride or TOTAL_STRIDE
        pooling.check_last_map(images.shape[1:3], stride)

    def thinned(self, depth: int) -> int:
        """The depth with the multiplier."""
        return divisible(depth * self.depth_multiplier, self.min_depth)


@dataclasses.dataclass(frozen=True)
class Bottleneck:
    """An inverted residual with its numbers resolved.

    Args:
        name: Its scope.
        inner_depth: Channels of the wide maps.
        expand_size: Height and width of the kernel that makes them, in pixels; None: there is
            none, the inputs are as wide.
        expand_stride: Its stride.
        depthwise_size: Height and width of the kernels that filter each of them; None: there are
            none, the expansion has filtered them.
        stride: Their stride.
        rate: Their atrous rate.
        squeezed_depth: Channels that the means of the wide maps are squeezed to; None: they are
            not weighed.
        depth: Output channels.
        activation: As for a `Block`.
        has_residual: Whether the inputs are added to the outputs.
    """

    name: str
    inner_depth: int
    expand_size: int | None
    expand_stride: int
    depthwise_size: int | None
    stride: int
    rate: int
    squeezed_depth: int | None
    depth: int
    activation: str
    has_residual: bool


@dataclasses.dataclass(frozen=True)
class Plan:
    """An architecture with its channels thinned and its strides kept or made atrous.

    Args:
        stem_depth, last_depth, pooled_depth, activation: As for an `Architecture`.
        bottlenecks: Its blocks.
    """

    stem_depth: int
    bottlenecks: tuple[Bottleneck, ...]
    last_depth: int
    pooled_depth: int | None
    activation: str

    @classmethod
    def of(cls, variant: MobilenetV3Variant, options: Options) -> "Plan":
        """The plan of a variant with these options."""
        architecture = ARCHITECTURES[variant.architecture]
        last_depth, pooled_depth = architecture.last_depth, architecture.pooled_depth
        if pooled_depth is not None:
            last_depth = options.thinned(last_depth)
            if not options.finegrain_classification_mode:
                pooled_depth = options.thinned(pooled_depth)
        elif not options.finegrain_classification_mode:
            last_depth = options.thinned(last_depth)
        return cls(
            stem_depth=options.thinned(architecture.stem_depth),
            bottlenecks=_bottlenecks(architecture, options),
            last_depth=last_depth,
            pooled_depth=pooled_depth,
            activation=architecture.activation,
        )


def _bottlenecks(architecture: Architecture, options: Options) -> tuple[Bottleneck, ...]:
    """The blocks with their channels thinned and their strides kept or made atrous.

    Once the map is `output_stride` times smaller than the image, a stride becomes the atrous rate
    of the convolutions behind it: the map stays large and each output still sees the same part of
    the image (TF-Slim's rule). Fused convolutions all come before that.
    """
    stride_so_far, next_rate = STEM_STRIDE, 1
    published_depth_in = architecture.stem_depth
    depth_in = options.thinned(published_depth_in)
    resolved = []
    for number, block in enumerate(architecture.blocks):
        stride, rate = block.stride, 1
        if stride_so_far == options.output_stride:
            rate, next_rate, stride = next_rate, next_rate * stride, 1
        stride_so_far *= stride
        depth = options.thinned(block.depth)
        expanded = divisible(depth_in * (block.expanded_depth / published_depth_in))
        inner_depth = max(expanded, depth_in)
        expand_size, expand_stride = (block.kernel_size, stride) if block.fused else (1, 1)
        squeezed_depth = divisible(inner_depth / SQUEEZE_FACTOR)
        resolved.append(
            Bottleneck(
                name=f"expanded_conv_{number}" if number else "expanded_conv",
                inner_depth=inner_depth,
                expand_size=expand_size if expanded > depth_in else None,
                expand_stride=expand_stride,
                depthwise_size=None if block.fused else block.kernel_size,
                stride=stride,
                rate=rate,
                squeezed_depth=squeezed_depth if block.squeeze_excite else None,
                depth=depth,
                activation=block.activation,
                has_residual=block.residual and stride == 1 and depth == depth_in,
            )
        )
        published_depth_in, depth_in = block.depth, depth
    return tuple(resolved)
