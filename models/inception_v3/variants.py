"""Inception v3 as data: the variant, modules, constants, and the checks all versions share.

Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
https://arxiv.org/abs/1512.00567. Numbers that the paper leaves open, and all names, are those of
TF-Slim's `research/slim/nets/inception_v3.py` and `inception_utils.py`.

Images are preprocessed to values in [-1, 1]. The head has 1001 classes, 0 is the background.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from .. import options
from ..variant import Explanation, Published, Variant

PAPER = "https://arxiv.org/abs/1512.00567"
# The table "Pre-trained Models".
FIGURES = "https://github.com/tensorflow/models/tree/master/research/slim#pre-trained-models"
ARCHIVES = "http://download.tensorflow.org/models/"
# What TensorFlow's profiler finds, with 1000 classes and the auxiliary head.
COUNTS = "https://github.com/visipedia/tf_classification/blob/master/nets/README.md"
# Its table 1 has convolutions of 3x3, 3x3/2 and 3x3 to 80, 192 and 288 channels behind the first
# pool: 1011 million multiply-adds, where TF-Slim's two and a pool have 724.
MULTIPLY_ADDS = Explanation(
    5713,
    "The paper gives whole billions, so up to 500 of the 713 million may be rounding; its modules' "
    "channels are not printed, and no part of the rest is certain. As printed, its net would have "
    "more: 287 million more in the stem of table 1, and 181 million less with the lone 3x3 "
    "convolutions of figure 5 in place of the 5x5 ones of Mixed_5b to Mixed_5d, 5819 in all. "
    "Without multiplications by the zeros of padding TF-Slim's net has 5468, which would be 5 "
    "billion; whether the paper counts so is not known. TensorFlow's profiler agrees with the "
    "count: 11.44 billion operations, two for each, the auxiliary head's 6 million included.",
)
PARAMETERS_NOTE = (
    "The paper says less than 25 million parameters, and 23.82 are counted without the auxiliary "
    "head."
)

SCOPE = "InceptionV3"
NUM_CLASSES = 1001

# Constants of `inception_v3` and `inception_arg_scope` in TF-Slim.
DROPOUT_KEEP_PROB = 0.8
MIN_DEPTH = 16
WEIGHT_DECAY = 4e-5
BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 0.001
# `slim.variance_scaling_initializer`: a normal distribution of variance 2 / inputs, cut at twice
# its deviation, and widened by 1.3 for what the cut takes away (Keras widens by 1.2924).
INITIALIZER_FACTOR = 2.0
INITIALIZER_TRUNCATION = 1.3

# The average pool before the head: its largest window, and `slim.avg_pool2d`'s default stride.
POOL_SIZE = 8
POOL_STRIDE = 2


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution, with batch norm and ReLU unless it gives logits.

    Args:
        name: Its scope. The sizes in it are TF-Slim's, which for some are not those of the kernel.
        depth: Output channels.
        kernel_size: Height and width, one number if equal.
        stride: Stride.
        padding: `"SAME"` or `"VALID"`.
        stddev: Deviation of the initial weights; None: that of variance scaling.
        gives_logits: Whether it has biases in place of batch norm and ReLU.
    """

    name: str
    depth: int
    kernel_size: int | tuple[int, int]
    stride: int = 1
    padding: str = "SAME"
    stddev: float | None = None
    gives_logits: bool = False


@dataclasses.dataclass(frozen=True)
class Pool:
    """A pool.

    Args:
        name: Its scope, which begins with its kind: `AvgPool` or `MaxPool`.
        size: Height and width of its window.
        stride: Stride.
        padding: `"SAME"` or `"VALID"`.
    """

    name: str
    size: int
    stride: int
    padding: str

    @property
    def is_average(self) -> bool:
        """Whether it gives the mean of its window; else the largest value."""
        return self.name.startswith("AvgPool")


