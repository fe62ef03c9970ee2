"""Inception v1 as data: modules, constants, and the checks all versions share.

Szegedy et al., "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842: "GoogLeNet".
Numbers that the paper leaves open are those of TF-Slim's `research/slim/nets/inception_v1.py` and
`inception_utils.py`, whose net is the paper's with these changes: batch norm after every
convolution, 3x3 convolutions instead of 5x5 ones, a full first convolution (the paper's has the
parameters of a separable one), a 2x2 pool before `Mixed_5b`, and no auxiliary heads. Its `Mixed_3b`
to `Mixed_5c` are the paper's 3a to 5b.

Images are preprocessed to float values in [-1, 1]. The head has 1001 classes, 0 is the background.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from .. import inception, initializers, pooling
from ..branches import Conv, Pool

# The product of all strides: of a smaller image the last map would be padding for the most part.
MIN_IMAGE_SIZE = 32

# The initializer of all convolutions but the head's.
INITIALIZER_STDDEV = 0.01
# That of the head is `slim.variance_scaling_initializer()`, for its 1024 inputs.
HEAD_INITIALIZER_FACTOR = 2.0
HEAD_INPUTS = 1024
HEAD_INITIALIZER_STDDEV = initializers.stddev(HEAD_INITIALIZER_FACTOR, HEAD_INPUTS)

# Channels of the map that the stem hands on.
STEM_DEPTH = 192
# The 3x3 convolutions of modules.
KERNEL_SIZE = 3
# The pools of modules.
POOL_SIZE = 3
# The average pool of the head.
HEAD_POOL_SIZE = 7
HEAD_POOL_STRIDE = 1


@dataclasses.dataclass(frozen=True)
class Module:
    """An inception module, in the columns of the paper's table 1: channels of its convolutions.

    Args:
        name: Its scope.
        depth_1x1: Of branch 0.
        reduce_3x3: Of the 1x1 convolution that narrows the inputs of branch 1.
        depth_3x3: Of the 3x3 convolution behind it.
        reduce_5x5: The same of branch 2, which has 5x5 convolutions in the paper.
        depth_5x5: Likewise.
        pool_proj: Of the 1x1 convolution behind the pool of branch 3.
        scope_5x5: Scope of the second convolution of branch 2.
    """

    name: str
    depth_1x1: int
    reduce_3x3: int
    depth_3x3: int
    reduce_5x5: int
    depth_5x5: int
    pool_proj: int
    scope_5x5: str = "Conv2d_0b_3x3"


# The paper's table 1 from top to bottom; the names are TF-Slim's.
STEM = (
    Conv("Conv2d_1a_7x7", 64, 7, stride=2),
    Pool("MaxPool_2a_3x3", 3, stride=2, padding="SAME"),
    Conv("Conv2d_2b_1x1", 64, 1),
    Conv("Conv2d_2c_3x3", STEM_DEPTH, 3),
    Pool("MaxPool_3a_3x3", 3, stride=2, padding="SAME"),
)
BODY = (
    Module("Mixed_3b", 64, 96, 128, 16, 32, 32),
    Module("Mixed_3c", 128, 128, 192, 32, 96, 64),
    Pool("MaxPool_4a_3x3", 3, stride=2, padding="SAME"),
    Module("Mixed_4b", 192, 96, 208, 16, 48, 64),
    Module("Mixed_4c", 160, 112, 224, 24, 64, 64),
    Module("Mixed_4d", 128, 128, 256, 24, 64, 64),
    Module("Mixed_4e", 112, 144, 288, 32, 64, 64),
    Module("Mixed_4f", 256, 160, 320, 32, 128, 128),
    Pool("MaxPool_5a_2x2", 2, stride=2, padding="SAME"),
    Module("Mixed_5b", 256, 160, 320, 32, 128, 128, scope_5x5="Conv2d_0a_3x3"),
    Module("Mixed_5c", 384, 192, 384, 48, 128, 128),
)


def pool_window(shape: Sequence[int | None]) -> tuple[int, int]:
    """The window of the head's average pool on a map of that shape, `[B, height, width, C]`.

    TF-Slim's later nets have this rule for small images; its Inception v1 takes none whose last map
    is smaller than the window.
    """
    return pooling.window(shape, HEAD_POOL_SIZE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(inception.Options):
    """The options of one Inception v1, checked.

    Args:
        global_pool: True averages over the whole map, False over a window of at most 7x7.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        **options: As for `inception.Options`.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception v1"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

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
