"""`tf.train.ExponentialMovingAverage` of tensors, from which TF1 code makes its own batch norm."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import variable_scope

from .autocast_variable import without_autocast
from .call_state import current_call

_APPLY = tf.train.ExponentialMovingAverage.apply
_AVERAGE = tf.train.ExponentialMovingAverage.average


@dataclasses.dataclass(frozen=True)
class TensorAverage:
    """The average of one tensor of a decorated call.

    Args:
        of: what takes the average.
        tensor: the tensor; each call has another in its place.
        name: the name asked for in the variable scope, without number.
        variable: the average, the same in every call.
    """

    of: tf.train.ExponentialMovingAverage
    tensor: tf.Tensor
    name: str
    variable: tf.Variable


def apply(average: tf.train.ExponentialMovingAverage, var_list: Any = None) -> Any:
    """In place of `ExponentialMovingAverage.apply`, which takes no tensors in TF2.

    Args:
        average: the object whose method it is.
        var_list: tensors and variables; None: all trainable variables.

    Returns:
        The operation that updates the averages, None where it has run.

    Raises:
        ValueError: it is to correct averages of tensors for their start at zero.
    """
    tensors = _tensors(var_list)
    if not tensors:
        return _APPLY(average, var_list)
    if average._zero_debias:
        raise ValueError(
            f"{average.name}: averages of tensors with zero_debias=True can't be taken in a "
            "decorated method. Leave zero_debias out, or divide the average by 1 - decay^steps."
        )
    decay = _decay(average)
    updates = []
    for tensor in tensors:
        moving = without_autocast(_average_of(average, tensor))
        towards = moving - tf.cast(tensor, moving.dtype)
        updates.append(moving.assign_sub(towards * tf.cast(1.0 - decay, moving.dtype)))
    variables = [each for each in var_list if isinstance(each, tf.Variable)]
    if variables:
        updates.append(_APPLY(average, variables))
    return tf.group(*updates)


def average_of(average: tf.train.ExponentialMovingAverage, var: Any) -> tf.Variable | None:
    """In place of `ExponentialMovingAverage.average`: the average of a tensor or variable."""
    return _average_of(average, var) if _tensors([var]) else _AVERAGE(average, var)


def _tensors(var_list: Any) -> list[tf.Tensor]:
    if current_call() is None or not ops.executing_eagerly_outside_functions():
        return []
    return [each for each in var_list or () if not isinstance(each, tf.Variable)]


def _decay(average: tf.train.ExponentialMovingAverage) -> Any:
    if average._num_updates is None:
        return average._decay
    updates = tf.cast(average._num_updates, tf.float32)
    return tf.minimum(average._decay, (1.0 + updates) / (10.0 + updates))


def _average_of(average: tf.train.ExponentialMovingAverage, tensor: tf.Tensor) -> tf.Variable:
    """The average of a tensor: in each call that of the n-th tensor asked for in its scope.

    TF1 named it by the tensor's op, and eager tensors have none.
    """
    call = current_call()
    known = call.tensor_averages
    for each in known:
        if each.of is average and each.tensor is tensor:
            return each.variable
    scope = variable_scope.get_variable_scope().name
    name = f"{scope}/{average.name}" if scope else average.name
    number = sum(each.name == name for each in known)
    variable = variable_scope.get_variable(
        f"{average.name}_{number}" if number else average.name,
        tensor.shape,
        tensor.dtype,
        initializer=tf.compat.v1.zeros_initializer(),
        regularizer=_no_loss,
        trainable=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
    )
    known.append(TensorAverage(average, tensor, name, variable))
    return variable


def _no_loss(variable: tf.Variable) -> None:
    """A regularizer, for the variable scope's own is not for averages."""


# (holder, name, value): in place of TensorFlow's, while a decorated method runs.
REPLACEMENTS: list[tuple[Any, str, Any]] = [
    (tf.train.ExponentialMovingAverage, "apply", apply),
    (tf.train.ExponentialMovingAverage, "average", average_of),
]
