"""What TF1's layers have in common: a variable scope, weights by `get_variable`, reuse."""

from __future__ import annotations

import functools
import inspect
import re
import weakref
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.framework.smart_cond import smart_constant_value
from tensorflow.python.ops import variable_scope

from ..call_collections import current_collections, current_owner
from ..variable_store import storage_dtype


class Layer:
    """A layer as in `tf.compat.v1.layers`: `get_variable` for its weights and `tf.nn` for the rest.

    There is no Keras layer underneath, so a call costs little more than its ops. Inside a decorated
    method each call asks the variable store for its weights anew, and gets the same ones; in a TF1
    graph the first call makes them and later calls reuse them.

    Args:
        trainable: whether the weights are trainable.
        name: the layer's name and variable scope; by default made from the class' name.
        dtype: dtype of the weights; by default the first input's.
        activity_regularizer: callable `outputs -> scalar loss`, or None.
        _scope: variable scope (name or object) to use instead of one of its own.
        _reuse: True to use weights that exist already.

    Raises:
        TypeError: an argument that no TF1 layer knows.
    """

    def __init__(
        self,
        trainable: bool = True,
        name: str | None = None,
        dtype: Any = None,
        activity_regularizer: Callable | None = None,
        _scope: Any = None,
        _reuse: bool | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(f"{type(self).__name__} does not know the argument(s) {list(unknown)}.")
        self.trainable = trainable
        self.dtype = dtype
        self.activity_regularizer = activity_regularizer
        self.built = False
        self._built_in: weakref.ref[ops.Graph] | None = None
        self.losses: list[tf.Tensor] = []
        self.updates: list[Any] = []
        self._name = name
        self._reuse = _reuse
        self._variables: dict[str, tf.Variable] = {}
        self._scope: variable_scope.VariableScope | None = None
        if _scope:
            with variable_scope.variable_scope(_scope) as self._scope:
                pass

    @property
    def name(self) -> str:
        return self._name or _snake_case(type(self).__name__)

    @property
    def scope_name(self) -> str:
        if self._scope is None:
            raise ValueError(
                f"Layer {self.name} has no scope name yet: call the layer first, its variable "
                "scope is chosen then."
            )
        return self._scope.name

    @property
    def variables(self) -> list[tf.Variable]:
        return list(self._variables.values())

    weights = variables

    @property
    def trainable_variables(self) -> list[tf.Variable]:
        return [v for v in self.variables if v.trainable] if self.trainable else []

    trainable_weights = trainable_variables

    @property
    def non_trainable_variables(self) -> list[tf.Variable]:
        return [v for v in self.variables if not (v.trainable and self.trainable)]

    non_trainable_weights = non_trainable_variables

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes the weights, in TF1's order; nothing to make by default."""

    def call(self, inputs: Any, **arguments: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no call method.")

    def __call__(self, inputs: Any, *positional: Any, scope: Any = None, **arguments: Any) -> Any:
        inputs = tf.nest.map_structure(tf.convert_to_tensor, inputs)
        self._choose_scope(scope)
        call = functools.partial(self.call, inputs, *positional, **arguments)
        must_build = not self._is_built_in_this_tf1_graph()
        reuse = self._reuse if must_build else True
        with variable_scope.variable_scope(self._scope, reuse=reuse, auxiliary_name_scope=False):
            if tf.executing_eagerly():
                return self._build_and_call(inputs, must_build, call)
            with tf.name_scope(self._scope.original_name_scope):
                return self._build_and_call(inputs, must_build, call)

    apply = __call__

    def _is_built_in_this_tf1_graph(self) -> bool:
        if ops.executing_eagerly_outside_functions():
            return False
        return self._built_in is not None and self._built_in() is ops.get_default_graph()

    def _build_and_call(self, inputs: Any, must_build: bool, call: Callable[[], Any]) -> Any:
        if self.dtype is None:
            self.dtype = tf.nest.flatten(inputs)[0].dtype.base_dtype
        if must_build:
            self.build(tf.nest.map_structure(lambda tensor: tensor.shape, inputs))
            self.built = True
            self._built_in = weakref.ref(ops.get_default_graph())
        outputs = call()
        if self.activity_regularizer is not None:
            # By image, as TF1 has it since 1.13: the loss does not grow with the batch.
            loss = self.activity_regularizer(outputs)
            self.add_loss(loss / tf.cast(tf.shape(outputs)[0], loss.dtype))
        return outputs

    def _choose_scope(self, scope: Any) -> None:
        if self._scope is not None:
            return
        if self._reuse or self._name:
            scope = scope or self.name
        with variable_scope.variable_scope(scope, default_name=self.name) as self._scope:
            pass

    def add_weight(
        self,
        name: str,
        shape: Any,
        *,
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Callable | None = None,
        constraint: Callable | None = None,
        trainable: bool = True,
        synchronization: tf.VariableSynchronization = tf.VariableSynchronization.AUTO,
        aggregation: tf.VariableAggregation = tf.VariableAggregation.NONE,
        partitioner: Callable | None = None,
    ) -> tf.Variable:
        """Makes a weight in the layer's variable scope, or gets it where it exists."""
        if current_owner() is None and ops.executing_eagerly_outside_functions():
            raise RuntimeError(
                f"TF1 layer {self.scope_name!r} was called outside of a decorated method, where "
                "nothing would keep its weights from call to call. Call it in a method of a "
                "keras.Layer or tf.Module decorated with track_tf1_style_variables."
            )
        compute_dtype = tf.as_dtype(dtype or self.dtype or tf.float32)
        variable = variable_scope.get_variable(
            name,
            shape=shape,
            dtype=storage_dtype(compute_dtype),
            initializer=_from_string(initializer, keras.initializers.get),
            regularizer=_from_string(regularizer, keras.regularizers.get),
            constraint=constraint,
            trainable=trainable and self.trainable,
            synchronization=synchronization,
            aggregation=aggregation,
            partitioner=partitioner,
        )
        self._variables[name] = variable
        return variable if variable.dtype == compute_dtype else tf.cast(variable, compute_dtype)

    def add_loss(self, loss: tf.Tensor) -> None:
        """Adds a loss of this call to TF1's collection and to the decorated layer's losses."""
        ops.add_to_collection(ops.GraphKeys.REGULARIZATION_LOSSES, loss)
        if current_collections() is None:
            self.losses.append(loss)
        elif isinstance(current_owner(), keras.Layer):
            current_owner().add_loss(loss)

    def add_update(self, update: Any) -> None:
        """Adds an update op to `UPDATE_OPS`, as layers do in a TF1 graph."""
        self.updates.append(update)
        ops.add_to_collection(ops.GraphKeys.UPDATE_OPS, update)


def _from_string(value: Any, find: Callable[[str], Any]) -> Any:
    return find(value) if isinstance(value, str) else value


def activation_function(activation: str | Callable | None) -> Callable | None:
    """An activation given as a callable or by its Keras name."""
    return _from_string(activation, keras.activations.get)


def _snake_case(class_name: str) -> str:
    """TF1's default names: `Conv2DTranspose` -> `conv2d_transpose`."""
    words = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


def functional(layer_class: type[Layer]) -> Callable:
    """Makes the function of `tf.compat.v1.layers` that belongs to a class.

    Args:
        layer_class: a class whose `__init__` has the function's arguments in the function's order;
            the function has `inputs` before and, if the layer has weights, `reuse` after them.

    Returns:
        The function `(inputs, ..., name=None, reuse=None) -> outputs`.
    """
    signature = inspect.signature(layer_class)
    has_weights = layer_class.build is not Layer.build
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    inputs = inspect.Parameter("inputs", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    reuse = inspect.Parameter("reuse", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
    signature = signature.replace(parameters=[inputs, *own, *([reuse] if has_weights else [])])

    def function(*args: Any, **kwargs: Any) -> Any:
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{function.__name__}(): {error}") from None
        inputs = arguments.pop("inputs")
        reuse = arguments.pop("reuse", None)
        # A name given is the scope as it stands; without one the layer counts up its own.
        layer = layer_class(_scope=arguments.get("name"), _reuse=reuse, **arguments)
        return layer(inputs)

    function.__name__ = function.__qualname__ = _snake_case(layer_class.__name__)
    function.__doc__ = layer_class.__doc__
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


def smart_cond(predicate: Any, true_fn: Callable, false_fn: Callable) -> Any:
    """`tf.cond`, decided at once where the predicate's value is known.

    Args:
        predicate: a bool, 0 or 1, or a boolean scalar tensor or variable.
        true_fn: callable without arguments.
        false_fn: callable without arguments, with outputs of `true_fn`'s structure.
    """
    value = constant_value(predicate)
    if value is None:
        return tf.cond(tf.cast(predicate, tf.bool), true_fn, false_fn)
    return true_fn() if value else false_fn()


def constant_value(predicate: Any) -> bool | None:
    """The predicate's value if it is known now, else None."""
    if isinstance(predicate, bool | int | None):
        return bool(predicate)
    if isinstance(predicate, tf.Variable):
        return bool(predicate.numpy()) if tf.executing_eagerly() else None
    return smart_constant_value(predicate)
