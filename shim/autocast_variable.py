"""Variables that TF1 code reads in another dtype than they are kept in."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.types import core

from .call_state import current_call


class AutocastVariable(core.Tensor):
    """A float variable of a layer with a mixed policy, as TF1 code sees it: in the compute dtype.

    All that reads it (ops, operators, `value`, `numpy`) gets values of `dtype`; what writes it may
    bring values of that dtype or of the variable's own. Everything else is the variable's, and
    gradients flow to it in its own dtype. It counts as a `tf.Variable`.

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
        return write(*map(cast, args), **{key: cast(value) for key, value in kwargs.items()})

    return casting_write
