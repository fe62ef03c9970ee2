"""The head's pool: its window, and images of which it leaves more than can be squeezed.

Nothing here needs keras or tensorflow.
"""

from collections.abc import Callable, Sequence

_MORE_PIXELS = "global_pool=True, or with spatial_squeeze=False for a map of logits."


def check_last_map(size: Sequence[int | None], stride: int) -> None:
    """Refuses images whose last map is more than a pixel, for a head that squeezes it.

    Args:
        size: Height and width of the images, in pixels; None is unknown, and not refused.
        stride: How many times smaller the last map is.

    Raises:
        ValueError: The map has more pixels.
    """
    if any(side is not None and side > stride for side in size):
        raise ValueError(
            f"Images of {size[0]}x{size[1]} pixels leave a map of more than one pixel, which can't "
            f"be squeezed: make the model with {_MORE_PIXELS}"
        )


def check_pool(
    size: Sequence[int | None],
    side_of_map: Callable[[int], int | None],
    window: int,
    stride: int,
    at: str = "",
) -> None:
    """Refuses images whose last map the head's average pool does not make one pixel of.

    Args:
        size: Height and width of the images, in pixels; None is unknown, and not refused.
        side_of_map: Height or width of the map before the pool, from the images'.
        window: Height and width of the pool's window, in pixels.
        stride: The pool's stride.
        at: What the largest size depends on, for the message.

    Raises:
        ValueError: The pool gives more pixels.
    """

    def is_too_large(side: int) -> bool:
        return (side_of_map(side) or 0) >= window + stride

    if any(side is not None and is_too_large(side) for side in size):
        largest = max(side for side in size if side is not None)
        while is_too_large(largest):
            largest -= 1
        raise ValueError(
            f"Images of {size[0]}x{size[1]} pixels leave a map that the {window}x{window} average "
            f"pool does not reduce to one pixel: {at}take images of at most {largest}x{largest}, "
            f"or make the model in Python with {_MORE_PIXELS}"
        )


def window(shape: Sequence[int | None], largest: int) -> tuple[int, int]:
    """A window of that size, or as large as the map if that is smaller (TF-Slim's rule).

    Args:
        shape: Shape of the map, `[B, height, width, C]`; unknown dimensions are None.
        largest: Height and width of the window on a large or unknown map, in pixels.
    """
    height, width = (largest if size is None else min(size, largest) for size in shape[1:3])
    return height, width
