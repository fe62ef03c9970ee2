"""MobileNet v1 as data: variants, convolutions, constants, and the checks all versions share.

Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", https://arxiv.org/abs/1704.04861. Numbers that the paper leaves open are those of
TF-Slim's `research/slim/nets/mobilenet_v1.py`.

Images are preprocessed as for Inception: float values in [-1, 1]. The head has 1001 classes, 0 is
the background. 70.9 % top-1, 4.24 M parameters and 569 M multiply-adds at 1.0 and 224 x 224.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from .. import options
from ..variant import Explanation, Published, Variant

PAPER = "https://arxiv.org/abs/1704.04861"
# The table "Pre-trained Models" of float checkpoints, released on 2018-02-22.
FIGURES = "https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet_v1.md"
ARCHIVES = "http://download.tensorflow.org/models/mobilenet_v1_2018_02_22/"

SCOPE = "MobilenetV1"
NUM_CLASSES = 1001
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobilenetV1Variant(Variant):
    """A published MobileNet v1.

    Args:
        depth_multiplier: Factor on the channels of every convolution (the paper's alpha).
    """

    depth_multiplier: float


def _variant(
    depth_multiplier: float,
    input_size: int,
    multiply_adds_millions: float,
    parameters_millions: float,
    top1_percent: float,
    top5_percent: float,
    multiply_adds_explained: Explanation | None = None,
) -> MobilenetV1Variant:
    name = f"mobilenet_v1_{depth_multiplier}_{input_size}"
    return MobilenetV1Variant(
        name=name,
        family="mobilenet",
        model_class="MobilenetV1",
        scope=SCOPE,
        input_size=input_size,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=top1_percent,
            top5_percent=top5_percent,
            parameters_millions=parameters_millions,
            multiply_adds_millions=multiply_adds_millions,
            multiply_adds_explained=multiply_adds_explained,
            source=FIGURES,
        ),
        checkpoint=f"{name}.ckpt",
        archive=f"{ARCHIVES}{name}.tgz",
        depth_multiplier=depth_multiplier,
    )


_WITHOUT_THE_FIRST = (
    "The first convolution's are left out of the published ones ({:.1f} million); the paper, at "
    "224x224, has them in: 325 in all."
)


def _with_the_first(counted: float, first: float) -> Explanation:
    return Explanation(counted, _WITHOUT_THE_FIRST.format(first))


VARIANTS = (
    _variant(1.0, 224, 569, 4.24, 70.9, 89.9),
    _variant(1.0, 192, 418, 4.24, 70.0, 89.2),
    _variant(1.0, 160, 291, 4.24, 68.0, 87.7),
    _variant(1.0, 128, 186, 4.24, 65.2, 85.8),
    _variant(0.75, 224, 317, 2.59, 68.4, 88.2, _with_the_first(325.4, 8.1)),
    _variant(0.75, 192, 233, 2.59, 67.2, 87.3, _with_the_first(239.3, 6.0)),
    _variant(0.75, 160, 162, 2.59, 65.3, 86.0, _with_the_first(166.4, 4.1)),
    _variant(0.75, 128, 104, 2.59, 62.1, 83.9, _with_the_first(106.8, 2.7)),
    _variant(0.5, 224, 150, 1.34, 63.3, 84.9),
    _variant(0.5, 192, 110, 1.34, 61.7, 83.6),
    _variant(0.5, 160, 77, 1.34, 59.1, 81.9),
    _variant(0.5, 128, 49, 1.34, 56.3, 79.4),
    _variant(0.25, 224, 41, 0.47, 49.8, 74.2),
    _variant(
        0.25,
        192,
        34,
        0.47,
        47.7,
        72.3,
        Explanation(
            30.21,
            "The published figure is not this net's: the others at 0.25 grow with the image's "
            "area, as they have to, from 21 at 160x160 to 41 at 224x224, which makes 30 here.",
        ),
    ),
    _variant(0.25, 160, 21, 0.47, 45.5, 70.3),
    _variant(
        0.25, 128, 14, 0.47, 41.5, 66.3, Explanation(13.57, "Published in whole millions, rounded.")
    ),
)


def by_name(name: str) -> MobilenetV1Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no MobileNet v1.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no MobileNet v1 variant {name!r}; known are {known}.")


def pool_size(shape: Sequence[int | None]) -> tuple[int, ...]:
    """The average pool's window: at most the map it pools (TF-Slim's rule for small images).

    Args:
        shape: Shape of the map, `[B, height, width, C]`; unknown dimensions are None.
    """
    return tuple(POOL_SIZE if size is None else min(size, POOL_SIZE) for size in shape[1:3])


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
    num_classes: int | None = NUM_CLASSES
    global_pool: bool = False
    output_stride: int | None = None
    spatial_squeeze: bool = True
    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    min_depth: int = MIN_DEPTH
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    @classmethod
    def of(cls, variant: MobilenetV1Variant, **options: Any) -> "Options":
        """The options of a variant, where `options` do not say otherwise.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        return cls.checked(options, depth_multiplier=variant.depth_multiplier)

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
            depth = max(int(conv.depth * self.depth_multiplier), self.min_depth)
            if stride_so_far == self.output_stride:
                resolved.append(dataclasses.replace(conv, depth=depth, stride=1, rate=rate))
                rate *= conv.stride
            else:
                resolved.append(dataclasses.replace(conv, depth=depth))
                stride_so_far *= conv.stride
        return tuple(resolved)

    def check_images(self, images: Any) -> None:
        """Checks images before any layer sees them, so that all versions complain alike.

        Args:
            images: Array or tensor, `[B, H, W, 3]`; unknown dimensions are None.

        Raises:
            ValueError: The net can't take such images.
        """
        super().check_images(images)
        if self.num_classes is not None and self.spatial_squeeze and not self.global_pool:
            self._check_squeeze(*images.shape[1:3])

    def _check_squeeze(self, height: int | None, width: int | None) -> None:
        stride = self.output_stride or MIN_IMAGE_SIZE
        for size in (height, width):
            if size is not None and math.ceil(size / stride) >= POOL_SIZE + POOL_STRIDE:
                largest = stride * (POOL_SIZE + POOL_STRIDE - 1)
                raise ValueError(
                    f"Images of {height}x{width} pixels leave a map that the "
                    f"{POOL_SIZE}x{POOL_SIZE} average pool does not reduce to one pixel: at output "
                    f"stride {stride} take images of at most {largest}x{largest}, or make the "
                    "model in Python with global_pool=True, or with spatial_squeeze=False for a "
                    "map of logits."
                )
