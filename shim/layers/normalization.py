"""TF1's batch normalization (https://arxiv.org/abs/1502.03167)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import variable_scope

from .autograph import without_autograph
from .base import Layer, as_dtype, as_shape, passed_on, size_of
from .conditions import constant_value, smart_cond

_CLIPPING_KEYS = {"rmax", "rmin", "dmax"}
_NO_AVERAGE = np.zeros(0, np.float32)


class BatchNormalization(Layer):
    """Batch normalization, `tf.compat.v1.layers.BatchNormalization`.

    Makes `gamma`, `beta`, `moving_mean` and `moving_variance`, each of the size of `axis`. With
    `training`, an argument of the call (bool, 0 or 1, boolean tensor or variable), the outputs are
    normalized by the batch's mean and biased variance, and the moving averages are updated: at once
    inside a decorated method, by ops in `UPDATE_OPS` in a TF1 graph. Else they are normalized by
    the moving averages. With `trainable=False` the moving averages stay as they are, but outputs in
    training are still normalized by the batch.

    The fused kernel, used for images and volumes, puts the unbiased variance (times n / (n - 1))
    into the moving average; without it the biased one is used.

    Args:
        axis: the channels' axis, or a list of axes that each have parameters of their own.
        momentum: share of the old value in the moving averages' update. (Slim calls it `decay` and
            has 0.999 where TF1's layers have 0.99.)
        epsilon: added to the variance.
        center: whether to add `beta`.
        scale: whether to multiply by `gamma`. (Slim has False.)
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer:
            initializers.
        beta_regularizer, gamma_regularizer: callables `variable -> scalar loss`, or None.
        beta_constraint, gamma_constraint: callables applied after an optimizer's step, or None.
        renorm: whether to use batch renormalization (https://arxiv.org/abs/1702.03275): in training
            the normalized values are corrected to `x * r + d`, towards moving averages of their
            own. It makes `moving_stddev`, `renorm_mean` and `renorm_stddev` besides.
        renorm_clipping: dictionary with any of `"rmin"`, `"rmax"` (limits of r) and `"dmax"` (limit
            of d's absolute value): floats or scalar tensors.
        renorm_momentum: `momentum` of the renormalization's moving averages.
        fused: False: never use the fused kernel; True or None: where it can be used.
        trainable: whether `gamma` and `beta` are trainable.
        virtual_batch_size: number of examples that are normalized together in training ("ghost"
            batches); it must divide the batch size. The parameters then have a dimension more than
            the inputs.
        adjustment: callable `inputs' shape, an int32 tensor -> (scale, bias)`; applied to the
            normalized values in training, before gamma and beta.
        name: name and variable scope.

    Raises:
        TypeError: an axis that is neither an integer nor a list of them.
        ValueError: `renorm_clipping` with other keys, `virtual_batch_size` below one, together with
            `adjustment` or with an axis of zero.
    """

    def __init__(
        self,
        axis: int | list[int] | tuple[int, ...] = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = tf.compat.v1.zeros_initializer(),
        gamma_initializer: Any = tf.compat.v1.ones_initializer(),
        moving_mean_initializer: Any = tf.compat.v1.zeros_initializer(),
        moving_variance_initializer: Any = tf.compat.v1.ones_initializer(),
        beta_regularizer: Callable | None = None,
        gamma_regularizer: Callable | None = None,
        beta_constraint: Callable | None = None,
        gamma_constraint: Callable | None = None,
        renorm: bool = False,
        renorm_clipping: dict[str, Any] | None = None,
        renorm_momentum: float = 0.99,
        fused: bool | None = None,
        trainable: bool = True,
        virtual_batch_size: int | None = None,
        adjustment: Callable | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(trainable=trainable, name=name, **kwargs)
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = center
        self.scale = scale
        self.beta_initializer = beta_initializer
        self.gamma_initializer = gamma_initializer
        self.moving_mean_initializer = moving_mean_initializer
        self.moving_variance_initializer = moving_variance_initializer
        self.beta_regularizer = beta_regularizer
        self.gamma_regularizer = gamma_regularizer
        self.beta_constraint = beta_constraint
        self.gamma_constraint = gamma_constraint
        self.renorm = renorm
        self.renorm_clipping = renorm_clipping or {}
        self.renorm_momentum = renorm_momentum
        self.fused = fused
        self.virtual_batch_size = virtual_batch_size
        self.adjustment = adjustment
        self.beta = None
        self.gamma = None
        self._check_arguments()

    def _check_arguments(self) -> None:
        wrong_keys = set(self.renorm_clipping) - _CLIPPING_KEYS
        if self.renorm and wrong_keys:
            raise ValueError(
                f"Batch normalization {self.name}: renorm_clipping has keys among "
                f"{sorted(_CLIPPING_KEYS)}, got {sorted(wrong_keys)}."
            )
        if self.virtual_batch_size is None:
            return
        if self.virtual_batch_size < 1:
            raise ValueError(
                f"Batch normalization {self.name}: virtual_batch_size must be a positive integer "
                f"that divides the batch size, got {self.virtual_batch_size!r}."
            )
        if self.adjustment is not None:
            raise ValueError(
                f"Batch normalization {self.name}: adjustment and virtual_batch_size do not go "
                "together. Leave one of them out."
            )

    def build(self, input_shape: Any) -> None:
        input_shape = as_shape(input_shape)
        rank = input_shape.rank
        if rank is None:
            raise ValueError(
                f"Batch normalization {self.name} got inputs of undefined rank. Give them a shape."
            )
        self._axes = self._positive_axes(rank)
        self._data_format = self._fused_data_format(rank)
        dtype = self.dtype or tf.float32
        self._parameter_dtype = tf.float32 if dtype in (tf.float16, tf.bfloat16) else dtype
        shape = self._parameter_shape(input_shape)
        if self.scale:
            self.gamma = self._parameter("gamma", shape)
        if self.center:
            self.beta = self._parameter("beta", shape)
        self.moving_mean = self._average("moving_mean", shape, self.moving_mean_initializer)
        self.moving_variance = self._average(
            "moving_variance", shape, self.moving_variance_initializer
        )
        if self.renorm:
            self.moving_stddev = self._average("moving_stddev", shape, self._initial_stddev)
            self.renorm_mean = self._average("renorm_mean", shape, self.moving_mean_initializer)
            self.renorm_stddev = self._average("renorm_stddev", shape, self._initial_stddev)

    def _positive_axes(self, rank: int) -> tuple[int, ...]:
        axes = list(self.axis) if isinstance(self.axis, list | tuple) else [self.axis]
        if not all(isinstance(axis, int) for axis in axes):
            raise TypeError(
                f"Batch normalization {self.name}: axis must be an integer or a list of them, got "
                f"{self.axis!r}."
            )
        positive = tuple(axis % rank for axis in axes if -rank <= axis < rank)
        if not axes or len(set(positive)) < len(axes):
            raise ValueError(
                f"Batch normalization {self.name} needs an axis between {-rank} and {rank - 1}, or "
                f"several different ones, for inputs of rank {rank}; got axis={self.axis!r}."
            )
        if self.virtual_batch_size is not None and 0 in positive:
            raise ValueError(
                f"Batch normalization {self.name}: with virtual_batch_size axis 0 is the batch and "
                f"cannot be normalized, got axis={self.axis!r}."
            )
        return positive

    def _fused_data_format(self, rank: int) -> str | None:
        """The data format for the fused kernel, None where it is not to be used."""
        if self.fused is False or self.renorm:
            return None
        if self.virtual_batch_size is not None or self.adjustment is not None:
            return None
        if self.dtype not in (tf.float16, tf.bfloat16, tf.float32):
            return None
        if len(self._axes) > 1:
            return None
        formats = {(4, 1): "NCHW", (4, 3): "NHWC", (5, 1): "NCDHW", (5, 4): "NDHWC"}
        return formats.get((rank, self._axes[0]))

    def _parameter_shape(self, input_shape: tf.TensorShape) -> list[int]:
        sizes = {axis: size_of(input_shape, axis) for axis in self._axes}
        if None in sizes.values():
            raise ValueError(
                f"Batch normalization {self.name}: the size of axis {self.axis} is undefined in "
                f"inputs of shape {input_shape}. Give the inputs a shape that has it."
            )
        if len(sizes) == 1 and self.virtual_batch_size is None:
            return list(sizes.values())
        shape = [sizes.get(axis, 1) for axis in range(input_shape.rank)]
        if self.virtual_batch_size is not None:
            shape.insert(1, 1)
        return shape

    def _parameter(self, name: str, shape: list[int]) -> Any:
        return self.add_weight(
            name,
            shape,
            dtype=self._parameter_dtype,
            initializer=getattr(self, f"{name}_initializer"),
            regularizer=getattr(self, f"{name}_regularizer"),
            constraint=getattr(self, f"{name}_constraint"),
        )

    def _average(self, name: str, shape: list[int], initializer: Any) -> Any:
        # In one piece, also where the variable scope has a partitioner.
        scope = variable_scope.get_variable_scope()
        partitioner = scope.partitioner
        scope.set_partitioner(None)
        try:
            return self.add_weight(
                name,
                shape,
                dtype=self._parameter_dtype,
                initializer=initializer,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.MEAN,
            )
        finally:
            scope.set_partitioner(partitioner)

    def _initial_stddev(self, shape: Any, dtype: Any = None) -> tf.Tensor:
        initializer = self.moving_variance_initializer
        if isinstance(initializer, str):
            initializer = keras.initializers.get(initializer)
        return tf.sqrt(initializer(shape, dtype=dtype))

    def call(self, inputs: tf.Tensor, training: Any = False) -> tf.Tensor:
        inputs = as_dtype(inputs, self.dtype)
        if self._data_format is not None:
            return self._fused_batch_norm(inputs, training)
        if self.virtual_batch_size is None:
            return self._batch_norm(inputs, training, self._axes)
        # The examples of a virtual batch stand in the first dimension, the batches in the second.
        shape = tf.shape(inputs)
        examples = [-1, 1] if constant_value(training) is False else [self.virtual_batch_size, -1]
        batches = tf.reshape(inputs, tf.concat([examples, shape[1:]], axis=0))
        outputs = self._batch_norm(batches, training, tuple(axis + 1 for axis in self._axes))
        outputs = tf.reshape(outputs, shape)
        outputs.set_shape(inputs.shape)
        return outputs

    def _fused_batch_norm(self, inputs: tf.Tensor, training: Any) -> tf.Tensor:
        # The kernel's factor is an attribute, so a momentum that is a tensor averages outside.
        averages_in_kernel = _updates_at_once() and isinstance(self.momentum, int | float)

        def run(is_training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            use_moving = averages_in_kernel or not is_training
            # The op itself, as it reads variables in C++; the function around it does in Python.
            outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
                x=inputs,
                scale=self._constant(1.0) if self.gamma is None else self.gamma,
                offset=self._constant(0.0) if self.beta is None else self.beta,
                mean=self.moving_mean if use_moving else _NO_AVERAGE,
                variance=self.moving_variance if use_moving else _NO_AVERAGE,
                epsilon=self.epsilon,
                data_format=self._data_format,
                is_training=is_training,
                exponential_avg_factor=1.0 - self.momentum if averages_in_kernel else 1.0,
            )
            return outputs, mean, variance

        outputs, mean, variance = smart_cond(training, lambda: run(True), lambda: run(False))
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            if averages_in_kernel:
                update = functools.partial(_assign, value=value, inputs=inputs)
            else:
                update = functools.partial(_move, to=value, momentum=self.momentum, inputs=inputs)
            self._update(moving, update, training)
        return outputs

    def _constant(self, value: float) -> np.ndarray:
        # An array, for an op that makes it would cost an eager call a fifth more.
        return np.full(self.moving_mean.shape, value, self._parameter_dtype.as_numpy_dtype)

    def _batch_norm(self, inputs: tf.Tensor, training: Any, axes: tuple[int, ...]) -> tf.Tensor:
        dtype = inputs.dtype
        inputs = as_dtype(inputs, self._parameter_dtype)
        spread = functools.partial(_spread, axes=axes, rank=inputs.shape.rank)
        scale, offset = spread(self.gamma), spread(self.beta)
        if constant_value(training) is False:
            mean, variance = self.moving_mean, self.moving_variance
        else:
            if self.adjustment is not None:
                scale, offset = _composed(*self._adjusted(inputs, training), scale, offset)
            mean, variance = self._statistics(inputs, training, axes)
            averages = mean, variance
            if self.virtual_batch_size is not None:
                averages = tuple(tf.reduce_mean(each, axis=1, keepdims=True) for each in averages)
            if self.renorm:
                r, d = self._renormalize(*averages, inputs, training)
                scale, offset = _composed(spread(r), spread(d), scale, offset)
            else:
                self._update_averages(*averages, inputs, training)
        outputs = tf.nn.batch_normalization(
            inputs, spread(mean), spread(variance), offset, scale, self.epsilon
        )
        return as_dtype(outputs, dtype)

    def _adjusted(self, inputs: tf.Tensor, training: Any) -> tuple[tf.Tensor, tf.Tensor]:
        scale, bias = self.adjustment(tf.shape(inputs))
        return (
            smart_cond(training, lambda: scale, lambda: tf.ones_like(scale)),
            smart_cond(training, lambda: bias, lambda: tf.zeros_like(bias)),
        )

    def _statistics(
        self, inputs: tf.Tensor, training: Any, axes: tuple[int, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The batch's mean and biased variance in training, else the moving averages."""
        is_virtual = self.virtual_batch_size is not None
        kept = (1, *axes) if is_virtual else axes
        reduced = [axis for axis in range(inputs.shape.rank) if axis not in kept]
        return smart_cond(
            training,
            lambda: tuple(tf.nn.moments(inputs, reduced, keepdims=is_virtual or len(axes) > 1)),
            lambda: (tf.identity(self.moving_mean), tf.identity(self.moving_variance)),
        )

    def _update_averages(
        self, mean: tf.Tensor, variance: tf.Tensor, inputs: tf.Tensor, training: Any
    ) -> None:
        move = functools.partial(_move, momentum=self.momentum, inputs=inputs)
        self._update(self.moving_mean, functools.partial(move, to=mean), training)
        if self.renorm:
            move = functools.partial(self._move_stddev_and_variance, inputs=inputs)
        self._update(self.moving_variance, functools.partial(move, to=variance), training)

    def _renormalize(
        self, mean: tf.Tensor, variance: tf.Tensor, inputs: tf.Tensor, training: Any
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Updates all moving averages, and returns the corrections r and d by the old ones."""
        stddev = tf.sqrt(variance + self.epsilon)
        old_stddev = tf.maximum(self.renorm_stddev, self.epsilon**0.5)
        r = stddev / old_stddev
        d = (mean - self.renorm_mean) / old_stddev
        move = functools.partial(_move, momentum=self.renorm_momentum, inputs=inputs)
        with _control_dependencies([r, d]):
            updates = [
                self._run_in_training(
                    moving, functools.partial(move, to=tf.identity(value)), training
                )
                for moving, value in ((self.renorm_mean, mean), (self.renorm_stddev, stddev))
            ]
        # A session that runs the updates of the other averages runs these.
        with _control_dependencies([update for update in updates if update is not None]):
            self._update_averages(tf.identity(mean), tf.identity(variance), inputs, training)
        r, d = self._clipped(r, d)
        return (
            tf.stop_gradient(smart_cond(training, lambda: r, lambda: tf.ones_like(r))),
            tf.stop_gradient(smart_cond(training, lambda: d, lambda: tf.zeros_like(d))),
        )

    def _clipped(self, r: tf.Tensor, d: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        limits = self.renorm_clipping
        if limits.get("rmin") is not None:
            r = tf.maximum(r, limits["rmin"])
        if limits.get("rmax") is not None:
            r = tf.minimum(r, limits["rmax"])
        if limits.get("dmax") is not None:
            d = tf.minimum(tf.maximum(d, -limits["dmax"]), limits["dmax"])
        return r, d

    def _move_stddev_and_variance(self, moving: Any, to: tf.Tensor, inputs: tf.Tensor) -> Any:
        """Batch renormalization averages the standard deviation; the variance follows it."""
        moved = _move(self.moving_stddev, tf.sqrt(to + self.epsilon), self.momentum, inputs)
        stddev = self.moving_stddev if _updates_at_once() else moved
        # Rounding may take a variance near zero below it.
        return _assign(moving, tf.nn.relu(stddev * stddev - self.epsilon), inputs)

    def _update(self, moving: Any, update: Callable[[Any], Any], training: Any) -> None:
        operation = self._run_in_training(moving, update, training)
        if operation is not None and not _updates_at_once():
            self.add_update(operation)

    def _run_in_training(self, moving: Any, update: Callable[[Any], Any], training: Any) -> Any:
        """Runs `update(moving)` where `training` is true; its operation, None if it never runs."""
        if constant_value(training) is False or not self.trainable:
            return None
        if constant_value(training):
            return update(moving)

        def update_and_read() -> Any:
            operation = update(moving)
            return tf.identity(moving if _updates_at_once() else operation)

        return tf.cond(tf.cast(training, tf.bool), update_and_read, lambda: tf.identity(moving))


def _updates_at_once() -> bool:
    """Everywhere but in a TF1 graph, where a session runs the ops of `UPDATE_OPS`."""
    return ops.executing_eagerly_outside_functions()


def _control_dependencies(operations: list[Any]) -> Any:
    """`tf.control_dependencies` in TF1 graphs; elsewhere ops run in the order of the program."""
    return tf.control_dependencies([] if _updates_at_once() else operations)


def _assign(moving: Any, value: tf.Tensor, inputs: tf.Tensor) -> Any:
    value = _unless_empty(inputs, value, moving)
    if _updates_at_once():
        return moving.assign(value, read_value=False)
    with tf.name_scope("AssignNewValue"):
        return tf.compat.v1.assign(moving, value)


def _move(moving: Any, to: tf.Tensor, momentum: Any, inputs: tf.Tensor) -> Any:
    """Moves an average to a value, by the share of `1 - momentum`."""
    delta = (moving - as_dtype(to, moving.dtype)) * tf.cast(1.0 - momentum, moving.dtype)
    delta = _unless_empty(inputs, delta, tf.zeros_like(delta))
    if _updates_at_once():
        return moving.assign_sub(delta, read_value=False)
    with tf.name_scope("AssignMovingAvg"):
        return tf.compat.v1.assign_sub(moving, delta)


def _unless_empty(inputs: tf.Tensor, value: tf.Tensor, otherwise: Any) -> tf.Tensor:
    # The last batch of an epoch can leave a replica without an example, and its statistics are NaN.
    if not tf.distribute.has_strategy():
        return value
    return tf.where(tf.equal(tf.size(inputs), 0), otherwise, value)


def _spread(parameter: Any, axes: tuple[int, ...], rank: int) -> Any:
    """Reshapes a parameter of one axis so that it broadcasts to inputs of `rank` dimensions."""
    if parameter is None or parameter.shape.rank == rank or axes == (rank - 1,):
        return parameter
    shape = [1] * rank
    shape[axes[0]] = -1
    return tf.reshape(parameter, shape)


def _composed(
    first_scale: tf.Tensor, first_offset: tf.Tensor, scale: Any, offset: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Scale and offset of `x * first_scale + first_offset` followed by `* scale + offset`."""
    if scale is not None:
        first_scale, first_offset = first_scale * scale, first_offset * scale
    return first_scale, first_offset if offset is None else first_offset + offset


@without_autograph
def batch_normalization(
    inputs: tf.Tensor,
    axis: int = -1,
    momentum: float = 0.99,
    epsilon: float = 1e-3,
    center: bool = True,
    scale: bool = True,
    beta_initializer: Any = tf.compat.v1.zeros_initializer(),
    gamma_initializer: Any = tf.compat.v1.ones_initializer(),
    moving_mean_initializer: Any = tf.compat.v1.zeros_initializer(),
    moving_variance_initializer: Any = tf.compat.v1.ones_initializer(),
    beta_regularizer: Callable | None = None,
    gamma_regularizer: Callable | None = None,
    beta_constraint: Callable | None = None,
    gamma_constraint: Callable | None = None,
    training: Any = False,
    trainable: bool = True,
    name: str | None = None,
    reuse: bool | None = None,
    renorm: bool = False,
    renorm_clipping: dict[str, Any] | None = None,
    renorm_momentum: float = 0.99,
    fused: bool | None = None,
    virtual_batch_size: int | None = None,
    adjustment: Callable | None = None,
) -> tf.Tensor:
    """Normalizes `inputs`, by the batch's statistics where `training`; see `BatchNormalization`."""
    arguments = passed_on(locals(), "inputs", "training", "reuse")
    layer = BatchNormalization(**arguments, _scope=name, _reuse=reuse)
    return layer(inputs, training=training)
