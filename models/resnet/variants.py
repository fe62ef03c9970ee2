"""ResNet v1 and v2 as data: variants, blocks, constants, and the checks all versions share.

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
from typing import Any

from .. import options
from ..variant import Explanation, Published, Variant

PAPERS = {1: "https://arxiv.org/abs/1512.03385", 2: "https://arxiv.org/abs/1603.05027"}
# The table "Pre-trained Models"; v2's are of images of 299x299 pixels.
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
# What TensorFlow's profiler finds at 224x224 pixels, with 1000 classes; it counts two operations
# for a multiply-add.
COUNTS = "https://github.com/visipedia/tf_classification/blob/master/nets/README.md"
ARCHIVES = "http://download.tensorflow.org/models/"

PREPROCESSING = {1: "vgg", 2: "inception"}
NUM_CLASSES = {1: 1000, 2: 1001}
INPUT_SIZE = 224
# The product of all strides: of a smaller image the last map would be padding for the most part.
MIN_IMAGE_SIZE = 32

# Constants of `resnet_arg_scope` in TF-Slim.
WEIGHT_DECAY = 1e-4
BATCH_NORM_DECAY = 0.997
BATCH_NORM_EPSILON = 1e-5
# `slim.variance_scaling_initializer`: a normal distribution of variance 2 / inputs, cut at twice
# its deviation, and widened by 1.3 for what the cut takes away (Keras widens by 1.2924).
INITIALIZER_FACTOR = 2.0
INITIALIZER_TRUNCATION = 1.3

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
class ResnetVariant(Variant):
    """A published ResNet.

    Args:
        version: 1: norms follow the convolutions; 2: they come before ("preactivation").
        layers: Layers with weights on the longest path, a key of `BLOCK_UNITS`.
    """

    version: int
    layers: int


def _variant(version: int, layers: int, archive: str | None, published: Published) -> ResnetVariant:
    name = f"resnet_v{version}_{layers}"
    return ResnetVariant(
        name=name,
        family="resnet",
        model_class="Resnet",
        scope=name,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES[version],
        head_scopes=("logits",),
        labels_offset=1001 - NUM_CLASSES[version],
        preprocessing=PREPROCESSING[version],
        paper=PAPERS[version],
        published=published,
        checkpoint=None if archive is None else f"{name}.ckpt",
        archive=None if archive is None else f"{ARCHIVES}{archive}",
        version=version,
        layers=layers,
    )


_EARLIER_STRIDE = (
    "TF-Slim's blocks end with the stride that the paper's next block begins with, so the last "
    "units of its blocks work on smaller maps."
)
_COUNTED = f"parameters and multiply-adds: {COUNTS}"


def _published_v1(
    top1: float, top5: float, parameters: float, multiply_adds: float, counted: float
) -> Published:
    """Figures of the table, and the multiply-adds of the paper's net; `counted` are TF-Slim's."""
    return Published(
        top1_percent=top1,
        top5_percent=top5,
        parameters_millions=parameters,
        multiply_adds_millions=multiply_adds,
        multiply_adds_explained=Explanation(counted, _EARLIER_STRIDE),
        source=f"{FIGURES}; parameters: {COUNTS}; multiply-adds: {PAPERS[1]}, table 1",
    )


def _published_v2(top1: float, top5: float, parameters: float, multiply_adds: float) -> Published:
    return Published(
        top1_percent=top1,
        top5_percent=top5,
        parameters_millions=parameters,
        multiply_adds_millions=multiply_adds,
        source=f"{FIGURES}; {_COUNTED}",
        note="Top-1 and top-5 were measured at 299x299 pixels.",
    )


VARIANTS = (
    _variant(1, 50, "resnet_v1_50_2016_08_28.tar.gz", _published_v1(75.2, 92.2, 25.56, 3800, 3482)),
    _variant(
        1, 101, "resnet_v1_101_2016_08_28.tar.gz", _published_v1(76.4, 92.9, 44.55, 7600, 7194)
    ),
    _variant(
        1, 152, "resnet_v1_152_2016_08_28.tar.gz", _published_v1(76.8, 93.2, 60.19, 11300, 10907)
    ),
    # TF-Slim has the net and no checkpoint of it.
    _variant(
        1,
        200,
        None,
        Published(parameters_millions=64.67, multiply_adds_millions=14400, source=_COUNTED),
    ),
    _variant(2, 50, "resnet_v2_50_2017_04_14.tar.gz", _published_v2(75.6, 92.8, 25.57, 3485)),
    _variant(2, 101, "resnet_v2_101_2017_04_14.tar.gz", _published_v2(77.0, 93.7, 44.58, 7200)),
    _variant(2, 152, "resnet_v2_152_2017_04_14.tar.gz", _published_v2(77.8, 94.1, 60.24, 10915)),
    _variant(
        2,
        200,
        None,
        Published(
            top1_percent=79.9,
            top5_percent=95.2,
            parameters_millions=64.73,
            multiply_adds_millions=14410,
            source=f"{FIGURES}; {_COUNTED}",
            note="Top-1 and top-5 are those of the paper, measured at 320x320 pixels.",
        ),
    ),
)


def by_name(name: str) -> ResnetVariant:
    """The variant of that name.

    Raises:
        ValueError: It is no ResNet.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no ResNet variant {name!r}; known are {known}.")


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

    num_classes: int | None
    global_pool: bool = True
    output_stride: int | None = None
    spatial_squeeze: bool = True
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    @classmethod
    def of(cls, variant: ResnetVariant, **options: Any) -> "Options":
        """The options of a variant, where `options` do not say otherwise.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        kind = _OptionsV1 if variant.version == 1 else _OptionsV2
        return kind.checked(options, num_classes=variant.num_classes)

    def check_images(self, images: Any) -> None:
        """Checks images before any layer sees them, so that all versions complain alike.

        Args:
            images: Array or tensor, `[B, H, W, 3]`; unknown dimensions are None.

        Raises:
            ValueError: The net can't take such images.
        """
        super().check_images(images)
        if self.num_classes is None or self.global_pool or not self.spatial_squeeze:
            return
        stride = self.output_stride or math.prod((STEM_STRIDE, POOL_STRIDE, *BLOCK_STRIDES))
        height, width = images.shape[1:3]
        if any(size is not None and size > stride for size in (height, width)):
            raise ValueError(
                f"Images of {height}x{width} pixels leave a map of more than one pixel, which "
                "can't be squeezed: make the model with global_pool=True, or with "
                "spatial_squeeze=False for a map of logits."
            )


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
