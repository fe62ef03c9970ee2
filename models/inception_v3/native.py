"""Inception v3 in pure Keras.

See `variants.py` for the paper and every number. Layers carry the names of TF-Slim's scopes:
`InceptionV3/Conv2d_1a_3x3/kernel` here is `InceptionV3/Conv2d_1a_3x3/weights` in a TF1 checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from ..regularizers import L2
from . import published, variants


def initializer(stddev: float | None) -> keras.Initializer:
    """A fresh one: Keras gives the same values again to a layer that shares one."""
    if stddev is not None:
        return keras.initializers.TruncatedNormal(mean=0.0, stddev=stddev)
    scale = variants.INITIALIZER_SCALE  # `slim.variance_scaling_initializer()`.
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")


def l2(weight_decay: float) -> keras.Regularizer:
    """TF-Slim's `l2_regularizer`: `weight_decay * sum(w ** 2) / 2`, and Keras' L2 has no half."""
    return L2(weight_decay / 2)


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm without a factor and ReLU, or biases alone."""

    def __init__(self, conv: variants.Conv, options: variants.Options, dtype):
        super().__init__(
            conv.depth,
            conv.kernel_size,
            strides=conv.stride,
            padding=conv.padding.lower(),
            data_format="channels_last",
            use_bias=conv.is_linear,
            kernel_initializer=initializer(conv.stddev),
            kernel_regularizer=l2(options.weight_decay),
            bias_initializer="zeros",
            dtype=dtype,
            name=conv.name,
        )
        self.batch_norm = None
        if not conv.is_linear:
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
        if self.batch_norm is not None:
            self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        net = super().call(inputs)
        if self.batch_norm is None:
            return net
        return keras.ops.relu(self.batch_norm(net, training=training))


def pool_layer(pool: variants.Pool, options: variants.Options, dtype: Any) -> keras.Layer:
    """An average or a maximum pool."""
    kind = keras.layers.AveragePooling2D if pool.is_average else keras.layers.MaxPooling2D
    settings = {"data_format": "channels_last", "dtype": dtype, "name": pool.name}
    return kind(pool.kernel_size, pool.stride, pool.padding.lower(), **settings)


def layers_of(steps: tuple, options: variants.Options, dtype: Any) -> tuple[keras.Layer, ...]:
    """The layers of a scope; `tf.train.Checkpoint` would see none in a list."""
    kinds: dict[type, Any] = {
        variants.Conv: Conv,
        variants.Pool: pool_layer,
        variants.Branch: Branch,
        variants.Module: Module,
    }
    return tuple(kinds[type(step)](step, options, dtype) for step in steps)


class Branch(keras.layers.Layer):
    """Layers one after another, some with a fork at the end."""

    def __init__(self, branch: variants.Branch, options: variants.Options, dtype):
        super().__init__(dtype=dtype, name=branch.name)
        self.steps = layers_of(branch.steps, options, dtype)
        self.fork = layers_of(branch.fork, options, dtype)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for layer in self.steps:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        for layer in self.fork:
            layer.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, depth]`."""
        net = inputs
        for layer in self.steps:
            net = layer(net, training=training)
        forked = [layer(net, training=training) for layer in self.fork]
        return keras.ops.concatenate(forked, axis=-1) if forked else net


class Module(keras.layers.Layer):
    """Branches that see the same map, and whose channels are stacked."""

    def __init__(self, module: variants.Module, options: variants.Options, dtype):
        super().__init__(dtype=dtype, name=module.name)
        self.branches = layers_of(module.branches, options, dtype)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for branch in self.branches:
            branch.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, depth]`."""
        nets = [branch(inputs, training=training) for branch in self.branches]
        return keras.ops.concatenate(nets, axis=-1)


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v3.native")
class InceptionV3(keras.Model):
    """Inception v3.

    Args:
        variant: Name of the variant.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "inception_v3",
        *,
        name: str = published.SCOPE,
        dtype: Any = None,
        trainable: bool = True,
        **options: Any,
    ):
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.variant = published.by_name(variant)
        self.options = variants.Options.of(self.variant, **options)
        self._make_layers(self.options, self.dtype_policy)

    def _make_layers(self, options, dtype) -> None:
        self.body = layers_of((*options.stem(), *options.body()), options, dtype)
        if options.num_classes is not None:
            rate = 1.0 - options.dropout_keep_prob  # TF-Slim's is the share that is kept.
            self.dropout = keras.layers.Dropout(rate, dtype=dtype, name="Dropout_1b")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for images `[B, H, W, 3]`, and the heads, whose shapes follow."""
        options = self.options
        net, end_points = self._body(keras.KerasTensor(input_shape), training=False)
        if options.has_aux_logits:
            shape = end_points[variants.AUX_END_POINT].shape
            self.aux_logits = Branch(options.aux_logits(shape), options, self.dtype_policy)
            self.aux_logits.build(shape)
        if options.num_classes is not None:
            self.logits = Branch(options.logits(), options, self.dtype_policy)
            self.logits.build(net.shape)

    def _forward(self, images, training) -> tuple:
        net, end_points = self._body(images, training)
        return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net, end_points = images, {}
        for layer in self.body:
            net = end_points[layer.name] = layer(net, training=training)
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        options = self.options
        if options.has_aux_logits:
            aux = end_points[variants.AUX_END_POINT]
            end_points["AuxLogits"] = self._as_logits(self.aux_logits(aux, training=training))
        if options.global_pool:
            net = end_points["global_pool"] = keras.ops.mean(net, axis=(1, 2), keepdims=True)
        else:
            window = variants.pool_window(net.shape)
            net = keras.ops.average_pool(net, window, variants.HEAD_POOL_STRIDE, padding="valid")
            end_points["AvgPool_1a"] = net
        if options.num_classes is None:
            return net, end_points
        net = end_points["PreLogits"] = self.dropout(net, training=training)
        net = end_points["Logits"] = self._as_logits(self.logits(net, training=training))
        end_points["Predictions"] = keras.ops.softmax(net)
        return net, end_points

    def _as_logits(self, net) -> Any:
        if self.options.spatial_squeeze:
            # `keras.ops.squeeze` refuses maps of unknown size.
            net = keras.ops.reshape(net, (keras.ops.shape(net)[0], self.options.num_classes))
        return keras.ops.cast(net, "float32")

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """As `call`, with the bookkeeping of `keras.Model`."""
        # In `call` Keras would wrap the message in its own.
        self.options.check_images(images, self.get_build_config())
        return super().__call__(images, *args, **kwargs)

    def call(self, images: Any, training: bool = False) -> Any:
        """Float32 logits `[B, num_classes]`; `[B, height, width, C]` unsqueezed, or without a head.

        Args:
            images: Float tensor `[B, H, W, 3]` in [-1, 1].
            training: Whether to use and learn the batch's statistics, and to drop features.
        """
        return self._forward(images, training)[0]

    def end_points(self, images: Any, training: bool = False) -> dict[str, Any]:
        """All activations under TF-Slim's names and in its order; arguments as for `call`."""
        self.options.check_images(images, self.get_build_config())
        images = keras.ops.cast(images, self.compute_dtype)
        return self._forward(images, training)[1]

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
