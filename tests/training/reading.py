"""Reads all examples of a split."""


def examples(split, order_seed=None):
    """Each example once, as `Split.read` gives it, in the order that the seed decides."""
    return [split.read(index) for index in split.order(order_seed)]
