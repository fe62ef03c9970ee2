"""What TensorFlow withholds from TF1 code run eagerly, given back in decorated calls."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import custom_gradient, gen_logging_ops, template, variable_scope
from tensorflow.python.ops.losses import util as losses_util
from tensorflow.python.training import checkpoint_utils

from . import autocast_variable, automatic_names, call_state, gradients, hints, moving_averages
from .scopes import TF1VariableScope
from .templates import call_template

_lock = threading.Lock()
_users = 0
_before: list[tuple[Any, str, Any]] = []

_scope_store_of_graph = variable_scope.get_variable_scope_store
_EagerTensorBase = ops.EagerTensor.__base__


@contextlib.contextmanager
def tf1_behaviour() -> Iterator[None]:
    """Lets TensorFlow behave to TF1 code as it did, as long as any thread is inside.

    TensorFlow looks these names up where they are replaced. Where a thread is outside of decorated
    calls, each of them answers as ever.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            for holder, name, value in _REPLACEMENTS:
                _before.append((holder, name, getattr(holder, name)))
                setattr(holder, name, value)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                while _before:
                    setattr(*_before.pop())


def _variable_scope_store() -> variable_scope._VariableScopeStore:
    """As TensorFlow's, without the way through the graph's collections: asked at every turn."""
    call = call_state.current_call()
    if call is not None and call.graph is ops.get_default_graph():
        return call.scopes
    return _scope_store_of_graph()


class _LossesContext(types.ModuleType):
    """TensorFlow's `context` as `tf.losses` sees it: it collects no losses where it is eager."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_context, name)

    def executing_eagerly(self) -> bool:
        return call_state.current_call() is None and _context.executing_eagerly()


_context = losses_util.context


@dataclasses.dataclass(frozen=True)
class EagerOp:
    """What an eager tensor can answer of TF1's `tensor.op`."""

    name: str
    device: str


def _name(tensor: tf.Tensor) -> str:
    """An eager tensor's name in a decorated call: no op stands behind it, but its scope is known.

    TF1 code takes names for labels and dictionary keys, so they differ within a call.
    """
    call = call_state.current_call()
    return _EAGER_NAME.__get__(tensor) if call is None else f"{_op(tensor).name}:0"


def _op(tensor: tf.Tensor) -> EagerOp:
    call = call_state.current_call()
    if call is None:
        return _EAGER_OP.__get__(tensor)
    name = call.collections.tensor_name(tensor, call.in_name_scope("tensor"))
    return EagerOp(name, tensor.device)


class _Dimension(int):
    """A known dimension of a shape, with the `value` that TF1 code asks it for."""

    @property
    def value(self) -> int:
        return int(self)


def _item(shape: tf.TensorShape, key: Any) -> Any:
    return _as_tf1_has_it(_ITEM(shape, key))


def _items(shape: tf.TensorShape) -> Iterator[Any]:
    return (_as_tf1_has_it(item) for item in _ITEMS(shape))


def _as_tf1_has_it(item: Any) -> Any:
    return _Dimension(item) if type(item) is int and call_state.current_call() else item


@tf.function(autograph=False)
def _image_summary(tag: tf.Tensor, images: tf.Tensor, max_images: int) -> tf.Tensor:
    return _IMAGE_SUMMARY(tag, images, max_images)


def _image_summary_anywhere(
    tag: Any, tensor: tf.Tensor, max_images: int = 3, **arguments: Any
) -> tf.Tensor:
    """`tf.summary.image`'s op, which has a default that TensorFlow cannot pass to an eager op."""
    if call_state.current_call() is not None and tf.executing_eagerly():
        return _image_summary(tf.convert_to_tensor(tag), tensor, max_images)
    return _IMAGE_SUMMARY(tag, tensor, max_images, **arguments)


def _initialize_from_checkpoint(variable: tf.Variable, *args: Any, **kwargs: Any) -> None:
    """Gives a variable its first value, for `tf.compat.v1.train.init_from_checkpoint`.

    In TF1 that makes the variable's initializer, which is run once. A decorated method asks for it
    at every call, which must not undo what has been trained or restored since.
    """
    call = call_state.current_call()
    if call is None:
        _INITIALIZE_FROM_CHECKPOINT(variable, *args, **kwargs)
    elif variable_scope._get_default_variable_store().take_initializer(variable):
        with tf.init_scope():
            _INITIALIZE_FROM_CHECKPOINT(variable, *args, **kwargs)


def _name_scope(
    name: str | None,
    default_name: str | None = None,
    values: Any = None,
    skip_on_eager: bool = True,
) -> contextlib.AbstractContextManager[str | None]:
    """Opens `ops.name_scope`, for TF1 code with the name that it has in a TF1 graph.

    Eagerly TensorFlow skips these scopes, which its own ops open by the dozen. Slim takes what they
    are called for the name of an end point; so there the scopes around the call must not show.
    """
    call = call_state.current_call()
    if call is not None and name and name.endswith("/"):
        name = call.full_name_scope(name)
    if call is None or not skip_on_eager or _called_by_tensorflow():
        return _NAME_SCOPE(name, default_name, values, skip_on_eager=skip_on_eager)
    return _name_scope_within(call, name, default_name, values)


def _called_by_tensorflow() -> bool:
    return sys._getframe(2).f_globals.get("__name__", "").startswith("tensorflow.")


@contextlib.contextmanager
def _name_scope_within(call: call_state.DecoratedCall, *arguments: Any) -> Iterator[str]:
    with _NAME_SCOPE(*arguments, skip_on_eager=False) as full_name:
        yield call.tf1_name_scope(full_name)


def _enter_name_scope(name_scope: ops.name_scope_v1) -> str | None:
    """Enters a scope of `tf.compat.v1.name_scope`."""
    call, full_name = call_state.current_call(), _ENTER_NAME_SCOPE(name_scope)
    return call.tf1_name_scope(full_name) if call is not None and full_name else full_name


_NAME_SCOPE, _ENTER_NAME_SCOPE = ops.name_scope, ops.name_scope_v1.__enter__
_INITIALIZE_FROM_CHECKPOINT = checkpoint_utils._set_checkpoint_initializer
_IMAGE_SUMMARY = gen_logging_ops.image_summary
_ITEM, _ITEMS = tf.TensorShape.__getitem__, tf.TensorShape.__iter__
_EAGER_NAME, _EAGER_OP = _EagerTensorBase.name, _EagerTensorBase.op
_REPLACEMENTS: list[tuple[Any, str, Any]] = [
    (checkpoint_utils, "_set_checkpoint_initializer", _initialize_from_checkpoint),
    (custom_gradient, "_eager_mode_decorator", gradients.call_eagerly),
    (custom_gradient, "_graph_mode_decorator", gradients.call_in_graph),
    (ops, "name_scope", _name_scope),
    (ops.name_scope_v1, "__enter__", _enter_name_scope),
    (variable_scope, "VariableScope", TF1VariableScope),
    (variable_scope, "_get_unique_variable_scope", automatic_names.unique_scope_name),
    (variable_scope, "get_variable_scope_store", _variable_scope_store),
    (losses_util, "context", _LossesContext("context")),
    (template.EagerTemplate, "__call__", call_template),
    (gen_logging_ops, "image_summary", _image_summary_anywhere),
    (tf.TensorShape, "__getitem__", _item),
    (tf.TensorShape, "__iter__", _items),
    (_EagerTensorBase, "name", property(_name)),
    (_EagerTensorBase, "op", property(_op)),
    *autocast_variable.REPLACEMENTS,
    *hints.REPLACEMENTS,
    *moving_averages.REPLACEMENTS,
]
