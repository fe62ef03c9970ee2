"""Models whose variables have no values yet: to be asked for names and shapes, or to be filled.

First values are most of the time that a model's making takes, and a checkpoint replaces them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state

from .. import models
from ..models import options as option_checks

# Where Keras notes the variables made in a `StatelessScope`, to give them values at some later end
# of one.
_WAITING = "uninitialized_variables"


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """A model without values.

    Args:
        model: The model. Variables that TF1 code made have values.
        waiting: Those of its variables that had none when it was made.
    """

    model: keras.Model
    waiting: list[keras.Variable]


def make(
    name: str, stage: str = "native", *, input_size: int | None = None, **options: Any
) -> Skeleton:
    """Makes a model as `models.create` does, without values.

    Args:
        name: The model's name.
        stage: One of `models.STAGES`.
        input_size: As for `models.create`.
        **options: Likewise.

    Raises:
        ValueError: Unknown model or stage, or an option or a size out of its range.
    """
    variant = models.get_variant(name)
    option_checks.check("input_size", input_size)
    size = variant.input_size if input_size is None else input_size
    cls: Any = models.model_class(name, stage)
    return _made(lambda: cls(name, **options), (None, size, size, 3), stage)


def in_stage(model: keras.Model, stage: str) -> Skeleton:
    """Makes another version of a model that `models.create` or `make` made, without values."""
    cls: Any = models.model_class(model.variant.name, stage)
    shape = model.get_build_config()["input_shape"]
    return _made(lambda: cls.from_config(model.get_config()), shape, stage)


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Leaves garbage in cycles alone for a while, and with it all that is none.

    A large model's parts are so many new objects that Python looks through all there are, those of
    TensorFlow and Keras too: several times as long as their making takes.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@without_garbage_collection()
def _made(
    make_model: Callable[[], keras.Model], input_shape: tuple[int | None, ...], stage: str
) -> Skeleton:
    others = global_state.get_global_attribute(_WAITING)
    global_state.set_global_attribute(_WAITING, [])
    try:
        with keras.StatelessScope(initialize_variables=False):
            model = make_model()
            if stage == "native":
                model.build(input_shape)
            else:  # TF1 code makes its variables in a call.
                model(keras.Input(input_shape[1:]))
        return Skeleton(model, global_state.get_global_attribute(_WAITING))
    finally:
        global_state.set_global_attribute(_WAITING, others)


def has_value(variable: keras.Variable) -> bool:
    """Whether a variable is more than a name and a shape."""
    return variable._value is not None


def lend(variable: Any, read: Callable[[], np.ndarray]) -> None:
    """Gives a variable a value: one that has none keeps to ask for it whenever it is read."""
    if isinstance(variable, keras.Variable) and not has_value(variable):
        variable._initializer = lambda shape, dtype=None: read()
    else:
        variable.assign(read())
