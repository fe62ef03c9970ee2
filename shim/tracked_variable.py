"""`tf.Variable`s made by TF1 code, as Keras 3 and TF1 code each want to see them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import weakref
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.python.framework import ops

from .autocast_variable import without_autocast
from .call_state import current_call


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

    # For those who ask a variable without importing the shim, which takes time.
    is_of_tf1_code = True

    def __init__(
        self,
        value: tf.Variable,
        path: str,
        regularizer: Callable[[tf.Variable], tf.Tensor] | None = None,
        constraint: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> None:
        with outside_of_keras_scopes():
            super().__init__(
                lambda shape, dtype: value,
                shape=value.shape,
                dtype=value.dtype.base_dtype.name,
                trainable=value.trainable,
                autocast=False,
                aggregation=value.aggregation.name.lower(),
                synchronization=value.synchronization.name.lower(),
                name=path.rsplit("/", 1)[-1],
            )
        self._path = path
        _tracked[id(value)] = self
        if regularizer is not None:
            # TF1 code wrote its regularizers for `tf.Variable`s.
            self.regularizer = lambda variable: regularizer(variable.value)
        self.constraint = constraint

    @classmethod
    def of(cls, variable: tf.Variable) -> TrackedVariable:
        """The one of that `tf.Variable`, for all layers that hold it; made on first use.

        Keras knows variables by the identity of these, and would train a second one again.
        """
        tracked = _tracked.get(id(variable))
        if tracked is None or tracked._value is not variable:
            tracked = cls(variable, variable.name.removesuffix(":0"))
        return tracked

    def _initialize_with_initializer(self, initializer: Callable[..., tf.Variable]) -> None:
        self._value = initializer(self._shape, dtype=self._dtype)


# By identity, which holds as long as the entry: it keeps its variable alive.
_tracked: weakref.WeakValueDictionary[int, TrackedVariable] = weakref.WeakValueDictionary()


@contextlib.contextmanager
def outside_of_keras_scopes() -> Iterator[None]:
    """Lets state be made while Keras runs a symbolic pass (a functional model, `build`).

    Keras forbids it there because a layer's state should be made in `build`; TF1 code has no
    `build`, its first forward pass makes the state. Names are not to begin with the layers that
    pass is nested in.
    """
    with contextlib.ExitStack() as stack:
        for name in ("stateless_scope", "name_scope_stack"):
            stack.callback(
                global_state.set_global_attribute, name, global_state.get_global_attribute(name)
            )
            global_state.set_global_attribute(name, None)
        yield


@dataclasses.dataclass(frozen=True)
class VariableOp:
    """What an eager variable can answer of TF1's `variable.op`.

    Args:
        name: the variable's TF1 name.
        device: the variable's device.
        graph: what stands for a graph that holds this variable alone. TF1's optimizers tell
            variables apart by graph and name, and here those of two objects may have equal names.
        type: the op's type.
    """

    name: str
    device: str
    graph: Hashable
    type: str = "VarHandleOp"


class _HasOp:
    """Gives an eager variable what TF1 code asks of it: its name by `op`, and an identity."""

    name: str
    device: str
    _unique_id: str

    @property
    def op(self) -> VariableOp:
        return VariableOp(self.name.removesuffix(":0"), self.device, self._unique_id)

    # TF1 code looks variables up in lists and dictionaries, where TF2 would compare their values.
    def __eq__(self, other: Any) -> Any:
        return super().__eq__(other) if current_call() is None else self is without_autocast(other)

    def __ne__(self, other: Any) -> Any:
        return (
            super().__ne__(other) if current_call() is None else self is not without_autocast(other)
        )

    def __hash__(self) -> int:
        return super().__hash__() if current_call() is None else id(self)

    def __deepcopy__(self, memo: dict) -> tf.Variable:
        return _with_op(super().__deepcopy__(memo))  # type: ignore[misc]

    def __reduce__(self) -> tuple[Callable, tuple]:
        make, arguments = super().__reduce__()  # type: ignore[str-unpack]
        return _made_with_op, (make, arguments)


class _OfItsParts(_HasOp):
    """Gives a variable sharded over parameter servers what all its parts have in common."""

    variables: list[tf.Variable]
    _unique_id = property(lambda self: self.variables[0]._unique_id)
    device = property(lambda self: self.variables[0].device)
    trainable = property(lambda self: self.variables[0].trainable)
    synchronization = property(lambda self: self.variables[0].synchronization)
    aggregation = property(lambda self: self.variables[0].aggregation)


@functools.cache
def _class_with_op(variable_class: type) -> type:
    added = _HasOp if issubclass(variable_class, tf.Variable) else _OfItsParts
    return type(variable_class.__name__, (added, variable_class), {})


def _with_op(variable: tf.Variable) -> tf.Variable:
    # TensorFlow makes the object (a strategy decides of which class), so `op` can only be added
    # afterwards: an eager variable's own `op` raises.
    variable.__class__ = _class_with_op(type(variable))  # type: ignore[arg-type]
    return variable


def _made_with_op(make: Callable[..., tf.Variable], arguments: tuple) -> tf.Variable:
    return _with_op(make(*arguments))


# At which `tf.function` puts its variable creators; a strategy's and everybody else's are at 100.
_PRIORITY_OF_TF_FUNCTION = 50


@contextlib.contextmanager
def not_made_by_tf_function() -> Iterator[None]:
    """Keeps `tf.function` from taking a variable for one that its first trace has made.

    It allows them in that trace only, and traces twice because of them. TF1 code makes variables
    whenever it first needs them, and they exist already when the trace gets to see them.
    """
    graph = ops.get_default_graph()
    creators = graph._variable_creator_stack
    graph._variable_creator_stack = [
        (priority, creator)
        for priority, creator in creators
        if priority != _PRIORITY_OF_TF_FUNCTION
    ]
    try:
        yield
    finally:
        graph._variable_creator_stack = creators


def make_variable(name: str, **arguments: Any) -> tf.Variable:
    """Makes a `tf.Variable` that answers to its TF1 name.

    Args:
        name: the TF1 name, without `:0`.
        **arguments: as for `tf.Variable`.

    Returns:
        The variable, made outside of any function graph that is being traced and, under a
        `tf.distribute` strategy, by that strategy.
    """
    with (
        tf.init_scope(),
        outside_of_keras_scopes(),
        not_made_by_tf_function(),
        tf.name_scope(""),
    ):
        return _with_op(tf.Variable(name=name, **arguments))


def make_trainable(variable: tf.Variable) -> None:
    """Makes a variable trainable that was made without being so."""
    if isinstance(variable, tf.distribute.DistributedValues):
        parts = variable.values
    else:
        parts = getattr(variable, "variables", [variable])
    for part in parts:
        part._trainable = True
