"""Channels under a multiplier: TF-Slim's two rules."""

# MobileNet v2's and v3's channels are multiples of it.
DIVISOR = 8


def rounded_down(depth: int, multiplier: float, least: int) -> int:
    """The product, cut down to a whole number, and no less than `least`."""
    return max(int(depth * multiplier), least)


def divisible(exact: float, least: int = DIVISOR) -> int:
    """The multiple of 8 nearest to a depth, that is not far below it, and no less than `least`."""
    rounded = int(exact + DIVISOR / 2) // DIVISOR * DIVISOR
    rounded = max(rounded, least)
    return rounded + DIVISOR if rounded < 0.9 * exact else rounded
