"""The warning about variables whose names depend on nothing but the order of the calls."""

from __future__ import annotations

import sys
import warnings
import weakref

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import variable_scope

from . import call_state

_unique_scope_name = variable_scope._get_unique_variable_scope
_warned_of: weakref.WeakSet[type] = weakref.WeakSet()


def unique_scope_name(prefix: str) -> str:
    """Names a variable scope that got no name, as TF1 does; remembers those at the root."""
    name = _unique_scope_name(prefix)
    collections = call_state.current_collections()
    if (
        collections is not None
        and not tf.compat.v1.get_variable_scope().name
        and ops.executing_eagerly_outside_functions()
    ):
        collections.automatic_scopes[name] = prefix
    return name


def warn_of(variable_name: str) -> None:
    """Warns, once a class, of a new variable in a scope at the root that got no name."""
    owner, collections = call_state.current_owner(), call_state.current_collections()
    if owner is None or collections is None or type(owner) in _warned_of:
        return
    prefix = collections.automatic_scopes.get(variable_name.partition("/")[0])
    if prefix is None:
        return
    _warned_of.add(type(owner))
    warnings.warn(
        f"{type(owner).__name__} makes variables under automatic names ({prefix}, {prefix}_1, ...) "
        "in no variable scope. They follow the order of the calls, and another decorated method of "
        "the object would get the same ones. Put the method's body under "
        "tf.compat.v1.variable_scope(<a name>).",
        stacklevel=_frames_to_user_code(),
    )


def _frames_to_user_code() -> int:
    """The `stacklevel` of the innermost line that is neither TensorFlow's nor the shim's."""
    level, frame = 1, sys._getframe(1)
    inside = ("tensorflow.", "tf_slim.", f"{__package__}.")
    while frame is not None and f"{frame.f_globals.get('__name__')}.".startswith(inside):
        level, frame = level + 1, frame.f_back
    return level
