"""Inception v4 in pure Keras.

See `variants.py` for the paper, the figures and every number. Layers carry the names of TF-Slim's
scopes: `InceptionV4/Conv2d_1a_3x3/kernel` here is `InceptionV4/Conv2d_1a_3x3/weights` in a TF1
checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from . import variants


def variance_scaling() -> keras.Initializer:
    """`slim.variance_scaling_initializer()`, a fresh one: Keras repeats the values of a shared one.

    Both cut a normal distribution at twice its deviation. Keras then widens it by exactly what the
    cut took away, TF-Slim by 1.3.
    """
    keras_truncation = 0.87962566103423978  # Deviation of what the cut leaves.
    scale = variants.INITIALIZER_FACTOR * variants.INITIALIZER_TRUNCATION * keras_truncation**2
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")


def l2(weight_decay: float) -> keras.Regularizer:
    """TF-Slim's `l2_regularizer`: `weight_decay * sum(w ** 2) / 2`, and Keras' L2 has no half."""
    return keras.regularizers.L2(weight_decay / 2)


class Conv(keras.layers.Conv2D):
    """A convolution without bias, batch norm without gamma, and ReLU: `slim.conv2d`."""

    def __init__(self, conv: variants.Conv, options: variants.Options, dtype):
        super().__init__(
            conv.depth,
            conv.kernel_size or 1,
            strides=conv.stride,
            padding=conv.padding.lower(),
            data_format="channels_last",
            use_bias=False,
            kernel_initializer=variance_scaling(),
            kernel_regularizer=l2(options.weight_decay),
            dtype=dtype,
            name=conv.name,
        )
        self.batch_norm = BatchNorm(
            momentum=options.batch_norm_decay,
            epsilon=options.batch_norm_epsilon,
            scale=False,
            center=True,
            dtype=self.dtype_policy,
            name="BatchNorm",
        )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        super().build(input_shape)
        self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        return keras.ops.relu(self.batch_norm(super().call(inputs), training=training))


def pool2d(inputs: Any, pool: variants.Pool) -> Any:
    """A maximum or an average."""
    operation = keras.ops.max_pool if pool.kind == "max" else keras.ops.average_pool
    return operation(inputs, pool.kernel_size, pool.stride, pool.padding.lower())


class Branch(keras.layers.Layer):
    """One way through a module."""

    def __init__(self, branch: variants.Branch, options, dtype, *, name: str):
        super().__init__(dtype=dtype, name=name)
        self.branch = branch
        # Tuples, because `tf.train.Checkpoint` does not see layers in a list.
        self.convs = tuple(Conv(conv, options, dtype) for conv in branch.convs)
        self.fork = tuple(Conv(conv, options, dtype) for conv in branch.fork)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for conv in self.convs:
            conv.build(input_shape)
            input_shape = (None, None, None, conv.filters)
        for conv in self.fork:
            conv.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> list[Any]:
        """What it ends with, one or a fork: `[B, height, width, depth]`."""
        net = inputs if self.branch.pool is None else pool2d(inputs, self.branch.pool)
        for conv in self.convs:
            net = conv(net, training=training)
        return [conv(net, training=training) for conv in self.fork] or [net]


class Mixed(keras.layers.Layer):
    """Branches side by side, joined by their channels."""

    def __init__(self, module: variants.Module, options, dtype):
        super().__init__(dtype=dtype, name=module.name)
        self.module = module
        self.branches = tuple(
            Branch(branch, options, dtype, name=f"Branch_{number}")
            for number, branch in enumerate(module.branches)
        )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        self.filters = self.module.depth(input_shape[3])  # As a convolution calls it.
        for branch in self.branches:
            branch.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, all depths]`."""
        outputs = [net for branch in self.branches for net in branch(inputs, training=training)]
        return keras.ops.concatenate(outputs, axis=3)


def dense(options: variants.Options, dtype: Any, name: str) -> keras.layers.Dense:
    """`slim.fully_connected` without ReLU."""
    return keras.layers.Dense(
        options.num_classes,
        kernel_initializer=keras.initializers.GlorotUniform(),
        kernel_regularizer=l2(options.weight_decay),
        bias_initializer="zeros",
        dtype=dtype,
        name=name,
    )


