"""Inception v3 as data: modules, constants, and the checks all versions share.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
https://arxiv.org/abs/1512.00567. Numbers that the paper leaves open, and all names, are those of
TF-Slim's `research/slim/nets/inception_v3.py` and `inception_utils.py`.

Images are preprocessed to values in [-1, 1]. The head has 1001 classes, 0 is the background.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from .. import inception, initializers, pooling
from ..branches import Branch, Conv, Module, Pool, side_after, side_behind, thinned

# Constants of `inception_v3` in TF-Slim.
DEPTH_MULTIPLIER = 1.0
MIN_DEPTH = 16
# `slim.variance_scaling_initializer`, and what draws the same in Keras.
INITIALIZER_FACTOR = 2.0
INITIALIZER_SCALE = initializers.keras_scale(INITIALIZER_FACTOR)

# The average pool of the head: its largest window, and `slim.avg_pool2d`'s default stride.
HEAD_POOL_SIZE = 8
HEAD_POOL_STRIDE = 2

STEM = (
    Conv("Conv2d_1a_3x3", 32, 3, stride=2, padding="VALID"),
    Conv("Conv2d_2a_3x3", 32, 3, padding="VALID"),
    Conv("Conv2d_2b_3x3", 64, 3),
    Pool("MaxPool_3a_3x3", 3, stride=2, padding="VALID"),
    Conv("Conv2d_3b_1x1", 80, 1, padding="VALID"),
    Conv("Conv2d_4a_3x3", 192, 3, padding="VALID"),
    Pool("MaxPool_5a_3x3", 3, stride=2, padding="VALID"),
)

_AVERAGE = Pool("AvgPool_0a_3x3", 3, stride=1, padding="SAME")
_MAXIMUM = Pool("MaxPool_1a_3x3", 3, stride=2, padding="VALID")


def _inception_a(
    name: str, pool_depth: int, conv1x1: str = "Conv2d_0a_1x1", conv5x5: str = "Conv2d_0b_5x5"
) -> Module:
    """On 35x35: the paper's figure 5, with a 5x5 convolution for the lone 3x3 one."""
    return Module(
        name,
        (
            Branch("Branch_0", (Conv("Conv2d_0a_1x1", 64, 1),)),
            Branch("Branch_1", (Conv(conv1x1, 48, 1), Conv(conv5x5, 64, 5))),
            Branch(
                "Branch_2",
                (
                    Conv("Conv2d_0a_1x1", 64, 1),
                    Conv("Conv2d_0b_3x3", 96, 3),
                    Conv("Conv2d_0c_3x3", 96, 3),
                ),
            ),
            Branch("Branch_3", (_AVERAGE, Conv("Conv2d_0b_1x1", pool_depth, 1))),
        ),
    )


def _reduction_a(name: str) -> Module:
    """From 35x35 to 17x17: figure 10."""
    return Module(
        name,
        (
            Branch("Branch_0", (Conv("Conv2d_1a_1x1", 384, 3, stride=2, padding="VALID"),)),
            Branch(
                "Branch_1",
                (
                    Conv("Conv2d_0a_1x1", 64, 1),
                    Conv("Conv2d_0b_3x3", 96, 3),
                    Conv("Conv2d_1a_1x1", 96, 3, stride=2, padding="VALID"),
                ),
            ),
            Branch("Branch_2", (_MAXIMUM,)),
        ),
    )


def _inception_b(name: str, inner_depth: int) -> Module:
    """On 17x17: figure 6, with 7x7 convolutions as pairs of 1x7 and 7x1 ones."""
    return Module(
        name,
        (
            Branch("Branch_0", (Conv("Conv2d_0a_1x1", 192, 1),)),
            Branch(
                "Branch_1",
                (
                    Conv("Conv2d_0a_1x1", inner_depth, 1),
                    Conv("Conv2d_0b_1x7", inner_depth, (1, 7)),
                    Conv("Conv2d_0c_7x1", 192, (7, 1)),
                ),
            ),
            Branch(
                "Branch_2",
                (
                    Conv("Conv2d_0a_1x1", inner_depth, 1),
                    Conv("Conv2d_0b_7x1", inner_depth, (7, 1)),
                    Conv("Conv2d_0c_1x7", inner_depth, (1, 7)),
                    Conv("Conv2d_0d_7x1", inner_depth, (7, 1)),
                    Conv("Conv2d_0e_1x7", 192, (1, 7)),
                ),
            ),
            Branch("Branch_3", (_AVERAGE, Conv("Conv2d_0b_1x1", 192, 1))),
        ),
    )


def _reduction_b(name: str) -> Module:
    """From 17x17 to 8x8: figure 10 with a 7x7 convolution as a pair."""
    return Module(
        name,
        (
            Branch(
                "Branch_0",
                (
                    Conv("Conv2d_0a_1x1", 192, 1),
                    Conv("Conv2d_1a_3x3", 320, 3, stride=2, padding="VALID"),
                ),
            ),
            Branch(
                "Branch_1",
                (
                    Conv("Conv2d_0a_1x1", 192, 1),
                    Conv("Conv2d_0b_1x7", 192, (1, 7)),
                    Conv("Conv2d_0c_7x1", 192, (7, 1)),
                    Conv("Conv2d_1a_3x3", 192, 3, stride=2, padding="VALID"),
                ),
            ),
            Branch("Branch_2", (_MAXIMUM,)),
        ),
    )


