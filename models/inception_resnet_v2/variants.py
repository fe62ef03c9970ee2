"""Inception-ResNet v2 as data: the blocks, constants, and the shared checks.

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
from collections.abc import Sequence

from .. import inception
from ..branches import Branch, Conv, Dense, Module, Pool, side_behind


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

    @property
    def up(self) -> Conv:
        """The convolution to the inputs' depth."""
        return Conv("Conv2d_1x1", self.depth, 1, is_linear=True)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(inception.OptionsWithAuxLogits):
    """The options of one Inception-ResNet v2, checked.

    Args:
        **options: As for `inception.OptionsWithAuxLogits`. The weight decay is that of
            biases, too.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception-ResNet v2"

    def aux_logits(self, shape: Sequence[int | None]) -> Branch:
        """The auxiliary head, whose second convolution sees the whole map.

        Args:
            shape: Shape of the map it sits on, `[B, height, width, C]`; unknown dimensions are
                None.
        """
        steps = (
            inception.AUX_POOL,
            Conv("Conv2d_1b_1x1", inception.AUX_REDUCTION_DEPTH, 1),
            Conv(
                "Conv2d_2a_5x5",
                inception.AUX_DEPTH,
                self.aux_kernel_size(shape[1:3]),
                padding="VALID",
            ),
            Dense("Logits", self.num_classes),
        )
        return Branch("AuxLogits", steps)

    def logits(self) -> Branch:
        """The head, behind pool and dropout."""
        return Branch("Logits", (Dense("Logits", self.num_classes),))

    def aux_map_side(self, side: int | None) -> int | None:
        """As in the base class."""
        return side_behind((*STEM, MIXED_5B, MIXED_6A), side)
