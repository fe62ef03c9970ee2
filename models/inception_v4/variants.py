"""Inception v4 as data: the modules, constants, and the checks all versions share.

Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
https://arxiv.org/abs/1602.07261. Numbers that the paper leaves open are those of TF-Slim's
`research/slim/nets/inception_v4.py` and `inception_utils.py`, and so is the auxiliary head, which
the paper's figure 9 does not have.

Images are preprocessed as for all Inceptions: float values in [-1, 1]. The head has 1001 classes, 0
is the background.
"""

import dataclasses
from collections.abc import Sequence

from .. import inception, initializers
from ..branches import Branch, Conv, Dense, Module, Pool, side_behind

# `slim.variance_scaling_initializer`, and what draws the same in Keras.
INITIALIZER_FACTOR = 2.0
INITIALIZER_SCALE = initializers.keras_scale(INITIALIZER_FACTOR)

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
BODY = (
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(inception.OptionsWithAuxLogits):
    """The options of one Inception v4, checked.

    Args:
        **options: As for `inception.OptionsWithAuxLogits`.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception v4"

    def aux_logits(self, shape: Sequence[int | None]) -> Branch:
        """The auxiliary head, whose second convolution sees the whole map.

        Args:
            shape: Shape of the map it sits on, `[B, height, width, C]`; unknown dimensions are
                None.
        """
        kernel_size = self.aux_kernel_size(shape[1:3])
        steps = (
            inception.AUX_POOL,
            Conv("Conv2d_1b_1x1", inception.AUX_REDUCTION_DEPTH, 1),
            Conv("Conv2d_2a", inception.AUX_DEPTH, kernel_size, padding="VALID"),
            Dense("Aux_logits", self.num_classes),
        )
        return Branch("AuxLogits", steps)

    def logits(self) -> Branch:
        """The head, behind pool and dropout."""
        return Branch("Logits", (Dense("Logits", self.num_classes),))

    def aux_map_side(self, side: int | None) -> int | None:
        """As in the base class."""
        return side_behind((*STEM, *BODY), side, AUX_END_POINT)
