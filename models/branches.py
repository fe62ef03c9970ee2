"""What Inceptions consist of, as data: convolutions, pools, branches, and modules of branches.

Nothing here needs keras or tensorflow.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from . import depths


@dataclasses.dataclass(frozen=True)
class Conv:
    """A convolution, with batch norm and ReLU unless it is linear.

    Args:
        name: Its scope. The sizes in it are TF-Slim's, which for some are not those of the kernel.
        depth: Output channels.
        kernel_size: Height and width, one number if equal.
        stride: Stride.
        padding: `"SAME"` or `"VALID"`.
        stddev: Deviation of the initial weights; None: what the net has for most convolutions.
        is_linear: Whether it has biases in place of batch norm and ReLU, as what gives logits has.
    """

    name: str
    depth: int
    kernel_size: int | tuple[int, int]
    stride: int = 1
    padding: str = "SAME"
    stddev: float | None = None
    is_linear: bool = False


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
        steps: The layers: `Conv`s, `Pool`s and `Dense`s.
        fork: Convolutions that all see what the last step gives; their channels are stacked.
    """

    name: str
    steps: tuple[Any, ...]
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


def thinned(part: Any, multiplier: float, least: int) -> Any:
    """A part of a net with a multiplier on the channels of its convolutions (TF-Slim's rule).

    Args:
        part: Any of the classes above. Linear ones keep theirs.
        multiplier: Factor on the channels, which are rounded down.
        least: Least number of channels.
    """
    if isinstance(part, Conv) and not part.is_linear:
        depth = depths.rounded_down(part.depth, multiplier, least)
        return dataclasses.replace(part, depth=depth)
    inner = {
        field: tuple(thinned(each, multiplier, least) for each in getattr(part, field))
        for field in ("steps", "fork", "branches")
        if hasattr(part, field)
    }
    return dataclasses.replace(part, **inner)


def side_after(part: Any, side: int | None) -> int | None:
    """Height or width of the map behind a part of a net, in pixels.

    Args:
        part: A `Conv` or `Pool`, square if it shrinks the map; or something with `branches`, which
            all shrink the map alike.
        side: That of the map before it; None if it is not known.
    """
    if side is None:
        return None
    if hasattr(part, "branches"):
        return side_behind(part.branches[0].steps, side)
    if part.padding == "SAME":
        return -(-side // part.stride)
    return (side - part.kernel_size) // part.stride + 1


def side_behind(parts: Iterable[Any], side: int | None, last: str | None = None) -> int | None:
    """Height or width of the map behind parts of a net one after another, in pixels.

    Args:
        parts: What `side_after` takes.
        side: That of the images; None if it is not known.
        last: Name of the last part that counts; None for all of them.
    """
    for part in parts:
        side = side_after(part, side)
        if part.name == last:
            break
    return side
