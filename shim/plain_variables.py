"""`tf.Variable`s that a forward pass makes without `get_variable`."""

from __future__ import annotations

import collections
import contextlib
import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import variable_scope

from .autocast_variable import without_autocast
from .call_state import DecoratedCall
from .held_parts import contents
from .lost_layers import BuiltLayers
from .tracked_variable import __name__ as _makes_for_the_store
from .tracked_variable import not_made_by_tf_function
from .user_code import path_through_call
from .variable_store import VariableStore

# Variables that these make live in objects which keep them from call to call.
_KEEPERS = ("keras.", "tf_keras.", f"{_makes_for_the_store}.")
# Keras' name for the state of a random generator, which no TF1 name depends on.
_RANDOM_STATE = "seed_generator_state"


class _PlainVariable:
    """A variable that a forward pass has made.

    Args:
        name: its full name.
        path: the points in the user's code that the call came by to make it.
        objects: those whose methods these are: each may get the variable as an attribute.
    """

    def __init__(self, name: str, path: tuple, objects: list[Any]) -> None:
        self.name = name
        self.path = path
        self.is_settled = False
        self._keepers: list[weakref.ref] = []
        self._candidates = objects

    def settle(self, find: Callable[[str], Any]) -> None:
        """Ends the call that has made it: those which keep it have it by now.

        Objects that live no longer than the call are none of them.
        """
        keepers = self.keepers(find)
        self._candidates, self.is_settled = [], True
        with contextlib.suppress(TypeError):  # Objects without a place for references to them.
            self._keepers = [weakref.ref(keeper) for keeper in keepers]

    def may_be_kept(self) -> bool:
        """Whether it is worth asking for its keepers."""
        return bool(self._candidates or self._keepers)

    def keepers(self, find: Callable[[str], Any]) -> list[Any]:
        """The objects that have it as an attribute."""
        variable = find(self.name)
        candidates = (*self._candidates, *(keeper() for keeper in self._keepers))
        distinct = {id(candidate): candidate for candidate in candidates if candidate is not None}
        return [
            candidate
            for candidate in distinct.values()
            if any(without_autocast(part) is variable for _, part in contents(candidate))
        ]

    # References are copied as what they refer to.
    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_keepers": [keeper() for keeper in self._keepers]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        keepers = [keeper for keeper in state["_keepers"] if keeper is not None]
        vars(self).update(state, _keepers=[weakref.ref(keeper) for keeper in keepers])


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
        self._built_layers = BuiltLayers(call.owner)

    def create(self, next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        """The variable creator, for `tf.variable_creator_scope`."""
        maker = _maker()
        if maker.startswith("keras.") and arguments["name"] != _RANDOM_STATE:
            self._built_layers.note()
        if maker.startswith(_KEEPERS):
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
        """Ends the call: who keeps a variable or a layer has it by now."""
        self._built_layers.warn_of_lost()
        if not self._made:
            return
        for made in self._made:
            made.settle(self._store.find)
        kept = [keeper for made in self._made for keeper in made.keepers(self._store.find)]
        is_in_doubt = any(keeper is not self._call.owner for keeper in kept)
        del kept
        if is_in_doubt:  # An object of this call alone may only wait for being collected.
            gc.collect()

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
        if not any(variable.may_be_kept() for variable in known):
            return known[first] if first < len(known) else None
        keepers = {variable: variable.keepers(self._store.find) for variable in known}
        return self._found_beside_kept(keepers)

    def _found_beside_kept(self, keepers: dict[_PlainVariable, list[Any]]) -> _PlainVariable | None:
        """Finds a variable where some of its name are kept in attributes."""
        path, objects = path_through_call()
        here = set(map(id, objects))
        left = [variable for variable in keepers if variable.name not in self._given]
        # An object that is being made takes the place of one made in the call before.
        is_making_object = any(function == "__init__" for function, *_ in path)
        for variable in left:
            # Another replica may be in the middle of the call that has made it.
            is_same = is_making_object or not variable.is_settled
            is_same = is_same or any(id(keeper) in here for keeper in keepers[variable])
            if is_same and variable.path == path:
                return variable
        # Where kept ones are made, another object may be about to make its own.
        is_where_kept_are_made = any(v.path[:1] == path[:1] for v in keepers if keepers[v])
        for variable in left:
            is_made_here = variable.path[:1] == path[:1]
            if not keepers[variable] and (is_made_here or not is_where_kept_are_made):
                return variable
        return None


def _maker() -> str:
    """The module whose code asks for a variable, beyond TensorFlow; with a dot at its end."""
    frame = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module != __name__ and not module.startswith("tensorflow."):
            return f"{module}."
        frame = frame.f_back
    return ""
