"""Optimizers by their settings: Keras' own, with TF1's start where it matters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from .train_config import TrainConfig


def create_optimizer(
    config: TrainConfig,
    learning_rate: keras.optimizers.schedules.LearningRateSchedule,
    variables: Sequence[keras.Variable],
) -> keras.Optimizer:
    """Makes the optimizer of a run.

    Args:
        config: The run's settings.
        learning_rate: Its schedule.
        variables: What is trained.

    Returns:
        A built optimizer. Under `mixed_float16` it scales the loss, with a scale that adapts.
    """
    accumulation = config.gradient_accumulation_steps
    optimizer = _MAKERS[config.optimizer](
        config,
        learning_rate=learning_rate,
        clipnorm=config.clip_norm,
        global_clipnorm=config.clip_global_norm,
        clipvalue=config.clip_value,
        gradient_accumulation_steps=accumulation if accumulation > 1 else None,
    )
    if config.decoupled_weight_decay:
        # Norms, biases and other vectors are not decayed, as the model's own decay leaves them out.
        vectors = [variable for variable in variables if len(variable.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=vectors)
    optimizer.build(list(variables))
    clips = (config.clip_norm, config.clip_global_norm, config.clip_value)
    is_clipped = any(clip is not None for clip in clips)
    if is_clipped and tf.distribute.get_strategy().num_replicas_in_sync > 1:
        _clip_over_replicas(optimizer)
    if isinstance(optimizer, keras.optimizers.RMSprop):
        # TF1 starts the mean square at one, Keras at zero: with Slim's epsilon of one it is the
        # difference between a gentle start and a step that is too long by up to the root of two.
        for mean_square in optimizer._velocities:
            mean_square.assign(keras.ops.ones_like(mean_square))
    if config.precision == "mixed_float16":
        optimizer = _JointLossScaling(optimizer, name="loss_scale_optimizer")
        optimizer.build(list(variables))
    return optimizer


def check_replicas(config: TrainConfig, replicas: int) -> None:
    """Raises ValueError for accumulation on several replicas, which Keras does not have."""
    if replicas > 1 and config.gradient_accumulation_steps > 1:
        raise ValueError(
            f"gradient_accumulation_steps needs a single replica, and there are {replicas}: leave "
            "it out, or train on one device (--strategy one_device)."
        )


class _Ftrl(keras.optimizers.Ftrl):
    """FTRL that leaves everything as it is in a step whose rate is zero.

    It divides by the rate, so that the first step of a warm-up would make all weights NaN, and so
    would a schedule that comes to zero. Other steps are Keras' own.
    """

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Updates a variable, unless `learning_rate`, a scalar, is zero."""
        update = super().update_step
        tf.cond(
            learning_rate > 0,
            lambda: update(gradient, variable, learning_rate),
            lambda: None,
        )


class _JointLossScaling(keras.optimizers.LossScaleOptimizer):
    """Loss scaling by which all replicas take a step, or none does.

    Keras' own asks the first replica of a process alone, and before gradients are added up. What
    overflowed on another one would be added to all weights, and processes that decide differently
    would wait for each other for ever.
    """

    def check_finite(self, grads: Sequence[tf.Tensor | None]) -> tf.Tensor:
        """Whether all replicas' gradients are finite, a scalar that is the same on each."""
        is_finite = super().check_finite(grads)
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 1:
            return is_finite
        overflows = tf.cast(tf.logical_not(is_finite), tf.float32)
        return tf.equal(context.all_reduce(tf.distribute.ReduceOp.SUM, overflows), 0.0)


def _clip_over_replicas(optimizer: keras.Optimizer) -> None:
    """Lets an optimizer clip the gradient of the global batch.

    On its own it clips each replica's part, before it adds them up, so that the number of replicas
    would decide how much is cut.
    """
    clip = optimizer._clip_gradients

    def clip_sum(gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        context = tf.distribute.get_replica_context()
        clipped = clip(context.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients)))
        # Each replica has all of it now, and the optimizer will add them up.
        return [gradient / context.num_replicas_in_sync for gradient in clipped]

    optimizer._clip_gradients = clip_sum


def _sgd(config: TrainConfig, **common: Any) -> keras.Optimizer:
    return keras.optimizers.SGD(**common)


def _momentum(config: TrainConfig, **common: Any) -> keras.Optimizer:
    return keras.optimizers.SGD(momentum=config.momentum, nesterov=config.nesterov, **common)


def _rmsprop(config: TrainConfig, **common: Any) -> keras.Optimizer:
    return keras.optimizers.RMSprop(
        rho=config.rho, momentum=config.momentum, epsilon=config.epsilon, **common
    )


def _adam(config: TrainConfig, **common: Any) -> keras.Optimizer:
    return keras.optimizers.Adam(**_moments(config), **common)


def _adamw(config: TrainConfig, **common: Any) -> keras.Optimizer:
    decay = config.decoupled_weight_decay
    return keras.optimizers.AdamW(weight_decay=decay, **_moments(config), **common)


def _lamb(config: TrainConfig, **common: Any) -> keras.Optimizer:
    decay = config.decoupled_weight_decay
    return keras.optimizers.Lamb(weight_decay=decay, **_moments(config), **common)


def _moments(config: TrainConfig) -> dict[str, float]:
    return {"beta_1": config.beta_1, "beta_2": config.beta_2, "epsilon": config.epsilon}


def _adagrad(config: TrainConfig, **common: Any) -> keras.Optimizer:
    start = config.initial_accumulator_value
    return keras.optimizers.Adagrad(
        initial_accumulator_value=start, epsilon=config.epsilon, **common
    )


def _adadelta(config: TrainConfig, **common: Any) -> keras.Optimizer:
    return keras.optimizers.Adadelta(rho=config.rho, epsilon=config.epsilon, **common)


def _ftrl(config: TrainConfig, **common: Any) -> keras.Optimizer:
    return _Ftrl(
        name="ftrl",
        learning_rate_power=config.ftrl_learning_rate_power,
        initial_accumulator_value=config.initial_accumulator_value,
        l1_regularization_strength=config.ftrl_l1,
        l2_regularization_strength=config.ftrl_l2,
        **common,
    )


_MAKERS: dict[str, Callable[..., keras.Optimizer]] = {
    "adadelta": _adadelta,
    "adagrad": _adagrad,
    "adam": _adam,
    "adamw": _adamw,
    "ftrl": _ftrl,
    "lamb": _lamb,
    "momentum": _momentum,
    "rmsprop": _rmsprop,
    "sgd": _sgd,
}
