"""TF1's `Dense`, `Dropout` and `Flatten`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ..call_state import current_owner
from ..holders import holder_of
from .autograph import without_autograph
from .base import Layer, activation_function, as_dtype, as_shape, functional, size_of
from .conditions import smart_cond
from .spatial import check_data_format


class Dense(Layer):
    """Densely connected layer, `tf.compat.v1.layers.Dense`.

    Makes `kernel` [input channels, units] and, with `use_bias`, `bias` [units].

    Args:
        units: number of outputs.
        activation: callable on the outputs, or None for a linear layer.
        use_bias: whether to add a bias.
        kernel_initializer: initializer; None: the variable scope's, else Glorot uniform.
        bias_initializer: initializer of the bias.
        kernel_regularizer, bias_regularizer: callables `variable -> scalar loss`, or None. (Keras'
            `L2(l)` is l · Σx², Slim's `l2_regularizer(s)` is s · Σx² / 2.)
        activity_regularizer: callable `outputs -> scalar loss`, or None.
        kernel_constraint, bias_constraint: callables applied after an optimizer's step, or None.
        trainable: whether the weights are trainable.
        name: name and variable scope.
    """

    def __init__(
        self,
        units: int,
        activation: Callable | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = tf.compat.v1.zeros_initializer(),
        kernel_regularizer: Callable | None = None,
        bias_regularizer: Callable | None = None,
        activity_regularizer: Callable | None = None,
        kernel_constraint: Callable | None = None,
        bias_constraint: Callable | None = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            trainable=trainable, name=name, activity_regularizer=activity_regularizer, **kwargs
        )
        self.units = int(units)
        self.activation = activation_function(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        self.kernel_constraint = kernel_constraint
        self.bias_constraint = bias_constraint
        self.bias = None

    def build(self, input_shape: Any) -> None:
        input_shape = as_shape(input_shape)
        self._check_floating_point()
        channels = size_of(input_shape, -1) if input_shape.rank else None
        if input_shape.rank is None or input_shape.rank < 2 or channels is None:
            raise ValueError(
                f"Dense layer {self.name} needs inputs of rank 2 or more with a known last "
                f"dimension, got shape {input_shape}. Flatten or reshape the inputs first."
            )
        self.kernel = self.add_weight(
            "kernel",
            [channels, self.units],
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                [self.units],
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: tf.Tensor | tf.SparseTensor) -> tf.Tensor:
        inputs = as_dtype(inputs, self.dtype)
        if isinstance(inputs, tf.SparseTensor):
            outputs = tf.sparse.sparse_dense_matmul(inputs, self.kernel)
        elif inputs.shape.rank == 2:
            outputs = tf.matmul(inputs, self.kernel)
        else:
            outputs = tf.tensordot(inputs, self.kernel, [[inputs.shape.rank - 1], [0]])
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


class Dropout(Layer):
    """Dropout, `tf.compat.v1.layers.Dropout`.

    In training each input is dropped with probability `rate`, the others are scaled by
    `1 / (1 - rate)`; else the inputs pass. `training` is an argument of the call.

    Args:
        rate: the share of inputs that is dropped, in [0, 1); a float or scalar tensor. (Slim's
            `keep_prob` is `1 - rate`.) Of 1, all, TF1 knows no dropout: an error in training.
        noise_shape: shape of the keep/drop mask, None where it follows the inputs.
        seed: seed of the random op.
        name: name of the layer.

    Raises:
        ValueError: a rate outside of [0, 1]; at a call in training, a rate of 1.
    """

    def __init__(
        self,
        rate: float = 0.5,
        noise_shape: Any = None,
        seed: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if isinstance(rate, int | float) and not 0 <= rate <= 1:
            raise ValueError(f"Dropout {self.name} needs a rate in [0, 1], got rate={rate!r}.")
        self.rate = rate
        self.noise_shape = noise_shape
        self.seed = seed

    def call(self, inputs: tf.Tensor, training: Any = False) -> tf.Tensor:
        if isinstance(self.rate, int | float) and self.rate == 0:
            return tf.identity(inputs)
        seeds = self._seeds()  # In every call, for it makes state.
        return smart_cond(
            training, lambda: self._dropped(inputs, seeds), lambda: tf.identity(inputs)
        )

    def _dropped(self, inputs: tf.Tensor, seeds: keras.random.SeedGenerator | None) -> tf.Tensor:
        if isinstance(self.rate, int | float) and self.rate == 1:
            raise ValueError(
                f"Dropout {self.name} has rate={self.rate!r} in training, which drops everything. "
                "Give a rate below 1 (Slim's keep_prob above 0)."
            )
        noise_shape = self._noise_shape(inputs)
        if seeds is None:
            return tf.nn.dropout(inputs, self.rate, noise_shape, self.seed)
        return keras.random.dropout(inputs, self.rate, noise_shape, seeds)

    def _seeds(self) -> keras.random.SeedGenerator | None:
        """The random state of the Keras layer around, which its checkpoints hold.

        None where TF1's own op has to draw, whose state nothing holds: in a TF1 graph, in a
        `tf.Module`, and for arguments that Keras does not take.
        """
        owner = current_owner()
        is_for_keras = isinstance(self.rate, int | float) and not tf.is_tensor(self.noise_shape)
        if not isinstance(owner, keras.Layer) or self.seed is not None or not is_for_keras:
            return None
        return holder_of(owner).dropout_seeds()

    def _noise_shape(self, inputs: tf.Tensor) -> Any:
        if self.noise_shape is None or tf.is_tensor(self.noise_shape):
            return self.noise_shape
        shape = tf.shape(inputs)
        return [shape[i] if size is None else size for i, size in enumerate(self.noise_shape)]


class Flatten(Layer):
    """Flattens all dimensions but the first, `tf.compat.v1.layers.Flatten`.

    Args:
        data_format: "channels_last" or "channels_first" (the inputs are then transposed, so that
            the outputs' order does not depend on it).
        **kwargs: as for `Layer`.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = check_data_format(data_format or "channels_last")

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        rank = inputs.shape.rank
        if self.data_format == "channels_first" and rank is not None and rank > 1:
            inputs = tf.transpose(inputs, [0, *range(2, rank), 1])
        sizes = inputs.shape[1:]
        if sizes.is_fully_defined():
            batch_size = size_of(inputs.shape, 0)
            return tf.reshape(
                inputs, [-1 if batch_size is None else batch_size, sizes.num_elements()]
            )
        return tf.reshape(inputs, [tf.shape(inputs)[0], -1])


dense = functional(Dense)


@without_autograph
def dropout(
    inputs: tf.Tensor,
    rate: float = 0.5,
    noise_shape: Any = None,
    seed: int | None = None,
    training: Any = False,
    name: str | None = None,
) -> tf.Tensor:
    """Applies dropout to `inputs` where `training` is true; see `Dropout`."""
    layer = Dropout(rate, noise_shape=noise_shape, seed=seed, name=name)
    return layer(inputs, training=training)


@without_autograph
def flatten(
    inputs: tf.Tensor, name: str | None = None, data_format: str = "channels_last"
) -> tf.Tensor:
    """Flattens all dimensions of `inputs` but the first; see `Flatten`."""
    return Flatten(data_format=data_format, name=name)(inputs)
