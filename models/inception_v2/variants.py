"""Inception v2 as data: modules, constants, and the checks all versions share.

Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal
Covariate Shift", https://arxiv.org/abs/1502.03167: "BN-Inception". Numbers that the paper leaves
open are those of TF-Slim's `research/slim/nets/inception_v2.py` and `inception_utils.py`, whose net
is the paper's but for the norm, which has no gamma, the first convolution, which has biases and no
norm, and the channels behind the pools of `Mixed_4d` and `Mixed_4e`. Its `Mixed_3b` to `Mixed_5c`
are the paper's 3a to 5b.

Images are preprocessed to float values in [-1, 1]. The head has 1001 classes, 0 is the background.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import image_checks, inception, initializers, pooling
from ..branches import Branch, Conv, Module, Pool, thinned

# The product of all strides: of a smaller image the last map would be padding for the most part.
MIN_IMAGE_SIZE = 32

# Constants of `inception_v2` in TF-Slim.
DEPTH_MULTIPLIER = 1.0
MIN_DEPTH = 16
# `slim.variance_scaling_initializer`, and what draws the same in Keras.
INITIALIZER_FACTOR = 2.0
INITIALIZER_SCALE = initializers.keras_scale(INITIALIZER_FACTOR)
# The deviations of what is initialized otherwise: the stem's first convolution and its 1x1 one,
# those that narrow the inputs of other ones, and those behind pools.
STEM_STDDEV = 1.0
STEM_1X1_STDDEV = 0.1
REDUCE_STDDEV = 0.09
PROJECT_STDDEV = 0.1
# Filters of the first, separable convolution for each input channel, at most.
STEM_MULTIPLIER = 8
# The average pool of the head.
HEAD_POOL_SIZE = 7
HEAD_POOL_STRIDE = 2


@dataclasses.dataclass(frozen=True)
class SeparableConv(Conv):
    """A depthwise convolution and a 1x1 one behind it, with biases and ReLU and without a norm.

    Args:
        depth_multiplier: Filters of the depthwise one for each input channel.
    """

    depth_multiplier: int = STEM_MULTIPLIER


def _inception(
    name: str,
    depth_1x1: int,
    reduce_3x3: int,
    depth_3x3: int,
    double_reduce: int,
    double_3x3: int,
    pool: str,
    pool_proj: int,
) -> Module:
    """A module that keeps the map; channels in the columns of the paper's figure 5."""
    return Module(
        name,
        (
            Branch("Branch_0", (Conv("Conv2d_0a_1x1", depth_1x1, 1),)),
            Branch(
                "Branch_1",
                (
                    Conv("Conv2d_0a_1x1", reduce_3x3, 1, stddev=REDUCE_STDDEV),
                    Conv("Conv2d_0b_3x3", depth_3x3, 3),
                ),
            ),
            Branch(
                "Branch_2",
                (
                    Conv("Conv2d_0a_1x1", double_reduce, 1, stddev=REDUCE_STDDEV),
                    Conv("Conv2d_0b_3x3", double_3x3, 3),
                    Conv("Conv2d_0c_3x3", double_3x3, 3),
                ),
            ),
            Branch(
                "Branch_3",
                (
                    Pool(f"{pool}_0a_3x3", 3, stride=1, padding="SAME"),
                    Conv("Conv2d_0b_1x1", pool_proj, 1, stddev=PROJECT_STDDEV),
                ),
            ),
        ),
    )


def _reduction(
    name: str, reduce_3x3: int, depth_3x3: int, double_reduce: int, double_3x3: int
) -> Module:
    """A module that halves the map, and passes its inputs through a pool; columns likewise."""
    return Module(
        name,
        (
            Branch(
                "Branch_0",
                (
                    Conv("Conv2d_0a_1x1", reduce_3x3, 1, stddev=REDUCE_STDDEV),
                    Conv("Conv2d_1a_3x3", depth_3x3, 3, stride=2),
                ),
            ),
            Branch(
                "Branch_1",
                (
                    Conv("Conv2d_0a_1x1", double_reduce, 1, stddev=REDUCE_STDDEV),
                    Conv("Conv2d_0b_3x3", double_3x3, 3),
                    Conv("Conv2d_1a_3x3", double_3x3, 3, stride=2),
                ),
            ),
            Branch("Branch_2", (Pool("MaxPool_1a_3x3", 3, stride=2, padding="SAME"),)),
        ),
    )


