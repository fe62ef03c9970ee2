"""The variable store behind `tf.compat.v1.get_variable` inside a decorated method."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops import variable_scope, variables
from tensorflow.python.util import function_utils

from .call_collections import current_collections, current_owner
from .tracked_variable import make_variable

AUTO_REUSE = variable_scope.AUTO_REUSE


class VariableStore(variable_scope._VariableStore):
    """Creates each variable once and hands the same one out on every later call.

    It takes the place of TF1's own store, so names, scopes, custom getters and partitioners are
    TensorFlow's; only what happens when a variable is first asked for is ours.

    Args:
        on_create: called as `on_create(variable, name, regularizer, constraint)` with each new
            `tf.Variable`, in creation order.
        pending_value: called with the name of a variable about to be made; returns the array it is
            to start with (a value loaded before the variable existed), or None.
    """

    def __init__(
        self,
        on_create: Callable[[tf.Variable, str, Callable | None, Callable | None], None],
        pending_value: Callable[[str], np.ndarray | None] = lambda name: None,
    ) -> None:
        super().__init__()
        self._store_eager_variables = True
        self._on_create = on_create
        self._pending_value = pending_value
        # Variable name -> callable that computes its regularization loss from the current value.
        self.regularization_losses: dict[str, Callable[[], tf.Tensor]] = {}

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables in creation order."""
        return list(self._vars.values())

    def is_trainable(self, name: str) -> bool:
        """Whether TF1 code made the variable `name` trainable."""
        return self._vars[name].trainable

    def get_variable(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = tf.float32,
        initializer: Any = None,
        regularizer: Callable | None = None,
        reuse: Any = None,
        trainable: bool | None = None,
        collections: list[str] | None = None,
        caching_device: Any = None,
        partitioner: Callable | None = None,
        validate_shape: bool = True,
        use_resource: bool | None = None,
        custom_getter: Callable | None = None,
        constraint: Callable | None = None,
        synchronization: tf.VariableSynchronization = tf.VariableSynchronization.AUTO,
        aggregation: tf.VariableAggregation = tf.VariableAggregation.NONE,
    ) -> tf.Variable:
        """Returns the variable of that full name; makes it if there is none.

        The arguments are those of `tf.compat.v1.get_variable`, with the scope in `name`. Only
        `reuse=True` is heard (the variable must exist): every call after an object's first meets
        the variables of the one before, so anything else means "create or get".

        Returns:
            The `tf.Variable` (a `PartitionedVariable` with a partitioner).

        Raises:
            ValueError: another shape or dtype than the variable has; `reuse=True` and there is no
                such variable; a new variable without shape or initializer.
        """
        synchronization, aggregation, trainable = (
            variables.validate_synchronization_aggregation_trainable(
                synchronization, aggregation, trainable, name
            )
        )
        arguments = {
            "name": name,
            "shape": shape,
            "dtype": tf.as_dtype(dtype).base_dtype,
            "initializer": initializer,
            "regularizer": regularizer,
            "reuse": True if reuse is True else AUTO_REUSE,
            "trainable": trainable,
            "collections": collections,
            "caching_device": caching_device,
            "partitioner": partitioner,
            "validate_shape": validate_shape,
            "use_resource": use_resource,
            "constraint": constraint,
            "synchronization": synchronization,
            "aggregation": aggregation,
        }
        if custom_getter is None:
            return self._get_possibly_partitioned_variable(**arguments)
        if not callable(custom_getter):
            raise ValueError(
                f"Variable {name}: custom_getter must be callable, got {custom_getter!r}."
            )
        if not _accepts_constraint(custom_getter):
            del arguments["constraint"]
        return custom_getter(getter=self._get_possibly_partitioned_variable, **arguments)

    def _get_possibly_partitioned_variable(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = tf.float32,
        partitioner: Callable | None = None,
        reuse: Any = None,
        **arguments: Any,
    ) -> tf.Variable:
        dtype = tf.as_dtype(dtype).base_dtype
        reuse = True if reuse is True else AUTO_REUSE
        is_scalar = shape is not None and tf.TensorShape(shape).rank == 0
        if name in self._partitioned_vars or (partitioner is not None and not is_scalar):
            with tf.name_scope(""):
                return self._get_partitioned_variable(
                    name, partitioner, shape=shape, dtype=dtype, reuse=reuse, **arguments
                )
        if f"{name}/part_0" in self._vars:
            raise ValueError(
                f"Variable {name} was made in parts by a partitioner, and is now asked for "
                "without one. Pass the same partitioner."
            )
        return self._get_single_variable(name, shape=shape, dtype=dtype, reuse=reuse, **arguments)

    def _get_single_variable(
        self,
        name: str,
        shape: Any = None,
        dtype: Any = tf.float32,
        initializer: Any = None,
        regularizer: Callable | None = None,
        partition_info: Any = None,
        reuse: Any = None,
        trainable: bool | None = None,
        collections: list[str] | None = None,
        constraint: Callable | None = None,
        **arguments: Any,
    ) -> tf.Variable | tf.Tensor:
        compute_dtype, dtype = dtype, storage_dtype(dtype)
        variable = self._vars.get(name)
        if variable is None:
            if reuse is True:
                raise ValueError(
                    f"Variable {name} does not exist, and reuse=True asks for an existing one. "
                    f"{self._nearest(name)}Use reuse=tf.compat.v1.AUTO_REUSE to make it on first "
                    "use."
                )
            variable = self._create(
                name,
                shape=shape,
                dtype=dtype,
                initializer=initializer,
                regularizer=regularizer,
                partition_info=partition_info,
                trainable=trainable,
                constraint=constraint,
                **arguments,
            )
        else:
            # An initializer that brings its own type was not asked for the scope's.
            own_type = _brings_its_own_type(initializer, shape)
            _check_same(name, variable, shape, None if own_type else dtype)
        collections_of_call = current_collections()
        if collections_of_call is None:
            raise RuntimeError(
                f"Variable {name} was asked for in a thread of its own while its decorated method "
                "runs in another. Ask for variables before the thread starts."
            )
        collections_of_call.register_variable(
            variable, collections, variable.trainable, self.regularization_losses.get(name)
        )
        return variable if dtype == compute_dtype else tf.cast(variable, compute_dtype)

    def _create(
        self,
        name: str,
        *,
        shape: Any,
        dtype: tf.DType,
        initializer: Any,
        regularizer: Callable | None,
        partition_info: Any,
        trainable: bool | None,
        constraint: Callable | None,
        caching_device: Any = None,
        validate_shape: bool = True,
        use_resource: bool | None = None,
        synchronization: tf.VariableSynchronization = tf.VariableSynchronization.AUTO,
        aggregation: tf.VariableAggregation = tf.VariableAggregation.NONE,
    ) -> tf.Variable:
        del use_resource  # Eager variables are resource variables.
        initial_value, dtype = _initial_value(name, shape, dtype, initializer, partition_info)
        pending_value = self._pending_value(name)
        if pending_value is not None:
            _check_pending_value(name, shape, pending_value)
            initial_value = pending_value
        variable = make_variable(
            name,
            initial_value=initial_value,
            dtype=dtype,
            trainable=trainable,
            caching_device=caching_device,
            validate_shape=validate_shape,
            constraint=constraint,
            synchronization=synchronization,
            aggregation=aggregation,
        )
        self._vars[name] = variable
        if isinstance(regularizer, str):
            regularizer = keras.regularizers.get(regularizer)
        # Slim's regularizers return None for a scale of zero: then there is no loss at all.
        if regularizer is not None and _has_loss(regularizer, variable):
            self.regularization_losses[name] = functools.partial(regularizer, variable)
        else:
            regularizer = None
        self._on_create(variable, name, regularizer, constraint)
        return variable

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._vars, n=3)
        return f"Near it: {', '.join(near)}. " if near else ""


