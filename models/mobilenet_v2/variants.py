"""MobileNet v2 as data: variants, layers, constants, and the checks all versions share.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
https://arxiv.org/abs/1801.04381. Numbers that the paper leaves open are those of TF-Slim's
`research/slim/nets/mobilenet/mobilenet_v2.py`, `mobilenet.py` and `conv_blocks.py`.

Images are preprocessed as for Inception: float values in [-1, 1]. The head has 1001 classes, 0 is
the background.
"""

import dataclasses
import math
from typing import Any

from .. import options
from ..variant import Explanation, Published, Variant

PAPER = "https://arxiv.org/abs/1801.04381"
FIGURES = "https://github.com/tensorflow/models/blob/master/research/slim/nets/mobilenet/README.md"
WITHOUT_NORMS = "Batch norm's parameters are left out of the published ones."
CUT = "Published in whole millions, cut."
ARCHIVES = "https://storage.googleapis.com/mobilenet_v2/checkpoints/"

SCOPE = "MobilenetV2"
NUM_CLASSES = 1001
# The product of all strides: a smaller image leaves convolutions that see nothing but padding.
MIN_IMAGE_SIZE = 32

# Constants of `training_scope` and `mobilenet` in TF-Slim.
DROPOUT_KEEP_PROB = 0.8
MIN_DEPTH = 8
DEPTH_DIVISOR = 8
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
class MobilenetV2Variant(Variant):
    """A published MobileNet v2.

    Args:
        depth_multiplier: Factor on the channels of every convolution.
    """

    depth_multiplier: float


# At other multipliers batch norm's are less than a hundredth.
_PARAMETERS = {
    depth_multiplier: Explanation(counted, WITHOUT_NORMS)
    for depth_multiplier, counted in {1.0: 3.506, 0.75: 2.638, 0.5: 1.970, 0.35: 1.678}.items()
}


def _variant(
    depth_multiplier: float,
    input_size: int,
    multiply_adds_millions: float,
    parameters_millions: float,
    top1_percent: float,
    top5_percent: float,
    multiply_adds_counted: float | None = None,
) -> MobilenetV2Variant:
    name = f"mobilenet_v2_{depth_multiplier}_{input_size}"
    return MobilenetV2Variant(
        name=name,
        family="mobilenet_v2",
        model_class="MobilenetV2",
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
            parameters_explained=_PARAMETERS.get(depth_multiplier),
            multiply_adds_explained=None
            if multiply_adds_counted is None
            else Explanation(multiply_adds_counted, CUT),
            source=FIGURES,
        ),
        checkpoint=f"{name}.ckpt",
        archive=f"{ARCHIVES}{name}.tgz",
        depth_multiplier=depth_multiplier,
    )


VARIANTS = (
    _variant(1.4, 224, 582, 6.06, 75.0, 92.5),
    _variant(1.3, 224, 509, 5.34, 74.4, 92.1),
    _variant(1.0, 224, 300, 3.47, 71.8, 91.0),
    _variant(1.0, 192, 221, 3.47, 70.7, 90.1),
    _variant(1.0, 160, 154, 3.47, 68.8, 89.0),
    _variant(1.0, 128, 99, 3.47, 65.3, 86.9),
    _variant(1.0, 96, 56, 3.47, 60.3, 83.2),
    _variant(0.75, 224, 209, 2.61, 69.8, 89.6),
    _variant(0.75, 192, 153, 2.61, 68.7, 88.9),
    _variant(0.75, 160, 107, 2.61, 66.4, 87.3),
    _variant(0.75, 128, 69, 2.61, 63.2, 85.3),
    _variant(0.75, 96, 39, 2.61, 58.8, 81.6, 39.45),
    _variant(0.5, 224, 97, 1.95, 65.4, 86.4),
    _variant(0.5, 192, 71, 1.95, 63.9, 85.4),
    _variant(0.5, 160, 50, 1.95, 61.0, 83.2),
    _variant(0.5, 128, 32, 1.95, 57.7, 80.8, 32.58),
    _variant(0.5, 96, 18, 1.95, 51.2, 75.8, 18.89),
    _variant(0.35, 224, 59, 1.66, 60.3, 82.9),
    _variant(0.35, 192, 43, 1.66, 58.2, 81.2, 43.90),
    _variant(0.35, 160, 30, 1.66, 55.7, 79.1, 30.88),
    _variant(0.35, 128, 20, 1.66, 50.8, 75.0, 20.22),
    _variant(0.35, 96, 11, 1.66, 45.5, 70.4, 11.94),
)


def by_name(name: str) -> MobilenetV2Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no MobileNet v2.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no MobileNet v2 variant {name!r}; known are {known}.")


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

    num_classes: int | None = NUM_CLASSES
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

    @classmethod
    def of(cls, variant: MobilenetV2Variant, **options: Any) -> "Options":
        """The options of a variant, where `options` do not say otherwise.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        return cls.checked(options, depth_multiplier=variant.depth_multiplier)

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
        strides = [STEM_STRIDE, *(stride for *_, stride in BOTTLENECKS)]
        stride = self.output_stride or math.prod(strides)
        height, width = images.shape[1:3]
        if any(size is not None and size > stride for size in (height, width)):
            raise ValueError(
                f"Images of {height}x{width} pixels leave a map of more than one pixel, which "
                "can't be squeezed: make the model with global_pool=True, or with "
                "spatial_squeeze=False for a map of logits."
            )

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


def divisible(exact: float, least: int = DEPTH_DIVISOR) -> int:
    """The multiple of 8 nearest to a depth, that is not far below it (TF-Slim)."""
    rounded = int(exact + DEPTH_DIVISOR / 2) // DEPTH_DIVISOR * DEPTH_DIVISOR
    rounded = max(rounded, least)
    return rounded + DEPTH_DIVISOR if rounded < 0.9 * exact else rounded
