"""The warning about variables that nothing keeps: asked for eagerly, in no decorated method."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import variable_scope

from .user_code import users_frame, warn_at


def get_single_variable(
    store: variable_scope._VariableStore, name: str, *args: Any, **kwargs: Any
) -> Any:
    """Makes or finds a variable as TensorFlow's store does; says so where it will not be found.

    Of TF1's own ways of being eager, `EagerVariableStore` and templates have stores that find it.
    """
    is_lost = tf.executing_eagerly() and not store._store_eager_variables
    if is_lost and not _called_by_tensorflow():
        warn_at(
            users_frame(),
            f"Variable {name} is asked for eagerly outside of a decorated method, where nothing "
            "keeps it: the next call makes a new one. Decorate the method of a keras.Layer or "
            "tf.Module whose code this is with track_tf1_style_variables.",
        )
    return _GET_SINGLE_VARIABLE(store, name, *args, **kwargs)


def _called_by_tensorflow() -> bool:
    """Whether TensorFlow's own code asks, such as that of the global step; it keeps it then."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") == variable_scope.__name__:
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__", "").startswith("tensorflow.")


_GET_SINGLE_VARIABLE = variable_scope._VariableStore._get_single_variable
REPLACEMENT = (variable_scope._VariableStore, "_get_single_variable", get_single_variable)
