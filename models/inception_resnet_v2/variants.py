"""Inception-ResNet v2 as data: the variant, the blocks, constants, and the shared checks.

Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
https://arxiv.org/abs/1602.07261. The net is that of TF-Slim's
`research/slim/nets/inception_resnet_v2.py`, whose weights are the published ones. It is not the
paper's figure 15: it begins like Inception v3 (the paper: like Inception v4, figure 3), has twice
as many residual blocks, 10, 20 and 10 (the paper: 5, 10 and 5), of other depths, and an auxiliary
head.

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

SCOPE = "InceptionResnetV2"
INPUT_SIZE = 299
NUM_CLASSES = 1001
# Of a smaller image no pixel is left behind the last block, or behind the auxiliary head's pool.
MIN_IMAGE_SIZE = 75
MIN_IMAGE_SIZE_OF_AUX = 107

# Constants of `inception_resnet_v2_arg_scope` and `inception_resnet_v2` in TF-Slim.
DROPOUT_KEEP_PROB = 0.8
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 0.001


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
    """

    name: str
    steps: tuple[Conv | Pool | Dense, ...]


@dataclasses.dataclass(frozen=True)
class Module:
    """Branches that see the same map, and whose channels are stacked.

    Args:
        name: Its scope.
        branches: The branches.
    """

    name: str
    branches: tuple[Branch, ...]


@dataclasses.dataclass(frozen=True)
class Block:
    """A residual block: branches, whose stacked channels are mapped to those of the inputs.

    Args:
        name: Its scope; in a `Repeat` the beginning of it.
        branches: The branches.
        depth: Channels of its inputs and outputs.
        scale: Factor on what is added to the inputs.
        has_relu: Whether a ReLU follows the sum.
    """

    name: str
    branches: tuple[Branch, ...]
    depth: int
    scale: float
    has_relu: bool = True


@dataclasses.dataclass(frozen=True)
class Repeat:
    """Blocks of one kind one after another.

    Args:
        name: Its scope: what `slim.repeat` calls it, if it is not told.
        count: How many blocks.
        block: What they are like.
    """

    name: str
    count: int
    block: Block

    @property
    def steps(self) -> tuple[Block, ...]:
        """The blocks with their scopes, for which `slim.repeat` counts from 1."""
        names = [f"{self.block.name}_{number}" for number in range(1, self.count + 1)]
        return tuple(dataclasses.replace(self.block, name=name) for name in names)


# As Inception v3 begins.
STEM = (
    Conv("Conv2d_1a_3x3", 32, 3, stride=2, padding="VALID"),
    Conv("Conv2d_2a_3x3", 32, 3, padding="VALID"),
    Conv("Conv2d_2b_3x3", 64, 3),
    Pool("MaxPool_3a_3x3", 3, stride=2, padding="VALID"),
    Conv("Conv2d_3b_1x1", 80, 1, padding="VALID"),
    Conv("Conv2d_4a_3x3", 192, 3, padding="VALID"),
    Pool("MaxPool_5a_3x3", 3, stride=2, padding="VALID"),
)
STEM_DEPTH = STEM[-2].depth

_AVERAGE = Pool("AvgPool_0a_3x3", 3, stride=1, padding="SAME")
_MAXIMUM = Pool("MaxPool_1a_3x3", 3, stride=2, padding="VALID")

