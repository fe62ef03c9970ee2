"""Inception v4 as data: the variant, the modules, constants, and the checks all versions share.

Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
https://arxiv.org/abs/1602.07261. Numbers that the paper leaves open are those of TF-Slim's
`research/slim/nets/inception_v4.py` and `inception_utils.py`, and so is the auxiliary head, which
the paper's figure 9 does not have.

Images are preprocessed as for all Inceptions: float values in [-1, 1]. The head has 1001 classes, 0
is the background.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .. import options
from ..variant import Published, Variant

PAPER = "https://arxiv.org/abs/1602.07261"
# The table "Pre-trained Models".
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
# What TensorFlow's profiler finds, with 1000 classes and the auxiliary head; it counts two
# operations for a multiply-add.
COUNTS = "https://github.com/visipedia/tf_classification/blob/master/nets/README.md"
ARCHIVES = "http://download.tensorflow.org/models/"

SCOPE = "InceptionV4"
INPUT_SIZE = 299
NUM_CLASSES = 1001
# Of a smaller image no pixel is left behind the last module, or behind the auxiliary head's pool.
MIN_IMAGE_SIZE = 75
MIN_IMAGE_SIZE_OF_AUX = 107

# Constants of `inception_arg_scope` and `inception_v4` in TF-Slim.
DROPOUT_KEEP_PROB = 0.8
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 0.001
# `slim.variance_scaling_initializer`: a normal distribution of variance 2 / inputs, cut at twice
# its deviation, and widened by 1.3 for what the cut takes away (Keras widens by 1.2924).
INITIALIZER_FACTOR = 2.0
INITIALIZER_TRUNCATION = 1.3


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution with batch norm and ReLU.

    Args:
        name: Its scope.
        depth: Output channels.
        kernel_size: Height and width, one number if equal.
        stride: Stride.
        padding: `"SAME"` or `"VALID"`.
    """

    name: str
    depth: int
    kernel_size: int | tuple[int, int]
    stride: int = 1
    padding: str = "SAME"


@dataclasses.dataclass(frozen=True)
class Pool:
    """A pool.

    Args:
        name: Its scope, which begins with its kind: `AvgPool` or `MaxPool`.
        kernel_size: Height and width of its window.
        stride: Stride.
        padding: `"SAME"` or `"VALID"`.
    """

    name: str
    kernel_size: int
    stride: int
    padding: str

    @property
    def is_average(self) -> bool:
        """Whether it gives the mean of its window; else the largest value."""
        return self.name.startswith("AvgPool")


@dataclasses.dataclass(frozen=True)
class Dense:
    """A dense layer with biases, which gives logits.

    Args:
        name: Its scope.
        depth: Output channels.
    """

    name: str
    depth: int


@dataclasses.dataclass(frozen=True)
class Branch:
    """Layers one after another.

    Args:
        name: Its scope.
        steps: The layers.
        fork: Convolutions that all see what the last step gives; their channels are stacked.
    """

    name: str
    steps: tuple[Conv | Pool | Dense, ...]
    fork: tuple[Conv, ...] = ()


@dataclasses.dataclass(frozen=True)
class Module:
    """Branches that see the same map, and whose channels are stacked.

    Args:
        name: Its scope.
        branches: The branches.
    """

    name: str
    branches: tuple[Branch, ...]


STEM = (
    Conv("Conv2d_1a_3x3", 32, 3, stride=2, padding="VALID"),
    Conv("Conv2d_2a_3x3", 32, 3, padding="VALID"),
    Conv("Conv2d_2b_3x3", 64, 3),
)

_AVERAGE = Pool("AvgPool_0a_3x3", 3, stride=1, padding="SAME")
_MAXIMUM = Pool("MaxPool_1a_3x3", 3, stride=2, padding="VALID")

