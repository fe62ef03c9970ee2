"""Mixed precision in TF1 code: variables stay float32 and are used as the layers compute."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def float32_storage(
    getter: Callable, name: str, shape: Any = None, dtype: Any = None, **kwargs: Any
) -> Any:
    """A custom getter for `tf.compat.v1.variable_scope`, as TF1 code had for mixed precision.

    Args:
        getter: The getter that would be called without this one.
        name: Name of the variable.
        shape: Its shape.
        dtype: The dtype that the layer computes in.
        **kwargs: The other arguments of `get_variable`.

    Returns:
        The variable, or its value in the half-precision dtype that the layer asked for.
    """
    if dtype is None or tf.as_dtype(dtype) not in (tf.float16, tf.bfloat16):
        return getter(name, shape=shape, dtype=dtype, **kwargs)
    return tf.cast(getter(name, shape=shape, dtype=tf.float32, **kwargs), dtype)