def _brings_its_own_type(initializer: Any, shape: Any) -> bool:
    if initializer is None or isinstance(initializer, str):
        return False
    return shape is None or not callable(initializer)


def storage_dtype(dtype: tf.DType) -> tf.DType:
    """The dtype a variable is kept in where TF1 code asks for `dtype`.

    TF1 layers ask for the dtype of their inputs. In a Keras layer with a mixed policy that is the
    compute dtype, and variables are to be kept in the policy's variable dtype.
    """
    owner = current_owner()
    if isinstance(owner, keras.Layer) and dtype.name == owner.compute_dtype:
        return tf.as_dtype(owner.variable_dtype)
    return dtype


def _accepts_constraint(custom_getter: Callable) -> bool:
    # Custom getters written before TensorFlow 1.4 list their arguments and know no constraint.
    return "constraint" in function_utils.fn_args(custom_getter) or function_utils.has_kwargs(
        custom_getter
    )


def _check_same(name: str, variable: tf.Variable, shape: Any, dtype: tf.DType | None) -> None:
    if shape is not None and not tf.TensorShape(shape).is_compatible_with(variable.shape):
        raise ValueError(
            f"Variable {name} has shape {tuple(variable.shape)} and is now asked for with shape "
            f"{tuple(tf.TensorShape(shape))}. Give the second use another name or variable scope, "
            "or the same shape."
        )
    if dtype is not None and not dtype.is_compatible_with(variable.dtype):
        raise ValueError(
            f"Variable {name} has dtype {variable.dtype.name} and is now asked for with dtype "
            f"{dtype.name}. Give the second use another name or variable scope, or the same dtype."
        )


