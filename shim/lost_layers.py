"""The warning about Keras layers that a decorated method makes anew in every call."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from types import FrameType
from typing import Any

import keras

from .held_parts import ATTRIBUTE, parts_of
from .user_code import users_frame, warn_of_line

_warned_of: weakref.WeakSet[type] = weakref.WeakSet()


class BuiltLayers:
    """The Keras layers that get their weights in one decorated call.

    Args:
        owner: the object whose method is called.
    """

    def __init__(self, owner: Any) -> None:
        self._owner = owner
        # Identity -> the layer, its class and name, and the user's module, file and line.
        self._built: dict[int, tuple[weakref.ref, str, str, tuple[dict, str, int]]] = {}

    def note(self) -> None:
        """Takes up the layer, if it is one, that is about to make a variable."""
        if type(self._owner) in _warned_of:
            return
        layer, frame = _layer_that_asks(), users_frame()
        if layer is None or frame is None or id(layer) in self._built:
            return
        place = (frame.f_globals, frame.f_code.co_filename, frame.f_lineno)
        self._built[id(layer)] = (weakref.ref(layer), type(layer).__name__, layer.name, place)

    def warn_of_lost(self) -> None:
        """Warns, once a class, of a layer that has not outlived the call's code."""
        if not self._built:
            return
        kept = {id(layer) for layer in _kept_by(self._owner)}
        suspects = [built for identity, built in self._built.items() if identity not in kept]
        self._built.clear()
        if not suspects or type(self._owner) in _warned_of:
            return
        if any(layer() is not None for layer, *_ in suspects):
            gc.collect()  # Keras layers refer to themselves.
        for layer, class_name, name, place in suspects:
            if layer() is None:
                _warned_of.add(type(self._owner))
                warn_of_line(
                    *place,
                    f"The Keras layer {name!r} ({class_name}) was made in a decorated method of "
                    f"{type(self._owner).__name__}, and nothing keeps it: its weights are in no "
                    "list of the object's, and the next call makes new ones. Make it by "
                    f'get_or_create_layer("{name}", lambda: {class_name}(...)), or in __init__.',
                )
                return


def _layer_that_asks() -> keras.Layer | None:
    """The innermost Keras layer whose own code is running."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("keras."):
            candidate = frame.f_locals.get("self")
            if isinstance(candidate, keras.Layer):
                return candidate
        frame = frame.f_back
    return None


def _kept_by(owner: Any) -> Iterator[keras.Layer]:
    holder = vars(owner).get(ATTRIBUTE)
    made = () if holder is None or isinstance(holder, keras.Layer) else holder.parts()
    for part in (*parts_of(owner), *made):
        if isinstance(part.value, keras.Layer):
            yield from part.value._flatten_layers()