def _inception_c(name: str, conv3x1: str) -> Module:
    """On 8x8: figure 7, which forks."""
    return Module(
        name,
        (
            Branch("Branch_0", (Conv("Conv2d_0a_1x1", 320, 1),)),
            Branch(
                "Branch_1",
                (Conv("Conv2d_0a_1x1", 384, 1),),
                fork=(Conv("Conv2d_0b_1x3", 384, (1, 3)), Conv(conv3x1, 384, (3, 1))),
            ),
            Branch(
                "Branch_2",
                (Conv("Conv2d_0a_1x1", 448, 1), Conv("Conv2d_0b_3x3", 384, 3)),
                fork=(Conv("Conv2d_0c_1x3", 384, (1, 3)), Conv("Conv2d_0d_3x1", 384, (3, 1))),
            ),
            Branch("Branch_3", (_AVERAGE, Conv("Conv2d_0b_1x1", 192, 1))),
        ),
    )


# The body, with the names that the published checkpoint has, irregular ones as well.
BODY = (
    _inception_a("Mixed_5b", 32),
    _inception_a("Mixed_5c", 64, conv1x1="Conv2d_0b_1x1", conv5x5="Conv_1_0c_5x5"),
    _inception_a("Mixed_5d", 64),
    _reduction_a("Mixed_6a"),
    _inception_b("Mixed_6b", 128),
    _inception_b("Mixed_6c", 160),
    _inception_b("Mixed_6d", 160),
    _inception_b("Mixed_6e", 192),
    _reduction_b("Mixed_7a"),
    _inception_c("Mixed_7b", conv3x1="Conv2d_0b_3x1"),
    _inception_c("Mixed_7c", conv3x1="Conv2d_0c_3x1"),
)

# The auxiliary head: figure 8, on the last 17x17 map.
AUX_END_POINT = "Mixed_6e"
AUX_STDDEV = 0.01
AUX_LOGITS_STDDEV = 0.001


def pool_window(shape: Sequence[int | None]) -> tuple[int, int]:
    """The window of the head's average pool on a map of that shape, `[B, height, width, C]`."""
    return pooling.window(shape, HEAD_POOL_SIZE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(inception.OptionsWithAuxLogits):
    """The options of one Inception v3, checked.

    Args:
        depth_multiplier: Factor on the channels of every convolution, above 0.
        min_depth: Least number of channels of a convolution.
        global_pool: True averages over the whole map, False over a window of at most 8x8.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        **options: As for `inception.OptionsWithAuxLogits`.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception v3"

    depth_multiplier: float = DEPTH_MULTIPLIER
    min_depth: int = MIN_DEPTH
    global_pool: bool = False
    spatial_squeeze: bool = True

    def stem(self) -> tuple[Conv | Pool, ...]:
        """The stem with its channels thinned."""
        return self._thinned(STEM)

    def body(self) -> tuple[Module, ...]:
        """The modules with their channels thinned."""
        return self._thinned(BODY)

    def aux_logits(self, shape: Sequence[int | None]) -> Branch:
        """The auxiliary head, whose second convolution sees the whole map, or 5x5 of a large one.

        Args:
            shape: Shape of the map it sits on, `[B, height, width, C]`; unknown dimensions are
                None.
        """
        height, width = self.aux_kernel_size(shape[1:3])
        steps = (
            inception.AUX_POOL,
            Conv("Conv2d_1b_1x1", inception.AUX_REDUCTION_DEPTH, 1),
            Conv(
                f"Conv2d_2a_{height}x{width}",
                inception.AUX_DEPTH,
                (height, width),
                padding="VALID",
                stddev=AUX_STDDEV,
            ),
        )
        logits = Conv(
            "Conv2d_2b_1x1", self.num_classes, 1, stddev=AUX_LOGITS_STDDEV, is_linear=True
        )
        return Branch("AuxLogits", (*self._thinned(steps), logits))

    def logits(self) -> Branch:
        """The head, behind pool and dropout."""
        return Branch("Logits", (Conv("Conv2d_1c_1x1", self.num_classes, 1, is_linear=True),))

    def check_images(self, images: Any, built: Mapping[str, Any] | None = None) -> None:
        """As in the base class, and whether the pools leave one pixel to squeeze."""
        super().check_images(images, built)
        if self.num_classes is None or self.global_pool or not self.spatial_squeeze:
            return
        pooling.check_pool(images.shape[1:3], self.map_side, HEAD_POOL_SIZE, HEAD_POOL_STRIDE)

    def _check_aux_size(self, size: Sequence[int | None]) -> None:
        super()._check_aux_size(size)
        left = [side_after(inception.AUX_POOL, self.aux_map_side(side)) for side in size]
        if self.spatial_squeeze and any(side and side > inception.AUX_MAP_SIZE for side in left):
            raise ValueError(
                f"Images of {size[0]}x{size[1]} pixels leave a map that the auxiliary head does "
                "not reduce to one pixel: make the model with create_aux_logits=False, or with "
                "spatial_squeeze=False for a map of logits."
            )

    def aux_map_side(self, side: int | None) -> int | None:
        """As in the base class."""
        return side_behind((*STEM, *BODY), side, AUX_END_POINT)

    def aux_kernel_size(self, map_size: Sequence[int | None]) -> tuple[int, int]:
        """As in the base class, but 5x5 of what the pool leaves of a large map."""
        height, width = (
            min(side, inception.AUX_MAP_SIZE) for side in super().aux_kernel_size(map_size)
        )
        return height, width

    def map_side(self, side: int | None) -> int | None:
        """Height or width of the last map, from the images'."""
        return side_behind((*STEM, *BODY), side)

    def _thinned(self, parts: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(thinned(part, self.depth_multiplier, self.min_depth) for part in parts)
