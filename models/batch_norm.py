"""Batch norm that trains as TF1's did, for native models.

Keras 3's own layer never uses TensorFlow's fused kernel, which costs time, and keeps a biased
moving variance, where the kernel that every TF1 model was trained with multiplies by n / (n - 1).
"""

import math
from typing import Any

import keras

if keras.config.backend() == "tensorflow":
    import tensorflow as tf


@keras.saving.register_keras_serializable(package="shimzoo")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalization over the last axis with TF1's statistics.

    In training the inputs are normalized by the batch's biased variance (a sum divided by n) and
    the moving variance is updated with the unbiased one (divided by n - 1). Under a
    `tf.distribute` strategy each replica normalizes by its own batch, and the moving statistics
    are the replicas' mean; with `synchronized`, all normalize by their batches taken together. On
    TensorFlow, inputs of rank 4 go through the fused kernel, which takes float16 and bfloat16
    without casts and updates the moving statistics itself; everything else is computed with
    `keras.ops`, with the same results.

    Args:
        momentum: Share of the old moving statistics kept in a training step, 0 to 1 (TF1's
            `decay`).
        epsilon: Added to the variance before the root.
        scale: Whether there is a factor `gamma`.
        center: Whether there is an offset `beta`.
        **kwargs: As for `keras.layers.BatchNormalization`: initializers, regularizers,
            constraints, `name`, `dtype`, `trainable`, `synchronized`.

    Raises:
        ValueError: `axis` is not the last one, or `renorm` is on.
    """

    def __init__(
        self,
        *,
        momentum: float,
        epsilon: float,
        scale: bool,
        center: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(momentum=momentum, epsilon=epsilon, scale=scale, center=center, **kwargs)
        if self.axis != -1 or self.renorm:
            raise ValueError(
                f"BatchNorm normalizes the last axis by the batch's statistics, got "
                f"axis={self.axis}, renorm={self.renorm}."
            )
        self.supports_masking = False

    def add_weight(
        self,
        *,
        shape: tuple[int, ...],
        initializer: Any,
        trainable: bool = True,
        name: str,
        **kwargs: Any,
    ) -> keras.Variable:
        """As in the base class, but each replica writes its own moving statistics."""
        if trainable:
            return super().add_weight(shape=shape, initializer=initializer, name=name, **kwargs)
        return keras.Variable(
            initializer,
            shape=shape,
            dtype=self.variable_dtype,
            trainable=False,
            autocast=False,
            aggregation="mean",
            synchronization="on_read",
            name=name,
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Normalizes, and in training updates the moving statistics.

        Args:
            inputs: Floating-point tensor `[..., C]` of rank 2 or more.
            training: Whether to use the batch's statistics; a layer that is not trainable never
                does.

        Returns:
            Tensor of the inputs' shape and dtype.
        """
        training = bool(training and self.trainable)
        # The kernel takes half-precision inputs, but its statistics are always float32.
        fused = len(inputs.shape) == 4 and self.variable_dtype == "float32"
        # It has no way to look at other replicas.
        fused = fused and not (training and self.synchronized)
        if fused and keras.config.backend() == "tensorflow":
            return self._call_fused(inputs, training)
        return self._call_portable(inputs, training)

    def _call_fused(self, inputs: Any, training: bool) -> Any:
        channels = self.moving_mean.shape
        gamma = self.gamma.value if self.scale else tf.ones(channels, self.variable_dtype)
        beta = self.beta.value if self.center else tf.zeros(channels, self.variable_dtype)
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=self.moving_mean.value,
            variance=self.moving_variance.value,
            epsilon=self.epsilon,
            exponential_avg_factor=1.0 - self.momentum,
            is_training=training,
        )
        if training:
            if tf.distribute.has_strategy():
                # The last batch of an epoch can leave a replica without an image; the kernel then
                # answers with NaN.
                empty = tf.equal(tf.size(inputs), 0)
                mean = tf.where(empty, self.moving_mean.value, mean)
                variance = tf.where(empty, self.moving_variance.value, variance)
            self.moving_mean.assign(mean)
            self.moving_variance.assign(variance)
        return outputs

    def _call_portable(self, inputs: Any, training: bool) -> Any:
        ops = keras.ops
        # Not `keras.backend.result_type`, which makes float32 of float64 on JAX.
        is_double = keras.backend.standardize_dtype(inputs.dtype) == "float64"
        dtype = "float64" if is_double else "float32"
        x = ops.cast(inputs, dtype)
        mean, variance = self.moving_mean, self.moving_variance
        if training:
            n = ops.cast(math.prod(ops.shape(x)[:-1]), dtype)
            if self.synchronized:
                # Keras' synchronized moments subtract squares, which loses half of the digits.
                n = self._of_all_replicas(n)
                mean = self._of_all_replicas(ops.sum(x, self._reduction_axes)) / n
                deviations = ops.sum(ops.square(x - mean), self._reduction_axes)
                variance = self._of_all_replicas(deviations) / n
            else:
                mean, variance = ops.moments(x, axes=self._reduction_axes)
            self._update(self.moving_mean, mean, n)
            self._update(self.moving_variance, variance * (n / ops.maximum(n - 1, 1)), n)
        outputs = ops.batch_normalization(
            x,
            mean=mean,
            variance=variance,
            axis=-1,
            offset=self.beta if self.center else None,
            scale=self.gamma if self.scale else None,
            epsilon=self.epsilon,
        )
        return ops.cast(outputs, self.compute_dtype)

    def _of_all_replicas(self, summand: Any) -> Any:
        """Adds up sums over the replicas' batches; other backends have one batch on all devices."""
        if keras.config.backend() != "tensorflow":
            return summand
        context = tf.distribute.get_replica_context()
        return context.all_reduce("SUM", summand) if context else summand

    def _update(self, moving: keras.Variable, value: Any, n: Any) -> None:
        updated = moving * self.momentum + value * (1.0 - self.momentum)
        # As above: a replica without an image has no statistics.
        moving.assign(keras.ops.where(n > 0, updated, moving.value))
