"""Inception v2 as data: the variant, modules, constants, and the checks all versions share.

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
from collections.abc import Sequence
from typing import Any

from .. import options
from ..variant import Explanation, Published, Variant

PAPER = "https://arxiv.org/abs/1502.03167"
# The table "Pre-trained Models".
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
PARAMETERS = Explanation(
    11.18,
    "TF-Slim has 96 channels behind the pools of two modules, where the paper's figure 5 has 128 "
    "and sums that do not fit: 0.08 million less. But that figure's channels make 11.26 million, "
    "and what else is in the paper's 13.6 is not known.",
)
MULTIPLY_ADDS = Explanation(
    1935,
    "Published in billions with one decimal: the channels of the paper's figure 5 make 1949 "
    "million, and TF-Slim's 96 behind two pools, in place of 128, make 14 million less.",
)
ARCHIVES = "http://download.tensorflow.org/models/"

SCOPE = "InceptionV2"
INPUT_SIZE = 224
NUM_CLASSES = 1001
# The product of all strides: of a smaller image the last map would be padding for the most part.
MIN_IMAGE_SIZE = 32

# Constants of `inception_arg_scope` and `inception_v2` in TF-Slim.
DEPTH_MULTIPLIER = 1.0
MIN_DEPTH = 16
DROPOUT_KEEP_PROB = 0.8
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 0.001
# `slim.variance_scaling_initializer`: a normal distribution of variance 2 / inputs, cut at twice
# its deviation, and widened by 1.3 for what the cut takes away.
INITIALIZER_FACTOR = 2.0
# The scale with which `keras.initializers.VarianceScaling` draws the same: it divides by the exact
# deviation of what the cut leaves.
INITIALIZER_SCALE = INITIALIZER_FACTOR * 1.3 * 0.87962566103423978**2
# The deviations of what is initialized otherwise: the stem's first convolution and its 1x1 one,
# those that narrow the inputs of other ones, and those behind pools.
STEM_STDDEV = 1.0
STEM_1X1_STDDEV = 0.1
REDUCE_STDDEV = 0.09
PROJECT_STDDEV = 0.1

# The stem: the paper's figure 5 down to the first module.
STEM_DEPTHS = (64, 64, 192)
STEM_KERNEL_SIZE = 7
# Filters of the first, separable convolution for each input channel, at most.
STEM_MULTIPLIER = 8
# All other convolutions that are not 1x1.
KERNEL_SIZE = 3
# All pools but the head's.
POOL_SIZE = 3
# Of whatever halves the map: the first convolution, the pools of the stem, reductions.
STRIDE = 2
# The average pool of the head.
HEAD_POOL_SIZE = 7
HEAD_POOL_STRIDE = 2


@dataclasses.dataclass(frozen=True)
class Mixed:
    """An inception module, in the columns of the paper's figure 5: channels of its convolutions.

    Args:
        name: Its scope.
        depth_1x1: Of branch 0.
        reduce_3x3: Of the 1x1 convolution that narrows the inputs of branch 1.
        depth_3x3: Of the 3x3 convolution behind it.
        double_reduce: Of the 1x1 convolution that narrows the inputs of branch 2.
        double_3x3: Of each of the two 3x3 convolutions behind it.
        pool: `"AvgPool"` or `"MaxPool"`, of branch 3.
        pool_proj: Of the 1x1 convolution behind the pool.
    """

    name: str
    depth_1x1: int
    reduce_3x3: int
    depth_3x3: int
    double_reduce: int
    double_3x3: int
    pool: str
    pool_proj: int


@dataclasses.dataclass(frozen=True)
class Reduction:
    """An inception module that halves the map, and passes its inputs through a pool.

    Args:
        name: Its scope.
        reduce_3x3: Of the 1x1 convolution that narrows the inputs of branch 0.
        depth_3x3: Of the 3x3 convolution behind it.
        double_reduce: Of the 1x1 convolution that narrows the inputs of branch 1.
        double_3x3: Of each of the two 3x3 convolutions behind it.
    """

    name: str
    reduce_3x3: int
    depth_3x3: int
    double_reduce: int
    double_3x3: int


# The paper's figure 5; the names are TF-Slim's.
BODY = (
    Mixed("Mixed_3b", 64, 64, 64, 64, 96, "AvgPool", 32),
    Mixed("Mixed_3c", 64, 64, 96, 64, 96, "AvgPool", 64),
    Reduction("Mixed_4a", 128, 160, 64, 96),
    Mixed("Mixed_4b", 224, 64, 96, 96, 128, "AvgPool", 128),
    Mixed("Mixed_4c", 192, 96, 128, 96, 128, "AvgPool", 128),
    Mixed("Mixed_4d", 160, 128, 160, 128, 160, "AvgPool", 96),
    Mixed("Mixed_4e", 96, 128, 192, 160, 192, "AvgPool", 96),
    Reduction("Mixed_5a", 128, 192, 192, 256),
    Mixed("Mixed_5b", 352, 192, 320, 160, 224, "AvgPool", 128),
    Mixed("Mixed_5c", 352, 192, 320, 192, 224, "MaxPool", 128),
)


VARIANTS = (
    Variant(
        name="inception_v2",
        family="inception_v2",
        model_class="InceptionV2",
        scope=SCOPE,
        input_size=INPUT_SIZE,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits",),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=73.9,
            top5_percent=91.8,
            parameters_millions=13.6,
            multiply_adds_millions=2000,
            parameters_explained=PARAMETERS,
            multiply_adds_explained=MULTIPLY_ADDS,
            source=f"{FIGURES}; parameters: {PAPER}, section 4.2; multiply-adds: "
            "https://arxiv.org/abs/1512.00567, table 3",
        ),
        checkpoint="inception_v2.ckpt",
        archive=f"{ARCHIVES}inception_v2_2016_08_28.tar.gz",
    ),
)


def by_name(name: str) -> Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception v2.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no Inception v2 variant {name!r}; known is {known}.")


def pool_size(shape: Sequence[int | None]) -> tuple[int, ...]:
    """The window of the head's average pool: at most the map it pools (TF-Slim's rule).

    Args:
        shape: Shape of the map, `[B, height, width, C]`; unknown dimensions are None.
    """
    return tuple(
        HEAD_POOL_SIZE if size is None else min(size, HEAD_POOL_SIZE) for size in shape[1:3]
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one Inception v2, checked.

    Args:
        depth_multiplier: Factor on the channels of every convolution, above 0.
        num_classes: Classes of the head; None for the pooled features without a head.
        global_pool: True averages over the whole map, False over a window of at most 7x7.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        min_depth: Least number of channels of a convolution.
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution but the
            first.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception v2"
    PREPROCESSING = "inception"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    num_classes: int | None = NUM_CLASSES
    depth_multiplier: float = DEPTH_MULTIPLIER
    global_pool: bool = False
    spatial_squeeze: bool = True
    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    min_depth: int = MIN_DEPTH
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
        # The smallest map that the pool's window fits on twice.
        too_large = HEAD_POOL_SIZE + HEAD_POOL_STRIDE
        for size in (height, width):
            if size is not None and math.ceil(size / MIN_IMAGE_SIZE) >= too_large:
                largest = MIN_IMAGE_SIZE * (too_large - 1)
                raise ValueError(
                    f"Images of {height}x{width} pixels leave a map that the "
                    f"{HEAD_POOL_SIZE}x{HEAD_POOL_SIZE} average pool does not reduce to one pixel: "
                    f"take images of at most {largest}x{largest}, or make the model in Python with "
                    "global_pool=True, or with spatial_squeeze=False for a map of logits."
                )

    def stem_depths(self) -> tuple[int, ...]:
        """Channels of the three convolutions before the modules."""
        return tuple(self._thinned(depth) for depth in STEM_DEPTHS)

    def stem_multiplier(self) -> int:
        """Filters of the first convolution for each input channel.

        They are not to make more channels than the pointwise part behind them (TF-Slim's rule).
        """
        most = self.stem_depths()[0] // options.IMAGE_CHANNELS
        return max(min(most, STEM_MULTIPLIER), 1)

    def body(self) -> tuple[Mixed | Reduction, ...]:
        """The modules with their channels thinned."""
        resolved: list[Mixed | Reduction] = []
        for module in BODY:
            fields: dict[str, Any] = dataclasses.asdict(module)
            for name, value in fields.items():
                if isinstance(value, int):
                    fields[name] = self._thinned(value)
            resolved.append(type(module)(**fields))
        return tuple(resolved)

    def _thinned(self, depth: int) -> int:
        return max(int(depth * self.depth_multiplier), self.min_depth)
