"""Guards against variables that a model makes anew where it should find those it has."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from tensorflow.python.framework import ops

# Called after the shim, which finds variables of earlier calls again (100 is the default), and
# before `tf.function`, whose creator (50) says nothing useful on variables of later calls.
_PRIORITY = 75
# A strategy makes a variable of its own in each device, here on the second one.
_COPY = re.compile(r"/replica_\d+/$")
_ADVICE = (
    "Make a variable once: by get_variable or a TF1 layer in a named variable scope of a decorated "
    "method, by get_or_create_layer, or as an attribute."
)


@contextlib.contextmanager
def assert_no_variable_creations() -> Iterator[None]:
    """Raises where a variable is made inside, so that the traceback shows the line.

    Wrap a model's second call: it must find all variables of the first one. Eagerly and in
    `tf.function`, all kinds of variables count: `tf.Variable`, `get_variable`, those of Keras 3
    layers.

    Raises:
        ValueError: a variable is about to be made; names it.
    """

    def refuse(next_creator: Callable, **arguments: Any) -> Any:
        raise ValueError(
            f"Variable {_name(arguments.get('name'))} would be made here, where all variables "
            f"should exist already. {_ADVICE}"
        )

    with _variable_creator_scope(refuse):
        yield


@contextlib.contextmanager
def catch_variable_creations() -> Iterator[None]:
    """Raises at the end if variables were made inside; the block itself runs through.

    Wrap a model's second call to see all variables that it makes anew. Counts what
    `assert_no_variable_creations` does.

    Raises:
        ValueError: variables were made; names them, in the order of their making. What the block
            itself raises comes through unchanged instead.
    """
    names: list[str] = []

    def note(next_creator: Callable, **arguments: Any) -> Any:
        name = _name(arguments.get("name"))
        if not _COPY.search(name):
            names.append(name)
        return next_creator(**arguments)

    with _variable_creator_scope(note):
        yield
    if names:
        raise ValueError(
            f"{len(names)} variable(s) were made where all should exist already: "
            f"{', '.join(names)}. {_ADVICE}"
        )


def _variable_creator_scope(creator: Callable) -> contextlib.AbstractContextManager:
    return ops.get_default_graph()._variable_creator_scope(creator, priority=_PRIORITY)


def _name(name: str | None) -> str:
    scope = ops.get_name_scope()
    return f"{scope}/{name or 'Variable'}" if scope else name or "Variable"
