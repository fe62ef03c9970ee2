"""`tf.Variable`s that a forward pass makes without `get_variable`."""

from __future__ import annotations

import collections
import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import variable_scope

from .autocast_variable import without_autocast
from .call_state import DecoratedCall
from .held_parts import contents
from .tracked_variable import __name__ as _makes_for_the_store
from .tracked_variable import not_made_by_tf_function
from .user_code import path_through_call
from .variable_store import VariableStore

# Variables that these make live in objects which keep them from call to call.
_KEEPERS = ("keras.", "tf_keras.", f"{_makes_for_the_store}.")
# Keras' name for the state of a random generator, which no TF1 name depends on.
_RANDOM_STATE = "seed_generator_state"


@dataclasses.dataclass(eq=False)
class _PlainVariable:
    """A variable that a forward pass has made.

    Args:
        name: its full name.
        path: the points in the user's code that the call came by to make it.
        keepers: the objects that have it as an attribute; during the call that made it, those that
            may get it.
    """

    name: str
    path: tuple
    keepers: list[Any]


class PlainVariables:
    """The `tf.Variable`s that one decorated call asks for, found again by name and order.

    In TF1 a forward pass ran once, so `tf.Variable(...)` in it made one variable. Here it runs at
    every call: the n-th variable of a name in a variable scope is the same one as in the first.

    One that is kept in an attribute does not count in that order: code that makes it only where the
    attribute is empty will not ask again. Code that does asks at the same point, for the same
    object.

    Args:
        store: the variable store of the object whose method is called.
        call: the call.
    """

    def __init__(self, store: VariableStore, call: DecoratedCall) -> None:
        self._store = store
        self._call = call
        # The number of the first of a name that the call has not asked for.
        self._first_left: collections.Counter[tuple[str, str]] = collections.Counter()
        self._given: set[str] = set()
        self._made: list[_PlainVariable] = []

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
        with self._store.lock:  # Until the name is used.
            found = self._found(asked_as) or self._new(asked_as)
            self._given.add(found.name)
            return self._store.get_plain_variable(found.name, **arguments)

    def close(self) -> None:
        """Ends the call: who keeps a variable has it by now."""
        for made in self._made:
            keepers = {id(keeper): keeper for keeper in self._keepers(made)}
            made.keepers = list(keepers.values())

    def _new(self, asked_as: tuple[str, str]) -> _PlainVariable:
        name = self._store.unused_name(self._call.in_name_scope(asked_as[1]))
        new = _PlainVariable(name, *path_through_call())
        self._store.plain_variables.setdefault(asked_as, []).append(new)
        self._made.append(new)
        return new

    def _found(self, asked_as: tuple[str, str]) -> _PlainVariable | None:
        known = self._store.plain_variables.get(asked_as, [])
        first = self._first_left[asked_as]
        while first < len(known) and known[first].name in self._given:
            first += 1
        self._first_left[asked_as] = first
        if not any(variable.keepers for variable in known):
            return known[first] if first < len(known) else None
        left = [v for v in known if v.name not in self._given]
        kept = [variable for variable in known if self._keepers(variable)]
        return self._found_beside(kept, left)

    def _found_beside(
        self, kept: list[_PlainVariable], left: list[_PlainVariable]
    ) -> _PlainVariable | None:
        """Finds a variable where some of its name are kept in attributes."""
        path, objects = path_through_call()
        here = set(map(id, objects))
        for variable in left:
            if variable.path == path and any(id(k) in here for k in self._keepers(variable)):
                return variable
        # Where kept ones are made, another object may be about to make its own.
        is_where_kept_are_made = any(variable.path[:1] == path[:1] for variable in kept)
        for variable in left:
            is_made_here = variable.path[:1] == path[:1]
            if variable not in kept and (is_made_here or not is_where_kept_are_made):
                return variable
        return None

    def _keepers(self, variable: _PlainVariable) -> list[Any]:
        value = self._store.find(variable.name)
        return [
            keeper
            for keeper in variable.keepers
            if any(without_autocast(part) is value for _, part in contents(keeper))
        ]


def _maker() -> str:
    """The module whose code asks for a variable, beyond TensorFlow; with a dot at its end."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module != __name__ and not module.startswith("tensorflow."):
            return f"{module}."
        frame = frame.f_back
    return ""
