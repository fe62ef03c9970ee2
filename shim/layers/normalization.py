"""TF1's batch normalization (https://arxiv.org/abs/1502.03167)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

from .base import Layer, constant_value, smart_cond


class BatchNormalization(Layer):
    """Batch normalization, `tf.compat.v1.layers.BatchNormalization`.

    Makes `gamma`, `beta`, `moving_mean` and `moving_variance`, each of the size of `axis`. In
    training the outputs are normalized by the batch's mean and biased variance, and the moving
    averages are updated: at once inside a decorated method, by ops in `UPDATE_OPS` in a TF1 graph.
    The fused kernel, used for images, puts the unbiased variance (times n / (n - 1)) into the
    moving average; without it the biased one is used.

    Args:
        axis: the channels' axis.
        momentum: share of the old value in the moving averages' update. (Slim calls it `decay` and
            has 0.999 where TF1's layers have 0.99.)
        epsilon: added to the variance.
        center: whether to add `beta`.
        scale: whether to multiply by `gamma`.
        beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer:
            initializers.
        beta_regularizer, gamma_regularizer: callables `variable -> scalar loss`, or None.
        beta_constraint, gamma_constraint: callables applied after an optimizer's step, or None.
        renorm, renorm_clipping, renorm_momentum: batch renormalization; not supported.
        fused: True: the fused kernel or an error, None: where the kernel can be used, False: never.
        trainable: whether `gamma` and `beta` are trainable.
        virtual_batch_size: not supported.
        adjustment: not supported.
        name: name and variable scope.

    Raises:
        ValueError: an argument that is not supported, or `fused=True` where the kernel can't be
            used.
    """

    def __init__(
        self,
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
        del renorm_clipping, renorm_momentum  # Only read with `renorm`.
        for argument, value in (
            ("renorm", renorm),
            ("virtual_batch_size", virtual_batch_size),
            ("adjustment", adjustment),
        ):
            if value:
                raise ValueError(
                    f"Batch normalization {self.name}: {argument}={value!r} is not supported. "
                    f"Leave {argument} out."
                )
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
        self.fused = fused
        self.beta = None
        self.gamma = None

    def build(self, input_shape: tf.TensorShape) -> None:
        rank = input_shape.rank
        if rank is None:
            raise ValueError(
                f"Batch normalization {self.name} needs inputs of known rank, got {input_shape}."
            )
        self._axis = self._positive_axis(rank)
        channels = input_shape[self._axis]
        if channels is None:
            raise ValueError(
                f"Batch normalization {self.name} needs a known size of axis {self.axis}, got "
                f"inputs of shape {input_shape}."
            )
        self._use_fused = self._decide_fused(rank)
        self._parameter_dtype = (
            tf.float32 if self.dtype in (tf.float16, tf.bfloat16) else self.dtype
        )
        if self.scale:
            self.gamma = self._add_parameter("gamma", channels)
        if self.center:
            self.beta = self._add_parameter("beta", channels)
        self.moving_mean = self._add_moving_average("moving_mean", channels)
        self.moving_variance = self._add_moving_average("moving_variance", channels)

    def _positive_axis(self, rank: int) -> int:
        axis = self.axis[0] if isinstance(self.axis, list | tuple) else self.axis
        if (isinstance(self.axis, list | tuple) and len(self.axis) != 1) or not (
            -rank <= axis < rank
        ):
            raise ValueError(
                f"Batch normalization {self.name} needs one axis between {-rank} and {rank - 1} "
                f"for inputs of rank {rank}, got axis={self.axis!r}."
            )
        return axis % rank

    def _decide_fused(self, rank: int) -> bool:
        has_kernel = self.dtype in (tf.float16, tf.bfloat16, tf.float32)
        possible = rank == 4 and self._axis in (1, 3) and has_kernel
        if self.fused and not possible:
            raise ValueError(
                f"Batch normalization {self.name}: fused=True works on float32 and half-precision "
                f"inputs of rank 4 with axis 1 or 3, got {self.dtype.name} of rank {rank} and "
                f"axis={self.axis!r}. Leave fused out."
            )
        return possible if self.fused is None else self.fused

    def _add_parameter(self, name: str, channels: int) -> tf.Variable:
        return self.add_weight(
            name,
            [channels],
            dtype=self._parameter_dtype,
            initializer=getattr(self, f"{name}_initializer"),
            regularizer=getattr(self, f"{name}_regularizer"),
            constraint=getattr(self, f"{name}_constraint"),
        )

    def _add_moving_average(self, name: str, channels: int) -> tf.Variable:
        return self.add_weight(
            name,
            [channels],
            dtype=self._parameter_dtype,
            initializer=getattr(self, f"{name}_initializer"),
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.MEAN,
        )

    def call(self, inputs: tf.Tensor, training: Any = False) -> tf.Tensor:
        if self._use_fused:
            return self._fused_batch_norm(inputs, training)
        return self._batch_norm(inputs, training)

    def _fused_batch_norm(self, inputs: tf.Tensor, training: Any) -> tf.Tensor:
        updates_in_kernel = _updates_at_once()

        def run(is_training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            use_moving = updates_in_kernel or not is_training
            return tf.compat.v1.nn.fused_batch_norm(
                inputs,
                self._constant(1.0) if self.gamma is None else self.gamma,
                self._constant(0.0) if self.beta is None else self.beta,
                mean=self.moving_mean if use_moving else None,
                variance=self.moving_variance if use_moving else None,
                epsilon=self.epsilon,
                data_format="NHWC" if self._axis == 3 else "NCHW",
                is_training=is_training,
                exponential_avg_factor=1.0 - self.momentum if updates_in_kernel else 1.0,
            )

        if updates_in_kernel:

            def train() -> tf.Tensor:
                outputs, mean, variance = run(True)
                if tf.distribute.has_strategy():
                    # The last batch of an epoch can leave a replica without an image; the kernel
                    # then answers with NaN.
                    is_empty = tf.equal(tf.size(inputs), 0)
                    mean = tf.where(is_empty, self.moving_mean, mean)
                    variance = tf.where(is_empty, self.moving_variance, variance)
                self.moving_mean.assign(mean)
                self.moving_variance.assign(variance)
                return outputs

            return smart_cond(training, train, lambda: run(False)[0])

        outputs, mean, variance = smart_cond(training, lambda: run(True), lambda: run(False))
        self._update_moving_averages(mean, variance, training)
        return outputs

    def _constant(self, value: float) -> tf.Tensor:
        return tf.fill(self.moving_mean.shape, tf.cast(value, self._parameter_dtype))

    def _batch_norm(self, inputs: tf.Tensor, training: Any) -> tf.Tensor:
        outputs_dtype = inputs.dtype
        inputs = tf.cast(inputs, self._parameter_dtype)
        axes = [axis for axis in range(inputs.shape.rank) if axis != self._axis]

        def train() -> tuple[tf.Tensor, tf.Tensor]:
            mean, variance = tf.nn.moments(inputs, axes)
            if _updates_at_once():
                self._update_moving_averages(mean, variance, True)
            return mean, variance

        mean, variance = smart_cond(
            training,
            train,
            lambda: (tf.identity(self.moving_mean), tf.identity(self.moving_variance)),
        )
        if not _updates_at_once():
            self._update_moving_averages(mean, variance, training)
        outputs = tf.nn.batch_normalization(
            inputs,
            self._broadcast(mean, inputs),
            self._broadcast(variance, inputs),
            self._broadcast(self.beta, inputs),
            self._broadcast(self.gamma, inputs),
            self.epsilon,
        )
        return tf.cast(outputs, outputs_dtype)

    def _broadcast(self, value: Any, inputs: tf.Tensor) -> Any:
        if value is None or self._axis == inputs.shape.rank - 1:
            return value
        shape = [1] * inputs.shape.rank
        shape[self._axis] = -1
        return tf.reshape(value, shape)

    def _update_moving_averages(self, mean: tf.Tensor, variance: tf.Tensor, training: Any) -> None:
        if constant_value(training) is False:
            return
        decay = smart_cond(
            training, lambda: tf.constant(1.0 - self.momentum), lambda: tf.constant(0.0)
        )
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            delta = (moving - tf.cast(value, moving.dtype)) * tf.cast(decay, moving.dtype)
            if _updates_at_once():
                moving.assign_sub(delta)
            else:
                with tf.name_scope("AssignMovingAvg"):
                    self.add_update(tf.compat.v1.assign_sub(moving, delta))


def _updates_at_once() -> bool:
    """Everywhere but in a TF1 graph, where a session runs the ops of `UPDATE_OPS`."""
    return ops.executing_eagerly_outside_functions()


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
    layer = BatchNormalization(
        axis=axis,
        momentum=momentum,
        epsilon=epsilon,
        center=center,
        scale=scale,
        beta_initializer=beta_initializer,
        gamma_initializer=gamma_initializer,
        moving_mean_initializer=moving_mean_initializer,
        moving_variance_initializer=moving_variance_initializer,
        beta_regularizer=beta_regularizer,
        gamma_regularizer=gamma_regularizer,
        beta_constraint=beta_constraint,
        gamma_constraint=gamma_constraint,
        renorm=renorm,
        renorm_clipping=renorm_clipping,
        renorm_momentum=renorm_momentum,
        fused=fused,
        trainable=trainable,
        virtual_batch_size=virtual_batch_size,
        adjustment=adjustment,
        name=name,
        _scope=name,
        _reuse=reuse,
    )
    return layer(inputs, training=training)