# With the stem, the paper's figure 3: from 299x299 pixels to 35x35.
_MIXED_3A = (
    Branch("Branch_0", (Pool("MaxPool_0a_3x3", 3, stride=2, padding="VALID"),)),
    Branch("Branch_1", (Conv("Conv2d_0a_3x3", 96, 3, stride=2, padding="VALID"),)),
)
_MIXED_4A = (
    Branch(
        "Branch_0",
        (Conv("Conv2d_0a_1x1", 64, 1), Conv("Conv2d_1a_3x3", 96, 3, padding="VALID")),
    ),
    Branch(
        "Branch_1",
        (
            Conv("Conv2d_0a_1x1", 64, 1),
            Conv("Conv2d_0b_1x7", 64, (1, 7)),
            Conv("Conv2d_0c_7x1", 64, (7, 1)),
            Conv("Conv2d_1a_3x3", 96, 3, padding="VALID"),
        ),
    ),
)
_MIXED_5A = (
    Branch("Branch_0", (Conv("Conv2d_1a_3x3", 192, 3, stride=2, padding="VALID"),)),
    Branch("Branch_1", (_MAXIMUM,)),
)
# Figure 4: 35x35 pixels.
_INCEPTION_A = (
    Branch("Branch_0", (Conv("Conv2d_0a_1x1", 96, 1),)),
    Branch("Branch_1", (Conv("Conv2d_0a_1x1", 64, 1), Conv("Conv2d_0b_3x3", 96, 3))),
    Branch(
        "Branch_2",
        (
            Conv("Conv2d_0a_1x1", 64, 1),
            Conv("Conv2d_0b_3x3", 96, 3),
            Conv("Conv2d_0c_3x3", 96, 3),
        ),
    ),
    Branch("Branch_3", (_AVERAGE, Conv("Conv2d_0b_1x1", 96, 1))),
)
# Figure 7, with the numbers of table 1: from 35x35 to 17x17.
_REDUCTION_A = (
    Branch("Branch_0", (Conv("Conv2d_1a_3x3", 384, 3, stride=2, padding="VALID"),)),
    Branch(
        "Branch_1",
        (
            Conv("Conv2d_0a_1x1", 192, 1),
            Conv("Conv2d_0b_3x3", 224, 3),
            Conv("Conv2d_1a_3x3", 256, 3, stride=2, padding="VALID"),
        ),
    ),
    Branch("Branch_2", (_MAXIMUM,)),
)
# Figure 5: 17x17 pixels.
_INCEPTION_B = (
    Branch("Branch_0", (Conv("Conv2d_0a_1x1", 384, 1),)),
    Branch(
        "Branch_1",
        (
            Conv("Conv2d_0a_1x1", 192, 1),
            Conv("Conv2d_0b_1x7", 224, (1, 7)),
            Conv("Conv2d_0c_7x1", 256, (7, 1)),
        ),
    ),
    Branch(
        "Branch_2",
        (
            Conv("Conv2d_0a_1x1", 192, 1),
            Conv("Conv2d_0b_7x1", 192, (7, 1)),
            Conv("Conv2d_0c_1x7", 224, (1, 7)),
            Conv("Conv2d_0d_7x1", 224, (7, 1)),
            Conv("Conv2d_0e_1x7", 256, (1, 7)),
        ),
    ),
    Branch("Branch_3", (_AVERAGE, Conv("Conv2d_0b_1x1", 128, 1))),
)
# Figure 8: from 17x17 to 8x8.
_REDUCTION_B = (
    Branch(
        "Branch_0",
        (
            Conv("Conv2d_0a_1x1", 192, 1),
            Conv("Conv2d_1a_3x3", 192, 3, stride=2, padding="VALID"),
        ),
    ),
    Branch(
        "Branch_1",
        (
            Conv("Conv2d_0a_1x1", 256, 1),
            Conv("Conv2d_0b_1x7", 256, (1, 7)),
            Conv("Conv2d_0c_7x1", 320, (7, 1)),
            Conv("Conv2d_1a_3x3", 320, 3, stride=2, padding="VALID"),
        ),
    ),
    Branch("Branch_2", (_MAXIMUM,)),
)
# Figure 6: 8x8 pixels.
_INCEPTION_C = (
    Branch("Branch_0", (Conv("Conv2d_0a_1x1", 256, 1),)),
    Branch(
        "Branch_1",
        (Conv("Conv2d_0a_1x1", 384, 1),),
        fork=(Conv("Conv2d_0b_1x3", 256, (1, 3)), Conv("Conv2d_0c_3x1", 256, (3, 1))),
    ),
    Branch(
        "Branch_2",
        (
            Conv("Conv2d_0a_1x1", 384, 1),
            Conv("Conv2d_0b_3x1", 448, (3, 1)),
            Conv("Conv2d_0c_1x3", 512, (1, 3)),
        ),
        fork=(Conv("Conv2d_0d_1x3", 256, (1, 3)), Conv("Conv2d_0e_3x1", 256, (3, 1))),
    ),
    Branch("Branch_3", (_AVERAGE, Conv("Conv2d_0b_1x1", 256, 1))),
)
# Figure 9: four, seven and three of a kind.
MODULES = (
    Module("Mixed_3a", _MIXED_3A),
    Module("Mixed_4a", _MIXED_4A),
    Module("Mixed_5a", _MIXED_5A),
    *(Module(f"Mixed_5{letter}", _INCEPTION_A) for letter in "bcde"),
    Module("Mixed_6a", _REDUCTION_A),
    *(Module(f"Mixed_6{letter}", _INCEPTION_B) for letter in "bcdefgh"),
    Module("Mixed_7a", _REDUCTION_B),
    *(Module(f"Mixed_7{letter}", _INCEPTION_C) for letter in "bcd"),
)