def _check_pending_value(name: str, shape: Any, value: np.ndarray) -> None:
    if shape is not None and not tf.TensorShape(shape).is_compatible_with(value.shape):
        raise ValueError(
            f"Variable {name} is made with shape {tuple(tf.TensorShape(shape))}, but the weights "
            f"loaded for it have shape {value.shape}. The file belongs to another model."
        )


def _has_loss(regularizer: Callable, variable: tf.Variable) -> bool:
    with tf.init_scope():
        return regularizer(variable) is not None


def _initial_value(
    name: str, shape: Any, dtype: tf.DType, initializer: Any, partition_info: Any
) -> tuple[Any, tf.DType | None]:
    """Turns TF1's ways of giving an initializer into `tf.Variable`'s arguments.

    Returns:
        `(initial_value, dtype)`: a callable without arguments or a value; dtype None leaves it to
        the value.
    """
    shape = None if shape is None else tf.TensorShape(shape)
    if initializer is None:
        initializer = _default_initializer(name, dtype)
    if isinstance(initializer, str):
        initializer = keras.initializers.get(initializer)
    if inspect.isclass(initializer):
        initializer = initializer()
    if not callable(initializer):
        if shape is not None and partition_info is None:
            raise ValueError(
                f"Variable {name}: a constant initializer brings its own shape; leave out "
                f"shape={tuple(shape)}."
            )
        return _value_outside_of_functions(name, initializer), None
    if shape is None or not shape.is_fully_defined():
        if _takes_no_arguments(initializer):
            return initializer, None
        raise ValueError(
            f"Variable {name} needs a fully defined shape, got "
            f"{None if shape is None else tuple(shape)}. Give the shape, or an initializer that "
            "takes no arguments."
        )
    keywords = {"dtype": dtype}
    if "partition_info" in function_utils.fn_args(initializer):
        keywords["partition_info"] = partition_info
    return functools.partial(initializer, shape.as_list(), **keywords), dtype


def _default_initializer(name: str, dtype: tf.DType) -> Callable:
    if dtype.is_floating:
        return tf.compat.v1.glorot_uniform_initializer()
    if dtype.is_integer or dtype.is_bool or dtype == tf.string:
        return tf.compat.v1.zeros_initializer()
    raise ValueError(
        f"Variable {name} of dtype {dtype.name} needs an initializer: TF1 has no default for it."
    )


def _value_outside_of_functions(name: str, value: Any) -> Any:
    """The value of a tensor given as initializer, where the variable will be made."""
    if not tf.is_tensor(value) or tf.executing_eagerly() or hasattr(value, "numpy"):
        return value
    constant = tf.get_static_value(value)
    if constant is None:
        raise ValueError(
            f"Variable {name}: its initializer is a tensor of the function being traced "
            f"({value.name}), whose value is not known where the variable is made. Give a constant "
            "or a callable that computes it."
        )
    return constant


def _takes_no_arguments(function: Callable) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return all(
        p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )
