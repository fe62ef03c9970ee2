"""The variable store behind `tf.compat.v1.get_variable` inside a decorated method."""

from __future__ import annotations

import difflib
import functools
import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import lift_to_graph
from tensorflow.python.ops import variable_scope, variables
from tensorflow.python.util import function_utils

from . import automatic_names
from .autocast_variable import AutocastVariable, without_autocast
from .call_state import DecoratedCall, current_call, default_dtype
from .locks import CopyableLock
from .tracebacks import hide_own_frames
from .tracked_variable import make_trainable, make_variable
from .user_code import users_line

AUTO_REUSE = variable_scope.AUTO_REUSE


class VariableStore(variable_scope._VariableStore):
    """Creates each variable once and hands the same one out on every later call.

    It takes the place of TF1's own store, so names, scopes, custom getters and partitioners are
    TensorFlow's; only what happens when a variable is first asked for is ours.

    Args:
        on_create: called as `on_create(variable, name, regularizer, constraint)` with each new
            `tf.Variable`, in creation order.
        pending_value: called with the name of a variable about to be made; returns the array it is
            to start with (a value loaded before the variable existed), or None. None: nothing is.
        on_trainable: called with the name of a variable that becomes trainable, before it does.
    """

    def __init__(
        self,
        on_create: Callable[[tf.Variable, str, Callable | None, Callable | None], None],
        pending_value: Callable[[str], np.ndarray | None] | None = None,
        on_trainable: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__()
        self._store_eager_variables = True
        # Held while a variable is made: threads that ask at once get the same one.
        self.lock = CopyableLock()
        self._on_create = on_create
        self._pending_value = pending_value
        self._on_trainable = on_trainable
        # Variable name -> callable that computes its regularization loss from the current value.
        self.regularization_losses: dict[str, Callable[[], tf.Tensor]] = {}
        # Names, with `:0`, of the variables that no checkpoint has been read into.
        self._initialized: set[str] = set()
        self._autocast: dict[tuple[str, tf.DType], AutocastVariable] = {}
        # (variable scope, name given) of `tf.Variable`s -> those of the object, in creation order.
        self.plain_variables: dict[tuple[str, str], list[Any]] = {}
        # The names of the scopes of templates that got theirs before a call.
        self.template_scopes: set[str] = set()
        # Name of a variable that is not to be trained -> the method and the line that said so.
        self._untrained_by: dict[str, tuple[str, str]] = {}

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables in creation order."""
        return list(self._vars.values())

    def named_variables(self) -> Iterator[tuple[str, tf.Variable]]:
        """The variables with their names, in creation order."""
        return iter(list(self._vars.items()))

    def find(self, name: str) -> tf.Variable | None:
        """The variable of that name, None if there is none."""
        return self._vars.get(name)

    def regularized_variables(self) -> Iterator[tuple[str, tf.Variable]]:
        """The regularized variables with their names."""
        return ((name, self._vars[name]) for name in self.regularization_losses)

    def may_become_trainable(self) -> bool:
        """Whether there are variables that are not trainable, and no moving averages either."""
        return any(
            not v.trainable and v.synchronization != tf.VariableSynchronization.ON_READ
            for v in self._vars.values()
        )

    def unused_name(self, name: str) -> str:
        """`name`, with TF1's `_1`, `_2`, ... where a variable has it already."""
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        return next(n for n in itertools.chain([name], numbered) if n not in self._vars)

    def get_plain_variable(
        self,
        name: str,
        initial_value: Any = None,
        dtype: Any = None,
        shape: Any = None,
        variable_def: Any = None,
        import_scope: str | None = None,
        expected_shape: Any = None,
        experimental_enable_variable_lifting: bool | None = None,
        **arguments: Any,
    ) -> tf.Variable:
        """Returns the variable of that full name; makes it as `tf.Variable` would if there is none.

        The arguments are those of `tf.compat.v1.Variable`, with the scope in `name`.

        Raises:
            ValueError: the variable has another shape; an argument that is not TF1's, or that
                belongs to graphs.
        """
        del expected_shape, experimental_enable_variable_lifting
        if shape is not None or variable_def is not None or import_scope is not None:
            raise ValueError(
                f"Variable {name}: tf.Variable(shape=..., variable_def=..., import_scope=...) "
                "can't be made in a decorated method. Make it in __init__."
            )
        if not callable(initial_value):
            if dtype is not None:
                initial_value = tf.convert_to_tensor(initial_value, dtype)
            if name in self._vars:
                _check_same(name, self._vars[name], np.shape(initial_value), None)
        elif dtype is not None:
            initial_value = functools.partial(_converted, initial_value, dtype)
        dtype = tf.as_dtype(dtype or default_dtype())
        return self.get_variable(name, initializer=initial_value, dtype=dtype, **arguments)

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
        name = name.removesuffix("/")  # Of a variable named like its scope, by an empty name.
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
        is_partitioned = name in self._partitioned_vars
        if partitioner is not None and not is_partitioned:
            is_partitioned = shape is None or tf.TensorShape(shape).rank != 0
        if is_partitioned:
            with self.lock, tf.name_scope(""):
                variable = self._get_partitioned_variable(
                    name, partitioner, shape=shape, dtype=dtype, reuse=reuse, **arguments
                )
            # Of one that exists already, nobody has asked for the parts.
            call = self._current_call(name)
            for number in range(len(variable)):
                self._register(call, f"{name}/part_{number}", arguments.get("collections"))
            return variable
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
    ) -> tf.Variable | AutocastVariable:
        call = self._current_call(name)
        asked_dtype, dtype = dtype, storage_dtype(dtype)
        if name not in self._vars:
            if reuse is True:
                raise ValueError(
                    f"Variable {name} does not exist, and reuse=True asks for an existing one. "
                    f"{self._nearest(name)}Use reuse=tf.compat.v1.AUTO_REUSE to make it on first "
                    "use."
                )
            self._create(
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
            call.collections.made_variables = True
            automatic_names.warn_of(name)
        else:
            # An initializer that brings its own type was not asked for the scope's.
            own_type = _brings_its_own_type(initializer, shape)
            _check_same(name, self._vars[name], shape, None if own_type else dtype)
            if trainable and reuse is not True:
                self._let_be_trained(call, name)
        self._register(call, name, collections)
        return self._read_in(asked_dtype, name, self._vars[name])

    def _register(self, call: DecoratedCall, name: str, collections: list[str] | None) -> None:
        variable = self._vars[name]
        call.collections.register_variable(
            variable, collections, variable.trainable, self.regularization_losses.get(name)
        )

    def _create(self, name: str, **arguments: Any) -> None:
        with self.lock:
            if name not in self._vars:  # Another thread may have made it meanwhile.
                self._vars[name] = self._new_variable(name, **arguments)

    def _new_variable(
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
        # Eager variables are resource variables; in a cache their values would never change.
        del use_resource, caching_device
        initial_value, dtype = _initial_value(name, shape, dtype, initializer, partition_info)
        pending_value = self._pending_value and self._pending_value(name)
        if pending_value is not None:
            _check_pending_value(name, shape, pending_value)
            initial_value = pending_value
        variable = make_variable(
            name,
            initial_value=initial_value,
            dtype=dtype,
            trainable=trainable,
            validate_shape=validate_shape,
            constraint=constraint,
            synchronization=synchronization,
            aggregation=aggregation,
        )
        if isinstance(regularizer, str):
            regularizer = keras.regularizers.get(regularizer)
        # Slim's regularizers return None for a scale of zero: then there is no loss at all.
        if regularizer is not None and _has_loss(regularizer, variable):
            self.regularization_losses[name] = functools.partial(regularizer, variable)
        else:
            regularizer = None
        self._on_create(variable, name, regularizer, constraint)
        if not variable.trainable:
            self._untrained_by[name] = (self._current_call(name).method, users_line())
        if pending_value is None and variable._update_uid < 0:  # No checkpoint was waiting for it.
            self._initialized.add(variable.name)
        return variable

    def _let_be_trained(self, call: DecoratedCall, name: str) -> None:
        """Makes a variable trainable if the code that made it otherwise has changed its mind.

        TF1 code with `trainable=is_training` makes it so in the training graph, whichever graph was
        built first. Another method that reuses it at another line takes it as it is.
        """
        variable = self._vars[name]
        if variable.trainable or call.collections.has_met(variable):
            return
        method, line = self._untrained_by.get(name, ("", ""))
        if call.method != method and users_line() != line:
            return
        call.collections.made_variables = True  # As far as those are concerned who track it.
        with self.lock:
            if self._on_trainable is not None:
                self._on_trainable(name)
            make_trainable(variable)

    def take_initializer(self, variable: tf.Variable) -> bool:
        """Whether the variable was given its value by its initializer; at most once that it was."""
        name = without_autocast(variable).name
        is_initialized = name in self._initialized
        self._initialized.discard(name)
        return is_initialized

    def _read_in(
        self, dtype: tf.DType, name: str, variable: tf.Variable
    ) -> tf.Variable | AutocastVariable:
        # An initializer's own dtype is nothing that a policy decides on.
        if variable.dtype == dtype or variable.dtype != storage_dtype(dtype):
            return variable
        # The same object every time, so that a `tf.function` it is passed to is not traced anew.
        return self._autocast.setdefault((name, dtype), AutocastVariable(variable, dtype))

    def _current_call(self, name: str) -> DecoratedCall:
        call = current_call()
        if call is None:
            raise RuntimeError(
                f"Variable {name} was asked for in a thread of its own while its decorated method "
                "runs in another. Ask for variables before the thread starts."
            )
        function = call.nested_function()
        if function is not None:
            hide_own_frames()
            raise RuntimeError(
                f"Variable {name} was asked for in the tf.function {function.name} inside of a "
                f"decorated method of {type(call.owner).__name__}. A function keeps the variables "
                "it was traced with, so another object that calls it would get this object's. Put "
                "tf.function around the decorated method, or ask for the variable before the "
                "function and pass it in."
            )
        return call

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name, self._vars, n=3)
        return f"Near it: {', '.join(near)}. " if near else ""


def _brings_its_own_type(initializer: Any, shape: Any) -> bool:
    if initializer is None or isinstance(initializer, str):
        return False
    return shape is None or not callable(initializer)


def storage_dtype(dtype: tf.DType) -> tf.DType:
    """The dtype a variable is kept in where TF1 code asks for `dtype`.

    TF1 code asks for the dtype of its inputs, or for none. In a Keras layer with a mixed policy
    that is the compute dtype, and variables are to be kept in the policy's variable dtype.
    """
    call = current_call()
    if call is not None and dtype is call.policy.compute:
        return call.policy.variable
    return dtype


def _accepts_constraint(custom_getter: Callable) -> bool:
    # Custom getters written before TensorFlow 1.4 list their arguments and know no constraint.
    code = getattr(custom_getter, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_VARKEYWORDS:
        return True  # Said at once: signatures cost Slim's layers, with their getters, a sixth.
    return "constraint" in function_utils.fn_args(custom_getter) or function_utils.has_kwargs(
        custom_getter
    )


def _check_same(name: str, variable: tf.Variable, shape: Any, dtype: tf.DType | None) -> None:
    is_equal = isinstance(shape, list | tuple) and list(shape) == variable.shape.as_list()
    if (
        shape is not None
        and not is_equal  # Said first because it is quick, and every call comes by here.
        and not tf.TensorShape(shape).is_compatible_with(variable.shape)
    ):
        raise ValueError(
            f"Variable {name} has shape {tuple(variable.shape)} and is now asked for with shape "
            f"{tuple(tf.TensorShape(shape))}. Give the second use another name or variable scope, "
            "or the same shape. Where the shape follows the inputs, call the layer with inputs of "
            "the same shape."
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
        return _in_storage_dtype(_value_outside_of_functions(name, initializer)), None
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


def _converted(make_value: Callable[[], Any], dtype: Any) -> tf.Tensor:
    return tf.convert_to_tensor(make_value(), dtype)


def _default_initializer(name: str, dtype: tf.DType) -> Callable:
    if dtype.is_floating:
        return tf.compat.v1.glorot_uniform_initializer()
    if dtype.is_integer or dtype.is_bool or dtype == tf.string:
        return tf.compat.v1.zeros_initializer()
    raise ValueError(
        f"Variable {name} of dtype {dtype.name} needs an initializer: TF1 has no default for it."
    )


def _value_outside_of_functions(name: str, value: Any) -> Any:
    """The value of a tensor given as initializer, where the variable will be made.

    In a function that is being traced the tensor has no value yet. The ops that compute it are run
    once outside of the function, as `tf.function` does for the variables it lifts.
    """
    if not tf.is_tensor(value) or tf.executing_eagerly() or hasattr(value, "numpy"):
        return value

    @tf.function(autograph=False)
    def initial_value() -> tf.Tensor:
        graph = tf.compat.v1.get_default_graph()
        captured = [inside for _, inside in value.graph.captures]
        return lift_to_graph.lift_to_graph(
            [value], graph, sources=captured, handle_captures=True, base_graph=value.graph
        )[value]

    try:
        with tf.init_scope():
            return initial_value()
    except lift_to_graph.UnliftableError:
        raise ValueError(
            f"Variable {name}: its initializer ({value.name}) depends on an input of the function "
            "being traced, whose value is not known where the variable is made. Make the first "
            "call eagerly, or give an initializer that does not depend on inputs."
        ) from None


def _in_storage_dtype(value: Any) -> Any:
    if not hasattr(value, "dtype"):
        return value
    own_dtype = tf.as_dtype(value.dtype)
    if storage_dtype(own_dtype) == own_dtype:
        return value
    with tf.init_scope():
        return tf.cast(value, storage_dtype(own_dtype))


def _takes_no_arguments(function: Callable) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return all(
        p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
    )
