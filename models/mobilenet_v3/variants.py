"""MobileNet v3 as data: variants, architectures, constants, and the checks all versions share.

Howard et al., "Searching for MobileNetV3", https://arxiv.org/abs/1905.02244. The minimalistic nets,
MobileNet EdgeTPU and numbers that the paper leaves open are those of TF-Slim's
`research/slim/nets/mobilenet/mobilenet_v3.py`, `mobilenet.py` and `conv_blocks.py`.

Images are preprocessed as for Inception: float values in [-1, 1]. The head has 1001 classes, 0 is
the background. 75.2 % top-1, 5.48 M parameters and 217 M multiply-adds of the large net at 1.0.
"""

import dataclasses
from typing import Any

from .. import options
from ..variant import Explanation, Published, Variant

PAPER = "https://arxiv.org/abs/1905.02244"
# The tables of "Mobilenet V3 Imagenet Checkpoints", with the addresses of their archives.
FIGURES = "https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/README.md"
ARCHIVES = "https://storage.googleapis.com/mobilenet_v3/checkpoints/"
CUT = "Published in tenths of a million, cut."
FIRST_PAPER = "Published of a net with 1280 channels behind the pool, as the paper had it first"
LATEST_PAPER = "The paper's latest version and the checkpoint have 1024"

INPUT_SIZE = 224
NUM_CLASSES = 1001
# The product of all strides, in every architecture.
TOTAL_STRIDE = 32
# A smaller image leaves convolutions that see nothing but padding.
MIN_IMAGE_SIZE = TOTAL_STRIDE

# Constants of `training_scope` and `mobilenet` in TF-Slim.
DROPOUT_KEEP_PROB = 0.8
MIN_DEPTH = 8
DEPTH_DIVISOR = 8
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


# What the paper's tables call RE and HS.
RELU = "relu"
HARD_SWISH = "hard_swish"


@dataclasses.dataclass(frozen=True)
class Block:
    """An inverted residual as published: a row of the paper's table 1 or 2, in its columns' order.

    Args:
        kernel_size: Height and width of the spatial kernel, in pixels.
        expanded_depth: Channels of the wide maps.
        depth: Output channels.
        squeeze_excite: Whether the wide maps are weighed.
        activation: `RELU` or `HARD_SWISH`, of all convolutions but the last.
        stride: Stride of the spatial convolution.
        fused: Whether one full convolution expands and filters.
        residual: Whether the inputs are added to the outputs where they fit.
    """

    kernel_size: int
    expanded_depth: int
    depth: int
    squeeze_excite: bool
    activation: str
    stride: int
    fused: bool = False
    residual: bool = True


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A net as published, before any multiplier.

    Args:
        stem_depth: Channels of the first convolution.
        blocks: What follows.
        last_depth: Channels of the last convolution with a norm.
        pooled_depth: Channels of the convolution behind the pool, which has no norm; None if there
            is none.
        activation: Of all convolutions outside of the blocks, as for a `Block`.
    """

    stem_depth: int
    blocks: tuple[Block, ...]
    last_depth: int
    pooled_depth: int | None
    activation: str


def _minimalistic(architecture: Architecture) -> Architecture:
    """The net without what some hardware is slow at: 5x5 kernels, squeeze-excite and h-swish."""
    blocks = [
        dataclasses.replace(block, kernel_size=3, squeeze_excite=False, activation=RELU)
        for block in architecture.blocks
    ]
    return dataclasses.replace(architecture, blocks=tuple(blocks), activation=RELU)


# Table 1 of the paper.
_LARGE = Architecture(
    stem_depth=16,
    blocks=(
        Block(3, 16, 16, False, RELU, 1),
        Block(3, 64, 24, False, RELU, 2),
        Block(3, 72, 24, False, RELU, 1),
        Block(5, 72, 40, True, RELU, 2),
        Block(5, 120, 40, True, RELU, 1),
        Block(5, 120, 40, True, RELU, 1),
        Block(3, 240, 80, False, HARD_SWISH, 2),
        Block(3, 200, 80, False, HARD_SWISH, 1),
        Block(3, 184, 80, False, HARD_SWISH, 1),
        Block(3, 184, 80, False, HARD_SWISH, 1),
        Block(3, 480, 112, True, HARD_SWISH, 1),
        Block(3, 672, 112, True, HARD_SWISH, 1),
        Block(5, 672, 160, True, HARD_SWISH, 2),
        Block(5, 960, 160, True, HARD_SWISH, 1),
        Block(5, 960, 160, True, HARD_SWISH, 1),
    ),
    last_depth=960,
    pooled_depth=1280,
    activation=HARD_SWISH,
)
# Table 2 of the paper, in its latest version, which has 1024 channels behind the pool.
_SMALL = Architecture(
    stem_depth=16,
    blocks=(
        Block(3, 16, 16, True, RELU, 2),
        Block(3, 72, 24, False, RELU, 2),
        Block(3, 88, 24, False, RELU, 1),
        Block(5, 96, 40, True, HARD_SWISH, 2),
        Block(5, 240, 40, True, HARD_SWISH, 1),
        Block(5, 240, 40, True, HARD_SWISH, 1),
        Block(5, 120, 48, True, HARD_SWISH, 1),
        Block(5, 144, 48, True, HARD_SWISH, 1),
        Block(5, 288, 96, True, HARD_SWISH, 2),
        Block(5, 576, 96, True, HARD_SWISH, 1),
        Block(5, 576, 96, True, HARD_SWISH, 1),
    ),
    last_depth=576,
    pooled_depth=1024,
    activation=HARD_SWISH,
)
# TF-Slim's `V3_EDGETPU`.
_EDGETPU = Architecture(
    stem_depth=32,
    blocks=(
        Block(3, 32, 16, False, RELU, 1, fused=True),
        Block(3, 128, 32, False, RELU, 2, fused=True),
        *[Block(3, 128, 32, False, RELU, 1, fused=True)] * 3,
        Block(3, 256, 48, False, RELU, 2, fused=True),
        *[Block(3, 192, 48, False, RELU, 1, fused=True)] * 3,
        Block(3, 384, 96, False, RELU, 2),
        *[Block(3, 384, 96, False, RELU, 1)] * 3,
        Block(3, 768, 96, False, RELU, 1, residual=False),
        *[Block(3, 384, 96, False, RELU, 1)] * 3,
        Block(5, 768, 160, False, RELU, 2),
        *[Block(5, 640, 160, False, RELU, 1)] * 3,
        Block(3, 1280, 192, False, RELU, 1),
    ),
    last_depth=1280,
    pooled_depth=None,
    activation=RELU,
)
ARCHITECTURES = {
    "large": _LARGE,
    "small": _SMALL,
    "large_minimalistic": _minimalistic(_LARGE),
    "small_minimalistic": _minimalistic(_SMALL),
    "edgetpu": _EDGETPU,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MobilenetV3Variant(Variant):
    """A published MobileNet v3.

    Args:
        architecture: A key of `ARCHITECTURES`.
        depth_multiplier: Factor on the channels of every convolution.
        finegrain_classification_mode: Whether the last convolution before the head is spared.
    """

    architecture: str
    depth_multiplier: float
    finegrain_classification_mode: bool


def _variant(
    architecture: str,
    depth_multiplier: float,
    step: int,
    multiply_adds_millions: float,
    parameters_millions: float,
    top1_percent: float,
    parameters_explained: Explanation | None = None,
    multiply_adds_explained: Explanation | None = None,
) -> MobilenetV3Variant:
    """A net of the paper; `step` is the training step that its checkpoint is named by."""
    archive = f"v3-{architecture.replace('_', '-')}_{INPUT_SIZE}_{depth_multiplier}_float"
    return MobilenetV3Variant(
        name=f"mobilenet_v3_{architecture}_{depth_multiplier}_{INPUT_SIZE}",
        family="mobilenet_v3",
        model_class="MobilenetV3",
        scope="MobilenetV3",
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=top1_percent,
            parameters_millions=parameters_millions,
            multiply_adds_millions=multiply_adds_millions,
            parameters_explained=parameters_explained,
            multiply_adds_explained=multiply_adds_explained,
            source=FIGURES,
        ),
        # The moving averages, under the variables' plain names; the weights as trained lie beside
        # them, in `pristine/model.ckpt-STEP`.
        checkpoint=f"{archive}/ema/model-{step}",
        archive=f"{ARCHIVES}{archive}.tgz",
        architecture=architecture,
        depth_multiplier=depth_multiplier,
        # The published multipliers below 1 have it: without it 0.75 has 3.44 M and 1.68 M
        # parameters, and their checkpoints do not fit.
        finegrain_classification_mode=depth_multiplier < 1,
    )


VARIANTS = (
    _variant("large", 1.0, 540000, 217, 5.4, 75.2, Explanation(5.484, CUT)),
    _variant("large", 0.75, 220000, 155, 4.0, 73.3),
    _variant("large_minimalistic", 1.0, 342500, 209, 3.9, 72.3),
    _variant(
        "small",
        1.0,
        388500,
        66,
        2.9,
        67.5,
        Explanation(2.544, f"{FIRST_PAPER}: 2.95 million. {LATEST_PAPER}: 2.5 million."),
        Explanation(
            56.51,
            f"{LATEST_PAPER}: 56 million. With 1280, as the paper had it first, the net has 57; "
            "why 66 were published is not known.",
        ),
    ),
    _variant(
        "small",
        0.75,
        497500,
        44,
        2.4,
        65.4,
        Explanation(2.043, f"{FIRST_PAPER}: 2.41 million. {LATEST_PAPER}."),
        Explanation(43.40, f"{FIRST_PAPER}: 43.8 million. {LATEST_PAPER}."),
    ),
    _variant(
        "small_minimalistic",
        1.0,
        498000,
        65,
        2.0,
        61.9,
        Explanation(2.046, CUT),
        Explanation(
            52.29,
            "The published ones are not this net's: it is the small net less squeeze-excite and "
            "5x5 kernels, and with them the small net has 57 million.",
        ),
    ),
    MobilenetV3Variant(
        name=f"mobilenet_edgetpu_1.0_{INPUT_SIZE}",
        family="mobilenet_v3",
        model_class="MobilenetV3",
        scope="MobilenetEdgeTPU",
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=75.6,
            parameters_millions=4.0,
            multiply_adds_millions=990,
            parameters_explained=Explanation(4.093, CUT),
            source=FIGURES,
            note="Top-1 is that of the checkpoint in 8 bits.",
        ),
        checkpoint="mobilenet_edgetpu_224_1.0/model",
        archive="https://storage.cloud.google.com/mobilenet_edgetpu/checkpoints/"
        "mobilenet_edgetpu_224_1.0.tgz",
        architecture="edgetpu",
        depth_multiplier=1.0,
        finegrain_classification_mode=False,
    ),
)


def by_name(name: str) -> MobilenetV3Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no MobileNet v3.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no MobileNet v3 variant {name!r}; known are {known}.")


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

    num_classes: int | None = NUM_CLASSES
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

    @classmethod
    def of(cls, variant: MobilenetV3Variant, **options: Any) -> "Options":
        """The options of a variant, where `options` do not say otherwise.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        return cls.checked(
            options,
            depth_multiplier=variant.depth_multiplier,
            finegrain_classification_mode=variant.finegrain_classification_mode,
        )

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
        stride = self.output_stride or TOTAL_STRIDE
        height, width = images.shape[1:3]
        if any(size is not None and size > stride for size in (height, width)):
            raise ValueError(
                f"Images of {height}x{width} pixels leave a map of more than one pixel, which "
                "can't be squeezed: make the model with global_pool=True, or with "
                "spatial_squeeze=False for a map of logits."
            )

    def thinned(self, depth: int) -> int:
        """The depth with the multiplier."""
        return divisible(depth * self.depth_multiplier, self.min_depth)


def divisible(exact: float, least: int = DEPTH_DIVISOR) -> int:
    """The multiple of 8 nearest to a depth, that is not far below it (TF-Slim)."""
    rounded = int(exact + DEPTH_DIVISOR / 2) // DEPTH_DIVISOR * DEPTH_DIVISOR
    rounded = max(rounded, least)
    return rounded + DEPTH_DIVISOR if rounded < 0.9 * exact else rounded


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