MIXED_5B = Module(
    "Mixed_5b",
    (
        Branch("Branch_0", (Conv("Conv2d_1x1", 96, 1),)),
        Branch("Branch_1", (Conv("Conv2d_0a_1x1", 48, 1), Conv("Conv2d_0b_5x5", 64, 5))),
        Branch(
            "Branch_2",
            (
                Conv("Conv2d_0a_1x1", 64, 1),
                Conv("Conv2d_0b_3x3", 96, 3),
                Conv("Conv2d_0c_3x3", 96, 3),
            ),
        ),
        Branch("Branch_3", (_AVERAGE, Conv("Conv2d_0b_1x1", 64, 1))),
    ),
)
# The paper's figure 16: 35x35 pixels.
BLOCKS_35 = Repeat(
    "Repeat",
    10,
    Block(
        "block35",
        (
            Branch("Branch_0", (Conv("Conv2d_1x1", 32, 1),)),
            Branch("Branch_1", (Conv("Conv2d_0a_1x1", 32, 1), Conv("Conv2d_0b_3x3", 32, 3))),
            Branch(
                "Branch_2",
                (
                    Conv("Conv2d_0a_1x1", 32, 1),
                    Conv("Conv2d_0b_3x3", 48, 3),
                    Conv("Conv2d_0c_3x3", 64, 3),
                ),
            ),
        ),
        depth=320,
        scale=0.17,
    ),
)
# Figure 7, with the numbers of table 1: from 35x35 to 17x17.
MIXED_6A = Module(
    "Mixed_6a",
    (
        Branch("Branch_0", (Conv("Conv2d_1a_3x3", 384, 3, stride=2, padding="VALID"),)),
        Branch(
            "Branch_1",
            (
                Conv("Conv2d_0a_1x1", 256, 1),
                Conv("Conv2d_0b_3x3", 256, 3),
                Conv("Conv2d_1a_3x3", 384, 3, stride=2, padding="VALID"),
            ),
        ),
        Branch("Branch_2", (_MAXIMUM,)),
    ),
)
# Figure 17: 17x17 pixels.
BLOCKS_17 = Repeat(
    "Repeat_1",
    20,
    Block(
        "block17",
        (
            Branch("Branch_0", (Conv("Conv2d_1x1", 192, 1),)),
            Branch(
                "Branch_1",
                (
                    Conv("Conv2d_0a_1x1", 128, 1),
                    Conv("Conv2d_0b_1x7", 160, (1, 7)),
                    Conv("Conv2d_0c_7x1", 192, (7, 1)),
                ),
            ),
        ),
        depth=1088,
        scale=0.10,
    ),
)
# Figure 18: from 17x17 to 8x8.
MIXED_7A = Module(
    "Mixed_7a",
    (
        Branch(
            "Branch_0",
            (
                Conv("Conv2d_0a_1x1", 256, 1),
                Conv("Conv2d_1a_3x3", 384, 3, stride=2, padding="VALID"),
            ),
        ),
        Branch(
            "Branch_1",
            (
                Conv("Conv2d_0a_1x1", 256, 1),
                Conv("Conv2d_1a_3x3", 288, 3, stride=2, padding="VALID"),
            ),
        ),
        Branch(
            "Branch_2",
            (
                Conv("Conv2d_0a_1x1", 256, 1),
                Conv("Conv2d_0b_3x3", 288, 3),
                Conv("Conv2d_1a_3x3", 320, 3, stride=2, padding="VALID"),
            ),
        ),
        Branch("Branch_3", (_MAXIMUM,)),
    ),
)
# Figure 19: 8x8 pixels.
BLOCKS_8 = Repeat(
    "Repeat_2",
    9,
    Block(
        "block8",
        (
            Branch("Branch_0", (Conv("Conv2d_1x1", 192, 1),)),
            Branch(
                "Branch_1",
                (
                    Conv("Conv2d_0a_1x1", 192, 1),
                    Conv("Conv2d_0b_1x3", 224, (1, 3)),
                    Conv("Conv2d_0c_3x1", 256, (3, 1)),
                ),
            ),
        ),
        depth=2080,
        scale=0.20,
    ),
)
# One more, not scaled down and without ReLU.
LAST_BLOCK = dataclasses.replace(BLOCKS_8.block, name="Block8", scale=1.0, has_relu=False)
LAST_CONV = Conv("Conv2d_7b_1x1", 1536, 1)

BODY = (MIXED_5B, BLOCKS_35, MIXED_6A, BLOCKS_17, MIXED_7A, BLOCKS_8, LAST_BLOCK)
# What TF-Slim gives as an end point under another name, or not at all.
END_POINTS = {"Repeat": None, "Repeat_1": "PreAuxLogits", "Repeat_2": None, "Block8": None}

# The auxiliary head, behind the blocks of 17x17 pixels.
AUX_END_POINT = "PreAuxLogits"
# TF-Slim calls it Conv2d_1a_3x3.
AUX_POOL = Pool("AvgPool_1a_5x5", 5, stride=3, padding="VALID")
AUX_REDUCTION_DEPTH = 128
AUX_DEPTH = 768


@dataclasses.dataclass(frozen=True, kw_only=True)
class InceptionResnetV2Variant(Variant):
    """A published Inception-ResNet v2."""


VARIANTS = (
    InceptionResnetV2Variant(
        name="inception_resnet_v2",
        family="inception_resnet_v2",
        model_class="InceptionResnetV2",
        scope=SCOPE,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits", "AuxLogits"),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        # The paper prints neither parameters nor multiply-adds.
        published=Published(
            top1_percent=80.4,
            top5_percent=95.3,
            parameters_millions=59.18,
            multiply_adds_millions=13170,
            source=f"{FIGURES}; parameters and multiply-adds: {COUNTS}",
        ),
        checkpoint="inception_resnet_v2_2016_08_30.ckpt",
        archive=f"{ARCHIVES}inception_resnet_v2_2016_08_30.tar.gz",
    ),
)


def by_name(name: str) -> InceptionResnetV2Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception-ResNet v2.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no Inception-ResNet v2 variant {name!r}; known are {known}.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one Inception-ResNet v2, checked.

    Args:
        num_classes: Classes of the heads; None for the pooled features without a head.
        create_aux_logits: Whether there is an auxiliary head, which gives logits of its own from
            the maps of 17x17 pixels and is there to be trained with. Its weights depend on the
            size of the images.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution and
            dense layer, and of their biases.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception-ResNet v2"
    PREPROCESSING = "inception"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    num_classes: int | None = NUM_CLASSES
    create_aux_logits: bool = True
    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    @classmethod
    def of(cls, variant: InceptionResnetV2Variant, **options: Any) -> "Options":
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
            Conv("Conv2d_2a_5x5", AUX_DEPTH, (height, width), padding="VALID"),
            Dense("Logits", self.num_classes),
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
    for layer in (*STEM, *MIXED_6A.branches[0].steps, AUX_POOL):
        side = _side_after(layer, side)
    return side
