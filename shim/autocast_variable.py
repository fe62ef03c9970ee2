"""Variables that TF1 code reads in another dtype than they are kept in."""

from __future__ import annotations

import types
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops, state_ops
from tensorflow.python.types import core, trace

from .call_state import current_call


class AutocastVariable(core.Tensor):
    """A float variable of a layer with a mixed policy, as TF1 code sees it: in the compute dtype.

    All that reads it (ops, operators, `value`, `numpy`) gets values of `dtype`; what writes it may
    bring values of that dtype or of the variable's own. Everything else is the variable's, and
    gradients flow to it in its own dtype. It counts as a `tf.Variable`; a `tf.function` that it is
    passed to reads it as all others do.

    Args:
        variable: float variable, or a strategy's distributed variable.
        dtype: dtype to read it in.
    """

    # Gradients are asked for by the variable's handle.
    _should_act_as_resource_variable = True

    def __init__(self, variable: tf.Variable, dtype: tf.DType) -> None:
        self.variable = variable
        self._dtype = dtype

    @property
    def dtype(self) -> tf.DType:
        return self._dtype

    @property
    def shape(self) -> tf.TensorShape:
        return self.variable.shape

    def value(self) -> tf.Tensor:
        return tf.cast(self.variable.value(), self._dtype)

    def read_value(self) -> tf.Tensor:
        return tf.cast(self.variable.read_value(), self._dtype)

    def sparse_read(self, indices: Any, name: str | None = None) -> tf.Tensor:
        return tf.cast(self.variable.sparse_read(indices, name=name), self._dtype)

    def gather_nd(self, indices: Any, name: str | None = None) -> tf.Tensor:
        return tf.cast(self.variable.gather_nd(indices, name=name), self._dtype)

    def numpy(self) -> Any:
        return self.value().numpy()

    def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
        # Beside float32 tensors, where an op asks for that dtype, no digits need be lost.
        if dtype is not None and dtype.is_compatible_with(self.variable.dtype):
            return tf.convert_to_tensor(self.variable, name=name)
        return tf.convert_to_tensor(self.value(), dtype, name=name)

    def __tf_tracing_type__(self, context: trace.TracingContext) -> trace.TraceType:
        return _OneVariable(self)

    def _lazy_read(self, operation: Any) -> AutocastVariable:
        return AutocastVariable(self.variable._lazy_read(operation), self._dtype)

    def __repr__(self):
        return f"<AutocastVariable read as {self._dtype.name} of {self.variable!r}>"

    def __getattr__(self, name: str) -> Any:
        if name == "variable":  # Copying asks before there is one.
            raise AttributeError(name)
        attribute = getattr(self.variable, name)
        if name.startswith(("assign", "scatter_", "batch_scatter_", "_strided_slice_assign")):
            return _casting_what_it_writes(attribute, self._dtype, self.variable.dtype)
        return attribute

    # TF1 code looks variables up in lists and dictionaries, and may find there what it is made of.
    def __eq__(self, other: Any) -> Any:
        if current_call() is None:
            return tf.Variable.__eq__(self, other)
        return other == self.variable

    def __ne__(self, other: Any) -> Any:
        if current_call() is None:
            return tf.Variable.__ne__(self, other)
        return other != self.variable

    def __hash__(self) -> int:
        return hash(self.variable)

    __iter__ = tf.Variable.__iter__
    __array_priority__ = tf.Variable.__array_priority__
    ref = tf.Variable.ref


for _operator in tf.Tensor.OVERLOADABLE_OPERATORS - {"__eq__", "__ne__"}:
    setattr(AutocastVariable, _operator, getattr(tf.Variable, _operator))

# In name only: a real subclass would answer with methods that `tf.Variable` does not implement,
# and a resource variable's subclass be read by TensorFlow's eager fast path past the cast.
tf.Variable.register(AutocastVariable)


def without_autocast(variable: Any) -> Any:
    """The variable itself behind an `AutocastVariable`; anything else as it is."""
    return variable.variable if isinstance(variable, AutocastVariable) else variable


def _casting_what_it_writes(write: Any, from_dtype: tf.DType, to_dtype: tf.DType) -> Any:
    def cast(value: Any) -> Any:
        is_tensor = tf.is_tensor(value) or isinstance(value, tf.IndexedSlices)
        return tf.cast(value, to_dtype) if is_tensor and value.dtype == from_dtype else value

    def casting_write(*args: Any, **kwargs: Any) -> Any:
        written = write(*map(cast, args), **{key: cast(value) for key, value in kwargs.items()})
        is_variable = isinstance(written, tf.Variable) and written.dtype == to_dtype
        return AutocastVariable(written, from_dtype) if is_variable else written

    return casting_write


class _OneVariable(trace.TraceType):
    """How `tf.function` knows an `AutocastVariable` that is an argument: it is traced for each.

    Args:
        variable: the argument.
    """

    def __init__(self, variable: AutocastVariable) -> None:
        # Weakly, for a function keeps what it has been traced for.
        self._argument = weakref.ref(variable)
        self._key = (variable.variable._unique_id, variable.dtype)

    def is_subtype_of(self, other: trace.TraceType) -> bool:
        return self == other

    def most_specific_common_supertype(
        self, others: Sequence[trace.TraceType]
    ) -> _OneVariable | None:
        return self if all(self == other for other in others) else None

    def placeholder_value(self, placeholder_context: Any) -> AutocastVariable | None:
        return self._argument()

    def cast(self, value: Any, cast_context: Any) -> Any:
        return value

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _OneVariable) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class _CastingOps(types.ModuleType):
    """A module of ops as `state_ops` sees it: those that scatter take the dtype that is read.

    `tf.compat.v1.scatter_update` and its like ask a variable for handle and dtype apart, and some
    that do not agree make TensorFlow end the process.
    """

    def __init__(self, module: types.ModuleType) -> None:
        super().__init__(module.__name__)
        self._module = module

    def __getattr__(self, name: str) -> Any:
        op = getattr(self._module, name)
        return _writing_in_kept_dtype(op) if name.startswith("resource_scatter_") else op


def _writing_in_kept_dtype(write: Callable) -> Callable:
    def casting_write(handle: Any, indices: Any, updates: Any, *args: Any, **kwargs: Any) -> Any:
        kept = resource_variable_ops.get_eager_safe_handle_data(handle).shape_and_type
        if kept and tf.is_tensor(updates):
            updates = tf.cast(updates, tf.as_dtype(kept[0].dtype))
        return write(handle, indices, updates, *args, **kwargs)

    return casting_write


# (module, name, value): in place of what TensorFlow writes with, while a decorated method runs.
REPLACEMENTS: list[tuple[Any, str, Any]] = [
    (state_ops, module, _CastingOps(getattr(state_ops, module)))
    for module in ("gen_resource_variable_ops", "gen_state_ops")
]
