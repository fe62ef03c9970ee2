"""What TF1's layers have in common: a variable scope, weights by `get_variable`, reuse."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import re
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.keras.engine.input_spec import InputSpec, assert_input_compatibility
from tensorflow.python.ops import variable_scope
from tensorflow.python.ops.variables import PartitionedVariable

from ..call_state import current_owner, is_tf_keras_layer
from ..tracebacks import ending_at_the_call
from .autograph import without_autograph
from .checkpointing import CheckpointedByAttribute
from .inspection import Inspected


@without_autograph
class Layer(Inspected, CheckpointedByAttribute):
    """A layer as in `tf.compat.v1.layers`: `get_variable` for its weights and `tf.nn` for the rest.

    There is no Keras layer underneath, so a call costs little more than its ops. Inside a decorated
    method each call runs `build`, which gets the same weights from the variable store every time;
    in a TF1 graph only the first call does. The first call chooses the variable scope: the one
    enclosing it, and in that the layer's name, with a number where that is taken (`conv2d_1`).

    Args:
        trainable: whether the weights are trainable.
        name: the layer's name; by default made from the class' name.
        dtype: dtype of the weights; by default the first input's.
        activity_regularizer: callable `outputs -> scalar loss`, or None. Its loss is divided by the
            batch size, as TF1 has it since 1.13.
        _scope: variable scope (name or object) to use instead of one of its own.
        _reuse: True to use weights that exist already.

    Raises:
        TypeError: an argument that no TF1 layer knows.
    """

    def __init__(
        self,
        trainable: bool = True,
        name: str | variable_scope.VariableScope | None = None,
        dtype: Any = None,
        activity_regularizer: Callable | None = None,
        _scope: Any = None,
        _reuse: bool | None = None,
        **unknown: Any,
    ) -> None:
        if unknown:
            raise TypeError(f"{type(self).__name__} does not know the argument(s) {list(unknown)}.")
        self.trainable = trainable
        self.dtype = None if dtype is None else tf.as_dtype(dtype)
        self.activity_regularizer = _from_string(activity_regularizer, keras.regularizers.get)
        self.built = False
        # For subclasses to set: an `InputSpec` that inputs are checked against, or a list of them.
        self.input_spec: InputSpec | list[InputSpec] | None = None
        self.updates: list[Any] = []
        self._built_in: weakref.ref[ops.Graph] | None = None
        self._losses: list[Any] = []
        self._name = name
        self._reuse = _reuse
        self._variables: dict[str, Any] = {}
        self._regularizers: dict[str, Callable] = {}
        # The scope as it was chosen, and as it is entered now.
        self._scope: variable_scope.VariableScope | None = None
        self._entered_scope: variable_scope.VariableScope | None = None
        if isinstance(_scope, variable_scope.VariableScope):
            self._scope = _scope
        elif _scope:
            with variable_scope.variable_scope(_scope) as self._scope:
                pass

    @property
    def name(self) -> str:
        if self._name is None:
            return _snake_case(type(self).__name__)
        return self._name if isinstance(self._name, str) else self._name.name

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
        """The weights of the last call, in creation order."""
        weights: list[tf.Variable] = []
        for variable in self._variables.values():
            is_partitioned = isinstance(variable, PartitionedVariable)
            weights.extend(variable if is_partitioned else [variable])
        return weights

    weights = variables

    @property
    def trainable_variables(self) -> list[tf.Variable]:
        return [v for v in self.variables if self._is_trainable(v)]

    trainable_weights = trainable_variables

    @property
    def non_trainable_variables(self) -> list[tf.Variable]:
        return [v for v in self.variables if not self._is_trainable(v)]

    non_trainable_weights = non_trainable_variables

    def _is_trainable(self, weight: Any) -> bool:
        # What a custom getter hands out can be a mere tensor.
        return self.trainable and getattr(weight, "trainable", False)

    @property
    def losses(self) -> list[tf.Tensor]:
        """The weights' regularization losses, and those that the last call added."""
        regularized = ((r, self._variables[name]) for name, r in self._regularizers.items())
        losses = [regularizer(variable) for regularizer, variable in regularized]
        return [*(loss for loss in losses if loss is not None), *self._losses]

    def build(self, input_shape: Any) -> None:
        """Makes the weights, in TF1's order; nothing to make by default.

        Args:
            input_shape: the inputs' `tf.TensorShape`, or what makes one.
        """

    def call(self, inputs: Any, **arguments: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no call method.")

    def __call__(self, inputs: Any, *positional: Any, scope: Any = None, **arguments: Any) -> Any:
        inputs = _as_tensors(inputs)
        if self.dtype is None:
            self.dtype = tf.nest.flatten(inputs)[0].dtype.base_dtype
        if ops.executing_eagerly_outside_functions():
            self._losses = []
        if self.input_spec is not None:
            assert_input_compatibility(self.input_spec, inputs, self.name)
        is_built = self._is_built_in_tf1_graph()

        def build_and_call() -> Any:
            if not is_built:
                self.build(_shapes(inputs))
                self._mark_built()
            outputs = self.call(inputs, *positional, **arguments)
            if self.activity_regularizer is not None:
                loss = self.activity_regularizer(outputs)
                self.add_loss(loss / tf.cast(tf.shape(outputs)[0], loss.dtype))
            return outputs

        try:
            return self._in_scope(build_and_call, scope, reuse=True if is_built else self._reuse)
        except Exception as error:
            if current_owner() is None:
                raise ending_at_the_call(error)  # noqa: B904  (it is the same one)
            raise

    apply = __call__

    def _in_scope(self, function: Callable[[], Any], scope: Any = None, reuse: Any = None) -> Any:
        """Calls a function in the layer's variable scope, which the first time is chosen.

        Args:
            function: callable without arguments.
            scope: name or object of the scope to choose; None: the layer's name.
            reuse: the scope's `reuse`.

        Returns:
            What the function returns.
        """
        outside = self._entered_scope
        with self._scope_to_enter(scope, reuse) as entered:
            self._entered_scope = entered
            if self._scope is None:
                self._scope = entered
            try:
                return function()
            finally:
                self._entered_scope = outside

    def _scope_to_enter(self, scope: Any, reuse: Any) -> Any:
        name_or_scope = self._scope or scope
        if name_or_scope is None and (self._reuse or (self._name and _is_free(self.name))):
            name_or_scope = self.name
        if tf.executing_eagerly():
            return _variable_scope_alone(name_or_scope, self.name, reuse)
        if isinstance(name_or_scope, variable_scope.VariableScope):
            return _scope_again(name_or_scope, reuse)
        return variable_scope.variable_scope(name_or_scope, default_name=self.name, reuse=reuse)

    def _is_built_in_tf1_graph(self) -> bool:
        if self._built_in is None or ops.executing_eagerly_outside_functions():
            return False
        return self._built_in() is ops.get_default_graph()

    def _mark_built(self) -> None:
        self.built = True
        self._built_in = weakref.ref(ops.get_default_graph())

    def add_weight(
        self,
        name: str,
        shape: Any,
        dtype: Any = None,
        initializer: Any = None,
        regularizer: Callable | None = None,
        trainable: bool | None = None,
        constraint: Callable | None = None,
        use_resource: bool | None = None,
        synchronization: tf.VariableSynchronization = tf.VariableSynchronization.AUTO,
        aggregation: tf.VariableAggregation = tf.VariableAggregation.NONE,
        partitioner: Callable | None = None,
    ) -> Any:
        """Makes a weight in the layer's variable scope, or gets it where it exists.

        Args:
            name: the weight's name within the scope.
            shape: its shape.
            dtype: its dtype; None: the layer's.
            initializer: as for `tf.compat.v1.get_variable`, or a Keras name.
            regularizer: callable `variable -> scalar loss`, a Keras name, or None. Where the
                variable scope has a regularizer too, both losses count, as in TF1.
            trainable: whether the weight is trainable, if the layer is; None: unless it is of
                `ON_READ` synchronization.
            constraint: callable applied after an optimizer's step, a Keras name, or None.
            use_resource: as for `tf.compat.v1.get_variable`.
            synchronization: likewise.
            aggregation: likewise.
            partitioner: likewise.

        Returns:
            The variable. In a Keras layer with a mixed policy it is kept in the policy's variable
            dtype and read in the compute dtype.
        """
        if trainable is None:
            trainable = synchronization != tf.VariableSynchronization.ON_READ
        regularizer = _from_string(regularizer, keras.regularizers.get)

        def get_variable() -> Any:
            self._check_owner()
            return variable_scope.get_variable(
                name,
                shape=[int(size) for size in shape],  # TF1's dimensions divide in their own way.
                dtype=tf.as_dtype(dtype or self.dtype or tf.float32),
                initializer=_from_string(initializer, keras.initializers.get),
                regularizer=_sum(self._named(regularizer, name), self._entered_scope.regularizer),
                trainable=trainable and self.trainable,
                constraint=_from_string(constraint, keras.constraints.get),
                use_resource=use_resource,
                synchronization=synchronization,
                aggregation=aggregation,
                partitioner=partitioner,
            )

        if variable_scope.get_variable_scope() is self._entered_scope:
            variable = get_variable()
        else:  # Somebody builds the layer before its first call, or opened a scope inside.
            variable = self._in_scope(get_variable, reuse=self._reuse)
            self._mark_built()
        self._variables[name] = variable
        if regularizer is not None:
            self._regularizers[name] = regularizer
        return variable

    add_variable = add_weight

    def _check_floating_point(self) -> None:
        if self.dtype is not None and not self.dtype.is_floating:
            raise TypeError(
                f"{type(self).__name__} layer {self.name} needs floating-point inputs, got "
                f"{self.dtype.name}. Cast the inputs first: there are no initial weights of a "
                "non-floating point type."
            )

    def _named(self, regularizer: Callable | None, weight_name: str) -> Callable | None:
        """Lets a regularizer's ops be named by the weight as in TF1, `kernel`, in graphs.

        Custom getters such as Slim's may call the variable something else.
        """
        if regularizer is None or ops.executing_eagerly_outside_functions():
            return regularizer
        name_scope = f"{self._entered_scope.original_name_scope}{weight_name}/Regularizer/"
        losses = {}

        def in_name_scope(variable: Any) -> Any:
            if id(variable) not in losses:  # TensorFlow asks twice, and would name the second _1.
                with tf.name_scope(name_scope):
                    losses[id(variable)] = regularizer(variable)
            return losses[id(variable)]

        return in_name_scope

    def _check_owner(self) -> None:
        if current_owner() is None and ops.executing_eagerly_outside_functions():
            raise RuntimeError(
                f"TF1 layer {self.scope_name!r} was called outside of a decorated method, where "
                "nothing would keep its weights from call to call. Call it in a method of a "
                "keras.Layer or tf.Module decorated with track_tf1_style_variables."
            )

    def add_loss(self, losses: Any, inputs: Any = None) -> None:
        """Adds a loss, or a list of them, to TF1's collection and to the decorated object's losses.

        Args:
            losses: scalar tensors.
            inputs: not needed here; TF1 named the tensors that the loss depends on.
        """
        del inputs
        for loss in tf.nest.flatten(losses):
            self._losses.append(loss)
            ops.add_to_collection(ops.GraphKeys.REGULARIZATION_LOSSES, loss)
            owner = current_owner()
            if isinstance(owner, keras.Layer) or is_tf_keras_layer(owner):
                owner.add_loss(loss)

    def add_update(self, updates: Any, inputs: Any = None) -> None:
        """Adds an update op, or a list of them, to `UPDATE_OPS`, as layers do in a TF1 graph.

        Args:
            updates: update ops.
            inputs: not needed here; TF1 named the tensors that the update depends on.
        """
        del inputs
        for update in tf.nest.flatten(updates):
            self.updates.append(update)
            ops.add_to_collection(ops.GraphKeys.UPDATE_OPS, update)

    def compute_output_shape(self, input_shape: Any) -> tf.TensorShape:
        """The outputs' shape for an inputs' shape, worked out in a graph of its own."""
        layer = copy.copy(self)
        layer._scope = layer._entered_scope = layer._built_in = None
        layer._variables, layer._regularizers, layer.updates = {}, {}, []
        with tf.Graph().as_default():
            return layer(tf.compat.v1.placeholder(self.dtype or tf.float32, input_shape)).shape


def _is_free(name: str) -> bool:
    """Whether no variable scope has that name within the current one."""
    current = variable_scope.get_variable_scope().name
    full_name = f"{current}/{name}" if current else name
    return variable_scope.get_variable_scope_store().variable_scope_count(full_name) == 0


def _variable_scope_alone(name_or_scope: Any, default_name: str, reuse: Any) -> Any:
    """`tf.compat.v1.variable_scope` without its name scope, which costs as much and names no op."""
    if name_or_scope is None:
        name_or_scope = variable_scope._get_unique_variable_scope(default_name)
    return variable_scope._pure_variable_scope(name_or_scope, reuse=reuse, dtype=None)


@contextlib.contextmanager
def _scope_again(
    scope: variable_scope.VariableScope, reuse: Any
) -> Iterator[variable_scope.VariableScope]:
    with (
        variable_scope.variable_scope(scope, reuse=reuse, auxiliary_name_scope=False) as entered,
        tf.name_scope(scope.original_name_scope),
    ):
        yield entered


def _as_tensors(inputs: Any) -> Any:
    if isinstance(inputs, tf.Tensor):
        return inputs
    return tf.nest.map_structure(
        lambda each: each if isinstance(each, tf.SparseTensor) else tf.convert_to_tensor(each),
        inputs,
    )


def _shapes(inputs: Any) -> Any:
    if isinstance(inputs, tf.Tensor):
        return inputs.shape
    return tf.nest.map_structure(lambda each: each.shape, inputs)


def _sum(first: Callable | None, second: Callable | None) -> Callable | None:
    if first is None or second is None:
        return second if first is None else first

    def regularizer(variable: tf.Variable) -> Any:
        losses = [loss for loss in (first(variable), second(variable)) if loss is not None]
        return sum(losses) if losses else None

    return regularizer


def as_shape(shape: Any) -> tf.TensorShape:
    """A shape as `tf.TensorShape`."""
    return shape if isinstance(shape, tf.TensorShape) else tf.TensorShape(shape)


def size_of(shape: tf.TensorShape, axis: int) -> int | None:
    """A dimension's size, None where it is not known.

    TF1's `tf.compat.v1.Dimension`, which `disable_v2_behavior()` brings back, is never None itself.
    """
    return tf.compat.v1.dimension_value(shape[axis])


def as_dtype(tensor: Any, dtype: tf.DType) -> Any:
    """A tensor or variable in a dtype; the thing itself where it has that."""
    return tensor if tensor.dtype == dtype else tf.cast(tensor, dtype)


def _from_string(value: Any, find: Callable[[str], Any]) -> Any:
    return find(value) if isinstance(value, str) else value


def activation_function(activation: str | Callable | None) -> Callable | None:
    """An activation given as a callable or by its Keras name."""
    return _from_string(activation, keras.activations.get)


@functools.cache
def _snake_case(class_name: str) -> str:
    """TF1's default names: `Conv2DTranspose` -> `conv2d_transpose`."""
    words = re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", words).lower()


def passed_on(arguments: dict[str, Any], *but: str) -> dict[str, Any]:
    """The arguments that go on to another function, of the `locals()` of one that begins.

    Args:
        arguments: the arguments by name.
        *but: the names of those that do not go on.
    """
    left_out = {"self", "kwargs", "__class__", *but}
    return {name: value for name, value in arguments.items() if name not in left_out}


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
    own_names = {p.name for p in own}

    def function(inputs: Any, *args: Any, **kwargs: Any) -> Any:
        reuse = kwargs.pop("reuse", None) if has_weights else None
        if has_weights and len(args) == len(own) + 1:
            args, reuse = args[:-1], args[-1]
        if not own_names.issuperset(kwargs):
            check(inputs, *args, **kwargs)
        try:
            layer = layer_class(*args, **kwargs)
        except TypeError:
            check(inputs, *args, **kwargs)
            raise
        layer._reuse = reuse
        try:
            # With weights, a name given is the scope as it stands; other names are counted up.
            return layer(inputs, scope=layer._name if has_weights else None)
        except Exception as error:
            if current_owner() is None:
                raise ending_at_the_call(error)  # noqa: B904  (it is the same one)
            raise

    def check(*args: Any, **kwargs: Any) -> None:
        # Binding costs as much as a small op, so it is left for when something is wrong.
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__name__}(): {error}") from None

    function.__name__ = function.__qualname__ = _snake_case(layer_class.__name__)
    function.__doc__ = layer_class.__doc__
    function.__signature__ = signature  # type: ignore[attr-defined]
    return without_autograph(function)
