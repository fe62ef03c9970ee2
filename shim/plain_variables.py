"""`tf.Variable`s that a forward pass makes without `get_variable`."""

from __future__ import annotations

import collections
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import variable_scope

from .call_state import DecoratedCall
from .tracked_variable import __name__ as _makes_for_the_store
from .tracked_variable import not_made_by_tf_function
from .variable_store import VariableStore

# Variables that these make live in objects which keep them from call to call.
_KEEPERS = ("keras.", "tf_keras.", f"{_makes_for_the_store}.")
# Keras' name for the state of a random generator, which no TF1 name depends on.
_RANDOM_STATE = "seed_generator_state"


class PlainVariables:
    """The `tf.Variable`s that one decorated call asks for, found again by name and order.

    In TF1 a forward pass ran once, so `tf.Variable(...)` in it made one variable. Here it runs at
    every call: the n-th variable of a name in a variable scope is the same one as in the first.

    Args:
        store: the variable store of the object whose method is called.
        call: the call.
    """

    def __init__(self, store: VariableStore, call: DecoratedCall) -> None:
        self._store = store
        self._call = call
        self._asked_for: collections.Counter[tuple[str, str]] = collections.Counter()

    def create(self, next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        """The variable creator, for `tf.variable_creator_scope`."""
        if _maker().startswith(_KEEPERS):
            if arguments["name"] != _RANDOM_STATE:
                self._call.collections.made_variables = True
            if tf.executing_eagerly() or not callable(arguments["initial_value"]):
                return next_creator(**arguments)
            # Of tf.function's own making, other threads would see it before it has a value.
            with tf.init_scope(), not_made_by_tf_function():
                return tf.Variable(**arguments)
        given_name = arguments.pop("name") or "Variable"
        asked_as = (variable_scope.get_variable_scope().name, given_name)
        key = (*asked_as, self._asked_for[asked_as])
        self._asked_for[asked_as] += 1
        with self._store.lock:  # Until the name is used.
            name = self._store.plain_names.get(key)
            if name is None:
                name = self._store.unused_name(self._call.in_name_scope(given_name))
                self._store.plain_names[key] = name
            return self._store.get_plain_variable(name, **arguments)


def _maker() -> str:
    """The module whose code asks for a variable, beyond TensorFlow; with a dot at its end."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module != __name__ and not module.startswith("tensorflow."):
            return f"{module}."
        frame = frame.f_back
    return ""
