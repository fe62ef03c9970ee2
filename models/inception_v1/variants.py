"""Inception v1 as data: the variant, modules, constants, and the checks all versions share.

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
from collections.abc import Sequence
from typing import Any

from .. import options
from ..variant import Explanation, Published, Variant

PAPER = "https://arxiv.org/abs/1409.4842"
# The table "Pre-trained Models".
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
PARAMETERS = Explanation(
    6.62,
    "TF-Slim's 3x3 convolutions have 0.38 million less than the paper's 5x5 ones; norms, the full "
    "first convolution and the background class have 0.02 million more.",
)
MULTIPLY_ADDS = (
    "Multiply-adds agree by chance: TF-Slim's 3x3 convolutions have 84 million less than the "
    "paper's 5x5 ones, and its full first convolution has 84 million more."
)
ARCHIVES = "http://download.tensorflow.org/models/"

SCOPE = "InceptionV1"
INPUT_SIZE = 224
NUM_CLASSES = 1001
# The product of all strides: of a smaller image the last map would be padding for the most part.
MIN_IMAGE_SIZE = 32

# Constants of `inception_arg_scope` and `inception_v1` in TF-Slim.
DROPOUT_KEEP_PROB = 0.8
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 0.001
# The initializer of all convolutions but the head's.
INITIALIZER_STDDEV = 0.01
# That of the head is `slim.variance_scaling_initializer()`: a normal distribution of variance
# 2 / inputs, cut at twice its deviation, and widened by 1.3 for what the cut takes away.
HEAD_INITIALIZER_FACTOR = 2.0
HEAD_INPUTS = 1024
HEAD_INITIALIZER_STDDEV = math.sqrt(1.3 * HEAD_INITIALIZER_FACTOR / HEAD_INPUTS)

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
class Conv:
    """A convolution of the stem.

    Args:
        name: Its scope.
        depth: Output channels.
        kernel_size: Height and width of its kernel.
        stride: Its stride.
    """

    name: str
    depth: int
    kernel_size: int
    stride: int


@dataclasses.dataclass(frozen=True)
class MaxPool:
    """A max pool of the stem, or between modules.

    Args:
        name: Its scope.
        size: Height and width of its window.
        stride: Its stride.
    """

    name: str
    size: int
    stride: int


@dataclasses.dataclass(frozen=True)
class Mixed:
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
    Conv("Conv2d_1a_7x7", 64, 7, 2),
    MaxPool("MaxPool_2a_3x3", 3, 2),
    Conv("Conv2d_2b_1x1", 64, 1, 1),
    Conv("Conv2d_2c_3x3", STEM_DEPTH, 3, 1),
    MaxPool("MaxPool_3a_3x3", 3, 2),
)
BODY = (
    Mixed("Mixed_3b", 64, 96, 128, 16, 32, 32),
    Mixed("Mixed_3c", 128, 128, 192, 32, 96, 64),
    MaxPool("MaxPool_4a_3x3", 3, 2),
    Mixed("Mixed_4b", 192, 96, 208, 16, 48, 64),
    Mixed("Mixed_4c", 160, 112, 224, 24, 64, 64),
    Mixed("Mixed_4d", 128, 128, 256, 24, 64, 64),
    Mixed("Mixed_4e", 112, 144, 288, 32, 64, 64),
    Mixed("Mixed_4f", 256, 160, 320, 32, 128, 128),
    MaxPool("MaxPool_5a_2x2", 2, 2),
    Mixed("Mixed_5b", 256, 160, 320, 32, 128, 128, scope_5x5="Conv2d_0a_3x3"),
    Mixed("Mixed_5c", 384, 192, 384, 48, 128, 128),
)


VARIANTS = (
    Variant(
        name="inception_v1",
        family="inception_v1",
        model_class="InceptionV1",
        scope=SCOPE,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=69.8,
            top5_percent=89.6,
            parameters_millions=6.96,
            multiply_adds_millions=1502,
            parameters_explained=PARAMETERS,
            source=f"{FIGURES}; parameters and multiply-adds: {PAPER}, sums of table 1, K as 1024",
            note=MULTIPLY_ADDS,
        ),
        checkpoint="inception_v1.ckpt",
        archive=f"{ARCHIVES}inception_v1_2016_08_28.tar.gz",
    ),
)


def by_name(name: str) -> Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception v1.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no Inception v1 variant {name!r}; known is {known}.")


def pool_size(shape: Sequence[int | None]) -> tuple[int, ...]:
    """The window of the head's average pool: at most the map it pools.

    TF-Slim's later nets have this rule for small images; its Inception v1 takes none whose last map
    is smaller than the window.

    Args:
        shape: Shape of the map, `[B, height, width, C]`; unknown dimensions are None.
    """
    return tuple(
        HEAD_POOL_SIZE if size is None else min(size, HEAD_POOL_SIZE) for size in shape[1:3]
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one Inception v1, checked.

    Args:
        num_classes: Classes of the head; None for the pooled features without a head.
        global_pool: True averages over the whole map, False over a window of at most 7x7.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception v1"
    PREPROCESSING = "inception"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    num_classes: int | None = NUM_CLASSES
    global_pool: bool = False
    spatial_squeeze: bool = True
    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    @classmethod
    def of(cls, variant: Variant, **options: Any) -> "Options":
        """The options of a variant, where `options` do not say otherwise.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        return cls.checked(options)

    def check_images(self, images: Any) -> None:
        """Checks images before any layer sees them, so that all versions complain alike.

        Args:
            images: Array or tensor, `[B, H, W, 3]`; unknown dimensions are None.

        Raises:
            ValueError: The net can't take such images.
        """
        super().check_images(images)
        if self.num_classes is not None and self.spatial_squeeze and not self.global_pool:
            self._check_squeeze(*images.shape[1:3])

    def _check_squeeze(self, height: int | None, width: int | None) -> None:
        for size in (height, width):
            if size is not None and math.ceil(size / MIN_IMAGE_SIZE) > HEAD_POOL_SIZE:
                largest = MIN_IMAGE_SIZE * HEAD_POOL_SIZE
                raise ValueError(
                    f"Images of {height}x{width} pixels leave a map that the "
                    f"{HEAD_POOL_SIZE}x{HEAD_POOL_SIZE} average pool does not reduce to one pixel: "
                    f"take images of at most {largest}x{largest}, or make the model in Python with "
                    "global_pool=True, or with spatial_squeeze=False for a map of logits."
                )