# The auxiliary head, behind the last module of 17x17 pixels.
AUX_END_POINT = "Mixed_6h"
AUX_POOL = Pool("AvgPool_1a_5x5", 5, stride=3, padding="VALID")
AUX_REDUCTION_DEPTH = 128
AUX_DEPTH = 768


@dataclasses.dataclass(frozen=True, kw_only=True)
class InceptionV4Variant(Variant):
    """A published Inception v4."""


VARIANTS = (
    InceptionV4Variant(
        name="inception_v4",
        family="inception_v4",
        model_class="InceptionV4",
        scope=SCOPE,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits", "AuxLogits"),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        # The paper prints neither parameters nor multiply-adds.
        published=Published(
            top1_percent=80.2,
            top5_percent=95.2,
            parameters_millions=46.01,
            multiply_adds_millions=12260,
            source=f"{FIGURES}; parameters and multiply-adds: {COUNTS}",
        ),
        checkpoint="inception_v4.ckpt",
        archive=f"{ARCHIVES}inception_v4_2016_09_09.tar.gz",
    ),
)


def by_name(name: str) -> InceptionV4Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception v4.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no Inception v4 variant {name!r}; known are {known}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one Inception v4, checked.

    Args:
        num_classes: Classes of the heads; None for the pooled features without a head.
        create_aux_logits: Whether there is an auxiliary head, which gives logits of its own from
            the maps of 17x17 pixels and is there to be trained with. Its weights depend on the
            size of the images.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution and
            dense layer.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception v4"
    PREPROCESSING = "inception"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    num_classes: int | None = NUM_CLASSES
    create_aux_logits: bool = True
    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    @classmethod
    def of(cls, variant: InceptionV4Variant, **options: Any) -> "Options":
        """The options of a variant, where `options` do not say otherwise.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        return cls.checked(options)

    @property
    def has_aux_logits(self) -> bool:
        """Whether there is an auxiliary head: it needs classes, too."""
        return self.create_aux_logits and self.num_classes is not None

    def check_images(self, images: Any, built: Mapping[str, Any] | None = None) -> None:
        """Checks images before any layer sees them, so that all versions complain alike.

        Args:
            images: Array or tensor, `[B, H, W, 3]`; unknown dimensions are None.
            built: The model's `get_build_config()`; None if it has no weights yet.

        Raises:
            ValueError: The net can't take such images.
        """
        super().check_images(images)
        if not self.has_aux_logits:
            return
        size, least = tuple(images.shape[1:3]), MIN_IMAGE_SIZE_OF_AUX
        without = "or make the model with create_aux_logits=False."
        if None in size:
            raise ValueError(
                f"{self.MODEL}'s auxiliary head has weights for images of one size: say how large "
                f"the images are, {without}"
            )
        if min(size) < least:
            raise ValueError(
                f"{self.MODEL}'s auxiliary head takes images of at least {least}x{least} pixels, "
                f"got {size[0]}x{size[1]}: take larger ones, {without}"
            )
        if built is None:
            return
        built_size = built["input_shape"][1:3]
        if [_aux_side(side) for side in built_size] != [_aux_side(side) for side in size]:
            raise ValueError(
                f"{self.MODEL}'s auxiliary head was made for images of {built_size[0]}x"
                f"{built_size[1]} pixels, got {size[0]}x{size[1]}: take such images, {without}"
            )

    def aux_logits(self, shape: Sequence[int | None]) -> Branch:
        """The auxiliary head, whose second convolution sees the whole map.

        Args:
            shape: Shape of the map it sits on, `[B, height, width, C]`.
        """
        height, width = (_side_after(AUX_POOL, side) for side in shape[1:3])
        steps = (
            AUX_POOL,
            Conv("Conv2d_1b_1x1", AUX_REDUCTION_DEPTH, 1),
            Conv("Conv2d_2a", AUX_DEPTH, (height, width), padding="VALID"),
            Dense("Aux_logits", self.num_classes),
        )
        return Branch("AuxLogits", steps)

    def logits(self) -> Branch:
        """The head, behind pool and dropout."""
        return Branch("Logits", (Dense("Logits", self.num_classes),))


def _side_after(layer: Any, side: int) -> int:
    """Height or width of a map behind a convolution or pool; those that shrink it are square."""
    if layer.padding == "SAME":
        return -(-side // layer.stride)
    return (side - layer.kernel_size) // layer.stride + 1


def _aux_side(side: int) -> int:
    """Height or width of the map behind the auxiliary head's pool, from the images'."""
    for conv in STEM:
        side = _side_after(conv, side)
    for module in MODULES:
        for layer in module.branches[0].steps:  # All branches shrink the map alike.
            side = _side_after(layer, side)
        if module.name == AUX_END_POINT:
            break
    return _side_after(AUX_POOL, side)