class AuxLogits(keras.layers.Layer):
    """The auxiliary head."""

    def __init__(self, options: variants.Options, dtype):
        super().__init__(dtype=dtype, name="AuxLogits")
        self.conv = Conv(variants.AUX_CONV, options, dtype)
        self.last_conv = Conv(variants.AUX_LAST_CONV, options, dtype)
        self.dense = dense(options, dtype, "Aux_logits")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for pooled inputs `[B, H, W, C]` of just this size."""
        self.conv.build(input_shape)
        self.last_conv.kernel_size = tuple(input_shape[1:3])
        self.last_conv.build((*input_shape[:3], self.conv.filters))
        self.dense.build((None, self.last_conv.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Logits `[B, num_classes]`."""
        net = self.conv(pool2d(inputs, variants.AUX_POOL), training=training)
        net = self.last_conv(net, training=training)
        return self.dense(keras.ops.squeeze(net, axis=(1, 2)))


class Logits(keras.layers.Layer):
    """The head after pooling: dropout and a dense layer."""

    def __init__(self, options: variants.Options, dtype):
        super().__init__(dtype=dtype, name="Logits")
        # Keras takes the share that is dropped, TF-Slim the one that is kept.
        self.dropout = keras.layers.Dropout(
            1.0 - options.dropout_keep_prob, dtype=dtype, name="Dropout_1b"
        )
        self.dense = dense(options, dtype, "Logits")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, 1, 1, C]`."""
        self.dense.build((None, input_shape[3]))

    def call(self, inputs: Any, training: bool = False) -> tuple[Any, Any]:
        """What is left of features `[B, 1, 1, C]`, flat, and its logits `[B, num_classes]`."""
        net = keras.ops.squeeze(self.dropout(inputs, training=training), axis=(1, 2))
        return net, self.dense(net)


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v4.native")
class InceptionV4(keras.Model):
    """Inception v4.

    Args:
        variant: Name of the variant.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "inception_v4",
        *,
        name: str = variants.SCOPE,
        dtype: Any = None,
        trainable: bool = True,
        **options: Any,
    ):
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.variant = variants.by_name(variant)
        self.options = variants.Options.of(self.variant, **options)
        self._make_layers(self.options, self.dtype_policy)

    def _make_layers(self, options, dtype) -> None:
        self.stem = tuple(Conv(conv, options, dtype) for conv in variants.STEM)
        self.mixed = tuple(Mixed(module, options, dtype) for module in variants.MODULES)
        if options.has_aux_logits:
            self.aux_logits = AuxLogits(options, dtype)
        if options.num_classes is not None:
            self.logits = Logits(options, dtype)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for images `[B, H, W, 3]`."""
        shape = input_shape
        for layer in (*self.stem, *self.mixed):
            layer.build(shape)
            shape = (None, None, None, layer.filters)
        if self.options.has_aux_logits:
            self.aux_logits.build(variants.aux_map_shape(input_shape))
        if self.options.num_classes is not None:
            self.logits.build(shape)

    def _forward(self, images, training) -> tuple:
        net, end_points = self._body(images, training)
        return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net, end_points = images, {}
        for layer in (*self.stem, *self.mixed):
            net = end_points[layer.name] = layer(net, training=training)
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        if self.options.has_aux_logits:
            aux = self.aux_logits(end_points[variants.AUX_END_POINT], training=training)
            end_points["AuxLogits"] = keras.ops.cast(aux, "float32")
        net = end_points["global_pool"] = keras.ops.mean(net, axis=(1, 2), keepdims=True)
        if self.options.num_classes is None:
            return net, end_points
        end_points["PreLogitsFlatten"], net = self.logits(net, training=training)
        net = end_points["Logits"] = keras.ops.cast(net, "float32")
        end_points["Predictions"] = keras.ops.softmax(net)
        return net, end_points

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """As `call`, with the bookkeeping of `keras.Model`."""
        # In `call` Keras would wrap the message in its own.
        self.options.check_images(images, self.get_build_config())
        return super().__call__(images, *args, **kwargs)

    def call(self, images: Any, training: bool = False) -> Any:
        """Float32 logits `[B, num_classes]`, or features `[B, 1, 1, 1536]` without a head.

        Args:
            images: Float tensor `[B, H, W, 3]` in [-1, 1].
            training: Whether to use and learn the batch's statistics, and to drop features.
        """
        net, _ = self._forward(images, training)
        return net

    def end_points(self, images: Any, training: bool = False) -> dict[str, Any]:
        """All activations under TF-Slim's names and in its order; arguments as for `call`."""
        self.options.check_images(images, self.get_build_config())
        images = keras.ops.cast(images, self.compute_dtype)
        _, end_points = self._forward(images, training)
        return end_points

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