@dataclasses.dataclass(frozen=True)
class Branch:
    """Convolutions and pools one after another.

    Args:
        name: Its scope.
        steps: What is done.
        fork: Convolutions that all see what the last step gives; their channels are stacked.
    """

    name: str
    steps: tuple[Conv | Pool, ...]
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
MODULES = (
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
AUX_POOL = Pool("AvgPool_1a_5x5", 5, stride=3, padding="VALID")
AUX_REDUCTION_DEPTH = 128
AUX_DEPTH = 768
AUX_KERNEL_SIZE = 5
AUX_STDDEV = 0.01
AUX_LOGITS_STDDEV = 0.001

# Least height and width, in pixels, that leave a map to the last module, and to the auxiliary pool.
MIN_IMAGE_SIZE = 75
MIN_AUX_IMAGE_SIZE = 107


@dataclasses.dataclass(frozen=True, kw_only=True)
class InceptionV3Variant(Variant):
    """A published Inception v3."""


VARIANTS = (
    InceptionV3Variant(
        name="inception_v3",
        family="inception_v3",
        model_class="InceptionV3",
        scope=SCOPE,
        input_size=299,
        num_classes=NUM_CLASSES,
        head_scopes=("Logits", "AuxLogits"),
        labels_offset=0,
        preprocessing="inception",
        paper=PAPER,
        published=Published(
            top1_percent=78.0,
            top5_percent=93.9,
            parameters_millions=27.14,
            multiply_adds_millions=5000,
            multiply_adds_explained=MULTIPLY_ADDS,
            source=f"{FIGURES}; parameters: {COUNTS}; multiply-adds: {PAPER}, abstract",
            note=PARAMETERS_NOTE,
        ),
        checkpoint="inception_v3.ckpt",
        archive=f"{ARCHIVES}inception_v3_2016_08_28.tar.gz",
    ),
)


def by_name(name: str) -> InceptionV3Variant:
    """The variant of that name.

    Raises:
        ValueError: It is no Inception v3.
    """
    for variant in VARIANTS:
        if variant.name == name:
            return variant
    known = ", ".join(variant.name for variant in VARIANTS)
    raise ValueError(f"There is no Inception v3 variant {name!r}; known are {known}.")


def window(shape: Sequence[int | None], largest: int) -> tuple[int, int]:
    """A window of that size, or as large as the map if that is smaller (TF-Slim's rule).

    Args:
        shape: Shape of the map, `[B, height, width, C]`; unknown dimensions are None.
        largest: Height and width of the window on a large or unknown map.
    """
    height, width = (largest if size is None else min(size, largest) for size in shape[1:3])
    return height, width


def _side_after(side: int | None, size: int, stride: int) -> int | None:
    """Height or width of a map after a window without padding, such as all that shrink the map."""
    return None if side is None else (side - size) // stride + 1


def _size_text(height: int | None, width: int | None) -> str:
    if height is None or width is None:
        return "unknown size, which counts as large,"
    return f"{height}x{width} pixels"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(options.Options):
    """The options of one Inception v3, checked.

    Args:
        num_classes: Classes of the heads; None for the pooled features without a head.
        create_aux_logits: Whether there is an auxiliary head; there is none without classes.
        depth_multiplier: Factor on the channels of every convolution, above 0.
        min_depth: Least number of channels of a convolution.
        global_pool: True averages over the whole map, False over a window of at most 8x8.
        spatial_squeeze: True gives logits `[B, num_classes]`, False
            `[B, height, width, num_classes]`.
        dropout_keep_prob: Share of the pooled features kept in training, in (0, 1].
        weight_decay: Factor s of the loss `s * sum(weights ** 2) / 2` of every convolution.
        batch_norm_decay: Share of the old moving statistics kept in a training step, in [0, 1].
        batch_norm_epsilon: Added to the variance by batch norm.

    Raises:
        ValueError: A value is out of its range.
    """

    MODEL = "Inception v3"
    PREPROCESSING = "inception"
    MIN_IMAGE_SIZE = MIN_IMAGE_SIZE

    num_classes: int | None = NUM_CLASSES
    create_aux_logits: bool = True
    depth_multiplier: float = 1.0
    min_depth: int = MIN_DEPTH
    global_pool: bool = False
    spatial_squeeze: bool = True
    dropout_keep_prob: float = DROPOUT_KEEP_PROB
    weight_decay: float = WEIGHT_DECAY
    batch_norm_decay: float = BATCH_NORM_DECAY
    batch_norm_epsilon: float = BATCH_NORM_EPSILON

    @classmethod
    def of(cls, variant: InceptionV3Variant, **options: Any) -> "Options":
        """The options of a variant, where `options` do not say otherwise.

        Raises:
            ValueError: An option is unknown or out of its range.
        """
        return cls.checked(options)

    @property
    def has_aux_logits(self) -> bool:
        """Whether there is an auxiliary head."""
        return self.create_aux_logits and self.num_classes is not None

    def stem(self) -> tuple[Conv | Pool, ...]:
        """The stem with its channels thinned."""
        return self._thinned(STEM)

    def modules(self) -> tuple[Module, ...]:
        """The modules with their channels thinned."""
        return tuple(
            Module(
                module.name,
                tuple(
                    Branch(branch.name, self._thinned(branch.steps), self._thinned(branch.fork))
                    for branch in module.branches
                ),
            )
            for module in MODULES
        )

    def aux_logits(self, shape: Sequence[int | None]) -> Branch:
        """The auxiliary head, whose second convolution sees the whole map, or 5x5 of a large one.

        Args:
            shape: Shape of the map it sits on, `[B, height, width, C]`; unknown dimensions are
                None and count as large.
        """
        sides = [_side_after(side, AUX_POOL.size, AUX_POOL.stride) for side in shape[1:3]]
        height, width = window((None, *sides, None), AUX_KERNEL_SIZE)
        steps = (
            AUX_POOL,
            Conv("Conv2d_1b_1x1", AUX_REDUCTION_DEPTH, 1),
            Conv(
                f"Conv2d_2a_{height}x{width}",
                AUX_DEPTH,
                (height, width),
                padding="VALID",
                stddev=AUX_STDDEV,
            ),
        )
        logits = Conv(
            "Conv2d_2b_1x1", self.num_classes, 1, stddev=AUX_LOGITS_STDDEV, gives_logits=True
        )
        return Branch("AuxLogits", (*self._thinned(steps), logits))

    def logits(self) -> Branch:
        """The head, behind pool and dropout."""
        return Branch("Logits", (Conv("Conv2d_1c_1x1", self.num_classes, 1, gives_logits=True),))

    def check_images(self, images: Any, built_for: Sequence[int | None] | None = None) -> None:
        """Checks images before any layer sees them, so that all versions complain alike.

        Args:
            images: Array or tensor, `[B, H, W, 3]`; unknown dimensions are None.
            built_for: Shape of the images that the model was built for, None if it is not built.

        Raises:
            ValueError: The net can't take such images.
        """
        super().check_images(images)
        height, width = images.shape[1:3]
        if self.has_aux_logits:
            self._check_aux_logits(height, width, built_for)
        if self.num_classes is None or self.global_pool or not self.spatial_squeeze:
            return
        sides = [self._sides(side)[1] for side in (height, width)]
        if any(side is not None and side >= POOL_SIZE + POOL_STRIDE for side in sides):
            raise ValueError(
                f"Images of {height}x{width} pixels leave a map that the {POOL_SIZE}x{POOL_SIZE} "
                "average pool does not reduce to one pixel: make the model with global_pool=True, "
                "or with spatial_squeeze=False for a map of logits."
            )

    def _check_aux_logits(self, height, width, built_for) -> None:
        if any(side is not None and side < MIN_AUX_IMAGE_SIZE for side in (height, width)):
            raise ValueError(
                f"{self.MODEL} with its auxiliary head takes images of at least "
                f"{MIN_AUX_IMAGE_SIZE}x{MIN_AUX_IMAGE_SIZE} pixels, got {height}x{width}: make the "
                "model with create_aux_logits=False."
            )
        maps = [self._sides(side)[0] for side in (height, width)]
        sides = [_side_after(side, AUX_POOL.size, AUX_POOL.stride) for side in maps]
        if self.spatial_squeeze and any(s is not None and s > AUX_KERNEL_SIZE for s in sides):
            raise ValueError(
                f"Images of {height}x{width} pixels leave a map that the auxiliary head does not "
                "reduce to one pixel: make the model with create_aux_logits=False, or with "
                "spatial_squeeze=False for a map of logits."
            )
        if built_for is None:
            return
        built_maps = [self._sides(side)[0] for side in built_for[1:3]]
        head, built_head = (self.aux_logits((None, *m, None)) for m in (maps, built_maps))
        if head != built_head:
            raise ValueError(
                "The auxiliary head's weights were made for images of "
                f"{_size_text(*built_for[1:3])} and do not fit those of "
                f"{_size_text(height, width)}: make the model with create_aux_logits=False, or for "
                "images of that size."
            )

    def _sides(self, side: int | None) -> tuple[int | None, int | None]:
        """Height or width of the auxiliary head's map and of the last one, from the images'."""
        for step in STEM:
            if step.padding == "VALID":
                size: Any = step.size if isinstance(step, Pool) else step.kernel_size
                side = _side_after(side, size, step.stride)
        aux_side = _side_after(side, _MAXIMUM.size, _MAXIMUM.stride)
        return aux_side, _side_after(aux_side, _MAXIMUM.size, _MAXIMUM.stride)

    def _thinned(self, steps: Sequence[Any]) -> tuple[Any, ...]:
        """The steps with the multiplier on their channels."""
        return tuple(
            dataclasses.replace(
                step, depth=max(int(step.depth * self.depth_multiplier), self.min_depth)
            )
            if isinstance(step, Conv)
            else step
            for step in steps
        )
