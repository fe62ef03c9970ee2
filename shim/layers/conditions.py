"""Conditions that are known now or only where a graph runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.smart_cond import smart_constant_value


def smart_cond(predicate: Any, true_fn: Callable, false_fn: Callable) -> Any:
    """`tf.cond`, decided at once where the predicate's value is known.

    Args:
        predicate: a bool, 0 or 1, None (false), or a boolean scalar tensor or variable.
        true_fn: callable without arguments.
        false_fn: callable without arguments, with outputs of `true_fn`'s structure.
    """
    value = constant_value(predicate)
    if value is None:
        return tf.cond(tf.cast(predicate, tf.bool), true_fn, false_fn)
    return true_fn() if value else false_fn()


def constant_value(predicate: Any) -> bool | None:
    """The predicate's value if it is known now, else None."""
    if isinstance(predicate, bool):
        return predicate
    if isinstance(predicate, tf.Variable | keras.Variable):
        return bool(predicate.numpy()) if tf.executing_eagerly() else None
    if tf.is_tensor(predicate):
        value = smart_constant_value(predicate)
        return None if value is None else bool(value)
    return bool(predicate)
