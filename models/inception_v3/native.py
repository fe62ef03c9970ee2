"""Inception v3 in pure Keras.

See `variants.py` for the paper, the figures and every number. Layers carry the names of TF-Slim's
scopes: `InceptionV3/Conv2d_1a_3x3/kernel` here is `InceptionV3/Conv2d_1a_3x3/weights` in a TF1
checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from . import variants


def initializer(stddev: float | None) -> keras.Initializer:
    """A fresh initializer: Keras gives the same values again to a layer that shares one.

    Without a deviation it is `slim.variance_scaling_initializer()`. Both cut a normal distribution
    at twice its deviation. Keras then widens it by exactly what the cut took away, TF-Slim by 1.3.
    """
    if stddev is not None:
        return keras.initializers.TruncatedNormal(mean=0.0, stddev=stddev)
    keras_truncation = 0.87962566103423978  # Deviation of what the cut leaves.
    scale = variants.INITIALIZER_FACTOR * variants.INITIALIZER_TRUNCATION * keras_truncation**2
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")


def l2(weight_decay: float) -> keras.Regularizer:
    """TF-Slim's `l2_regularizer`: `weight_decay * sum(w ** 2) / 2`, and Keras' L2 has no half."""
    return keras.regularizers.L2(weight_decay / 2)


def batch_norm(options: variants.Options, dtype: Any) -> BatchNorm:
    """`slim.batch_norm` under `inception_arg_scope`."""
    return BatchNorm(
        momentum=options.batch_norm_decay,
        epsilon=options.batch_norm_epsilon,
        scale=False,
        center=True,
        dtype=dtype,
        name="BatchNorm",
    )


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm without a factor and ReLU, or biases for logits."""

    def __init__(self, conv: variants.Conv, options: variants.Options, dtype):
        super().__init__(
            conv.depth,
            conv.kernel_size,
            strides=conv.stride,
            padding=conv.padding.lower(),
            data_format="channels_last",
            use_bias=conv.gives_logits,
            kernel_initializer=initializer(conv.stddev),
            kernel_regularizer=l2(options.weight_decay),
            bias_initializer="zeros",
            dtype=dtype,
            name=conv.name,
        )
        self.batch_norm = None if conv.gives_logits else batch_norm(options, self.dtype_policy)

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


def pool_layer(pool: variants.Pool, dtype: Any) -> keras.Layer:
    """An average or a maximum pool."""
    kind = keras.layers.AveragePooling2D if pool.is_average else keras.layers.MaxPooling2D
    padding = pool.padding.lower()
    return kind(pool.size, pool.stride, padding, "channels_last", dtype=dtype, name=pool.name)


def layers_of(steps: tuple, options: variants.Options, dtype: Any) -> tuple[keras.Layer, ...]:
    """The layers of a branch or the stem; `tf.train.Checkpoint` would see none in a list."""
    return tuple(
        Conv(step, options, dtype) if isinstance(step, variants.Conv) else pool_layer(step, dtype)
        for step in steps
    )


class Branch(keras.layers.Layer):
    """Convolutions and pools one after another, some with a fork at the end."""

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

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[B, height, width, depth]` for inputs `[B, H, W, C]`."""
        for layer in self.steps:
            input_shape = layer.compute_output_shape(input_shape)
        depth = sum(layer.filters for layer in self.fork) or input_shape[-1]
        return (*input_shape[:-1], depth)

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
        self.branches = tuple(Branch(branch, options, dtype) for branch in module.branches)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for branch in self.branches:
            branch.build(input_shape)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """`[B, height, width, depth]` for inputs `[B, H, W, C]`."""
        shapes = [branch.compute_output_shape(input_shape) for branch in self.branches]
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

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
        modules = tuple(Module(module, options, dtype) for module in options.modules())
        self.body = (*layers_of(options.stem(), options, dtype), *modules)
        if options.num_classes is not None:
            # Keras takes the share that is dropped, TF-Slim the one that is kept.
            rate = 1.0 - options.dropout_keep_prob
            self.dropout = keras.layers.Dropout(rate, dtype=dtype, name="Dropout_1b")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for images `[B, H, W, 3]`."""
        options, shapes = self.options, {}
        for layer in self.body:
            layer.build(input_shape)
            input_shape = shapes[layer.name] = layer.compute_output_shape(input_shape)
        if options.has_aux_logits:  # Made here, because its kernel depends on the images.
            aux_shape = shapes[variants.AUX_END_POINT]
            self.aux_logits = Branch(options.aux_logits(aux_shape), options, self.dtype_policy)
            self.aux_logits.build(aux_shape)
        if options.num_classes is not None:
            self.logits = Branch(options.logits(), options, self.dtype_policy)
            self.logits.build(input_shape)

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
            window = variants.window(net.shape, variants.POOL_SIZE)
            net = keras.ops.average_pool(net, window, variants.POOL_STRIDE, padding="valid")
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
        self._check_images(images)  # In `call` Keras would wrap the message in its own.
        return super().__call__(images, *args, **kwargs)

    def _check_images(self, images) -> None:
        built_for = self.get_build_config()["input_shape"] if self.built else None
        self.options.check_images(images, built_for)

    def call(self, images: Any, training: bool = False) -> Any:
        """Float32 logits `[B, num_classes]`; `[B, height, width, C]` unsqueezed, or without a head.

        Args:
            images: Float tensor `[B, H, W, 3]` in [-1, 1].
            training: Whether to use and learn the batch's statistics, and to drop features.
        """
        net, _ = self._forward(images, training)
        return net

    def end_points(self, images: Any, training: bool = False) -> dict[str, Any]:
        """All activations under TF-Slim's names and in its order; arguments as for `call`."""
        self._check_images(images)
        images = keras.ops.cast(images, self.compute_dtype)
        _, end_points = self._forward(images, training)
        return end_points

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
