"""MobileNet v3's nets as published, before any multiplier."""

import dataclasses

# What the paper's tables call RE and HS.
RELU = "relu"
HARD_SWISH = "hard_swish"


@dataclasses.dataclass(frozen=True)
class Block:
    """An inverted residual as published: a row of the paper's table 1 or 2, in its columns' order.

    Args:
        kernel_size: Height and width of the spatial kernel, in pixels.
        expanded_depth: Channels of the wide maps.
        depth: Output channels.
        squeeze_excite: Whether the wide maps are weighed.
        activation: `RELU` or `HARD_SWISH`, of all convolutions but the last.
        stride: Stride of the spatial convolution.
        fused: Whether one full convolution expands and filters.
        residual: Whether the inputs are added to the outputs where they fit.
    """

    kernel_size: int
    expanded_depth: int
    depth: int
    squeeze_excite: bool
    activation: str
    stride: int
    fused: bool = False
    residual: bool = True


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A net as published, before any multiplier.

    Args:
        stem_depth: Channels of the first convolution.
        blocks: What follows.
        last_depth: Channels of the last convolution with a norm.
        pooled_depth: Channels of the convolution behind the pool, which has no norm; None if there
            is none.
        activation: Of all convolutions outside of the blocks, as for a `Block`.
    """

    stem_depth: int
    blocks: tuple[Block, ...]
    last_depth: int
    pooled_depth: int | None
    activation: str


def _minimalistic(architecture: Architecture) -> Architecture:
    """The net without what some hardware is slow at: 5x5 kernels, squeeze-excite and h-swish."""
    blocks = [
        dataclasses.replace(block, kernel_size=3, squeeze_excite=False, activation=RELU)
        for block in architecture.blocks
    ]
    return dataclasses.replace(architecture, blocks=tuple(blocks), activation=RELU)


# Table 1 of the paper.
_LARGE = Architecture(
    stem_depth=16,
    blocks=(
        Block(3, 16, 16, False, RELU, 1),
        Block(3, 64, 24, False, RELU, 2),
        Block(3, 72, 24, False, RELU, 1),
        Block(5, 72, 40, True, RELU, 2),
        Block(5, 120, 40, True, RELU, 1),
        Block(5, 120, 40, True, RELU, 1),
        Block(3, 240, 80, False, HARD_SWISH, 2),
        Block(3, 200, 80, False, HARD_SWISH, 1),
        Block(3, 184, 80, False, HARD_SWISH, 1),
        Block(3, 184, 80, False, HARD_SWISH, 1),
        Block(3, 480, 112, True, HARD_SWISH, 1),
        Block(3, 672, 112, True, HARD_SWISH, 1),
        Block(5, 672, 160, True, HARD_SWISH, 2),
        Block(5, 960, 160, True, HARD_SWISH, 1),
        Block(5, 960, 160, True, HARD_SWISH, 1),
    ),
    last_depth=960,
    pooled_depth=1280,
    activation=HARD_SWISH,
)
# Table 2 of the paper, in its latest version, which has 1024 channels behind the pool.
_SMALL = Architecture(
    stem_depth=16,
    blocks=(
        Block(3, 16, 16, True, RELU, 2),
        Block(3, 72, 24, False, RELU, 2),
        Block(3, 88, 24, False, RELU, 1),
        Block(5, 96, 40, True, HARD_SWISH, 2),
        Block(5, 240, 40, True, HARD_SWISH, 1),
        Block(5, 240, 40, True, HARD_SWISH, 1),
        Block(5, 120, 48, True, HARD_SWISH, 1),
        Block(5, 144, 48, True, HARD_SWISH, 1),
        Block(5, 288, 96, True, HARD_SWISH, 2),
        Block(5, 576, 96, True, HARD_SWISH, 1),
        Block(5, 576, 96, True, HARD_SWISH, 1),
    ),
    last_depth=576,
    pooled_depth=1024,
    activation=HARD_SWISH,
)
# TF-Slim's `V3_EDGETPU`.
_EDGETPU = Architecture(
    stem_depth=32,
    blocks=(
        Block(3, 32, 16, False, RELU, 1, fused=True),
        Block(3, 128, 32, False, RELU, 2, fused=True),
        *[Block(3, 128, 32, False, RELU, 1, fused=True)] * 3,
        Block(3, 256, 48, False, RELU, 2, fused=True),
        *[Block(3, 192, 48, False, RELU, 1, fused=True)] * 3,
        Block(3, 384, 96, False, RELU, 2),
        *[Block(3, 384, 96, False, RELU, 1)] * 3,
        Block(3, 768, 96, False, RELU, 1, residual=False),
        *[Block(3, 384, 96, False, RELU, 1)] * 3,
        Block(5, 768, 160, False, RELU, 2),
        *[Block(5, 640, 160, False, RELU, 1)] * 3,
        Block(3, 1280, 192, False, RELU, 1),
    ),
    last_depth=1280,
    pooled_depth=None,
    activation=RELU,
)
ARCHITECTURES = {
    "large": _LARGE,
    "small": _SMALL,
    "large_minimalistic": _minimalistic(_LARGE),
    "small_minimalistic": _minimalistic(_SMALL),
    "edgetpu": _EDGETPU,
}