# The paper's figure 5 from top to bottom; the names are TF-Slim's.
STEM = (
    SeparableConv("Conv2d_1a_7x7", 64, 7, stride=2, stddev=STEM_STDDEV),
    Pool("MaxPool_2a_3x3", 3, stride=2, padding="SAME"),
    Conv("Conv2d_2b_1x1", 64, 1, stddev=STEM_1X1_STDDEV),
    Conv("Conv2d_2c_3x3", 192, 3),
    Pool("MaxPool_3a_3x3", 3, stride=2, padding="SAME"),
)
BODY = (
    _inception("Mixed_3b", 64, 64, 64, 64, 96, "AvgPool", 32),
    _inception("Mixed_3c", 64, 64, 96, 64, 96, "AvgPool", 64),
    _reduction("Mixed_4a", 128, 160, 64, 96),
    _inception("Mixed_4b", 224, 64, 96, 96, 128, "AvgPool", 128),
    _inception("Mixed_4c", 192, 96, 128, 96, 128, "AvgPool", 128),
    _inception("Mixed_4d", 160, 128, 160, 128, 160, "AvgPool", 96),
    _inception("Mixed_4e", 96, 128, 192, 160, 192, "AvgPool", 96),
    _reduction("Mixed_5a", 128, 192, 192, 256),
    _inception("Mixed_5b", 352, 192, 320, 160, 224, "AvgPool", 128),
    _inception("Mixed_5c", 352, 192, 320, 192, 224, "MaxPool", 128),
)


def pool_window(shape: Sequence[int | None]) -> tuple[int, int]:
    """The window of the head's average pool on a map of that shape, `[B, height, width, C]`."""
    return pooling.window(shape, HEAD_POOL_SIZE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(inception.Options):
    """The options of one Inception v2, checked.

    Args:
        depth_multiplier: Factor on the channels of every convolution, above 0.
        min_depth: Least number of channels of a convolution.
        global_pool: True averages over the whole map, False over a window of at most 7x7.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        **options: As for `inception.Options`. The weight decay is not the first convolution's.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception v2"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    depth_multiplier: float = DEPTH_MULTIPLIER
    min_depth: int = MIN_DEPTH
    global_pool: bool = False
    spatial_squeeze: bool = True

    def check_images(self, images: Any, built: Mapping[str, Any] | None = None) -> None:
        """As in the base class, and whether the pool leaves one pixel to squeeze."""
        super().check_images(images, built)
        if self.num_classes is None or self.global_pool or not self.spatial_squeeze:
            return
        pooling.check_pool(
            images.shape[1:3],
            lambda side: math.ceil(side / MIN_IMAGE_SIZE),
            HEAD_POOL_SIZE,
            HEAD_POOL_STRIDE,
        )

    def stem(self) -> tuple[Any, ...]:
        """The stem with its channels thinned: a `SeparableConv`, then `Conv`s and `Pool`s.

        The filters of the first convolution are not to make more channels than the pointwise part
        behind them (TF-Slim's rule).
        """
        first, *others = (thinned(step, self.depth_multiplier, self.min_depth) for step in STEM)
        most = first.depth // image_checks.IMAGE_CHANNELS
        filters = max(min(most, first.depth_multiplier), 1)
        return (dataclasses.replace(first, depth_multiplier=filters), *others)

    def body(self) -> tuple[Module, ...]:
        """The modules with their channels thinned."""
        return tuple(thinned(module, self.depth_multiplier, self.min_depth) for module in BODY)

    def logits(self) -> Branch:
        """The head, behind pool and dropout."""
        return Branch("Logits", (Conv("Conv2d_1c_1x1", self.num_classes, 1, is_linear=True),))
