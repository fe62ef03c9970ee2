"""`tf.Variable`s made by TF1 code, as Keras 3 and TF1 code each want to see them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state


class TrackedVariable(keras.Variable):
    """A Keras variable around a `tf.Variable` that TF1 code made.

    Its `path` is the TF1 name verbatim (`"MobilenetV1/Conv2d_0/weights"`), whatever layers the
    call that made it was nested in.

    Args:
        value: the `tf.Variable` (or a strategy's distributed variable) to wrap.
        path: the TF1 name, without `:0`.
        regularizer: callable `variable -> scalar loss`, or None.
        constraint: callable `value -> projected value`, or None.
    """

    def __init__(
        self,
        value: tf.Variable,
        path: str,
        regularizer: Callable[[tf.Variable], tf.Tensor] | None = None,
        constraint: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        with _outside_of_stateless_scope():
            super().__init__(
                value,
                dtype=value.dtype.base_dtype.name,
                trainable=value.trainable,
                autocast=False,
                name=path.rsplit("/", 1)[-1],
            )
        self._path = path
        if regularizer is not None:
            # TF1 code wrote its regularizers for `tf.Variable`s.
            self.regularizer = lambda variable: regularizer(variable.value)
        self.constraint = constraint

    def _initialize(self, value: tf.Variable) -> None:
        self._value = value


@contextlib.contextmanager
def _outside_of_stateless_scope() -> Iterator[None]:
    """Lets a variable be made while Keras runs a symbolic pass (a functional model, `build`).

    Keras forbids it there because a layer's state should be made in `build`; TF1 code has no
    `build`, its first forward pass makes the state.
    """
    scope = global_state.get_global_attribute("stateless_scope")
    global_state.set_global_attribute("stateless_scope", None)
    try:
        yield
    finally:
        global_state.set_global_attribute("stateless_scope", scope)


@dataclasses.dataclass(frozen=True)
class VariableOp:
    """What an eager variable can answer of TF1's `variable.op`."""

    name: str
    device: str
    type: str = "VarHandleOp"


class _HasOp:
    """Gives an eager variable the `op` that TF1 code asks for its name."""

    name: str
    device: str

    @property
    def op(self) -> VariableOp:
        return VariableOp(self.name.removesuffix(":0"), self.device)


@functools.cache
def _class_with_op(variable_class: type) -> type:
    return type(variable_class.__name__, (_HasOp, variable_class), {})


def make_variable(name: str, **arguments: Any) -> tf.Variable:
    """Makes a `tf.Variable` that answers to its TF1 name.

    Args:
        name: the TF1 name, without `:0`.
        **arguments: as for `tf.Variable`.

    Returns:
        The variable, made outside of any function graph that is being traced and, under a
        `tf.distribute` strategy, by that strategy.
    """
    with tf.init_scope(), _outside_of_stateless_scope(), tf.name_scope(""):
        variable = tf.Variable(name=name, **arguments)
    # TensorFlow makes the object (a strategy decides of which class), so `op` can only be added
    # afterwards: an eager variable's own `op` raises.
    variable.__class__ = _class_with_op(type(variable))  # type: ignore[arg-type]
    return variable
