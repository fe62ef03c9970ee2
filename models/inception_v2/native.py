"""Inception v2 in pure Keras.

See `variants.py` for the paper, the figures and every number. Layers carry the names of TF-Slim's
scopes: `InceptionV2/Conv2d_1a_7x7/kernel` here is `.../weights` in a TF1 checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from . import variants


def initializer(stddev: float | None) -> keras.Initializer:
    """A fresh one: Keras gives the same values again to a layer that shares one."""
    if stddev is not None:
        return keras.initializers.TruncatedNormal(mean=0.0, stddev=stddev)
    scale = variants.INITIALIZER_SCALE  # `slim.variance_scaling_initializer()`.
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm without gamma and ReLU; or else only biases."""

    def __init__(self, filters, kernel_size, options, dtype, *, stddev=None, norm=True, **settings):
        super().__init__(
            filters,
            kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=not norm,
            kernel_initializer=initializer(stddev),
            # TF-Slim's is `weight_decay * sum(w ** 2) / 2`, and Keras' has no half.
            kernel_regularizer=keras.regularizers.L2(options.weight_decay / 2),
            bias_initializer="zeros",
            dtype=dtype,
            **settings,
        )
        if norm:
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
        if not self.use_bias:
            self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        net = super().call(inputs)
        if self.use_bias:
            return net
        return keras.ops.relu(self.batch_norm(net, training=training))


def pool(name: str, stride: int, dtype: Any) -> keras.Layer:
    """`slim.max_pool2d` or `slim.avg_pool2d`, as the name says."""
    kind = keras.layers.MaxPool2D if name.startswith("MaxPool") else keras.layers.AvgPool2D
    return kind(variants.POOL_SIZE, stride, "same", "channels_last", dtype=dtype, name=name)


class Branch(keras.layers.Layer):
    """Layers in a row."""

    def __init__(self, *layers: keras.Layer, dtype, name: str):
        super().__init__(dtype=dtype, name=name)
        self.layers = layers

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations of the last layer."""
        for layer in self.layers:
            inputs = layer(inputs, training=training)
        return inputs


class Branches(keras.layers.Layer):
    """Branches side by side."""

    def __init__(self, *branches: list[keras.layers.Layer], dtype, name: str):
        super().__init__(dtype=dtype, name=name)
        self.branches = tuple(
            Branch(*layers, dtype=dtype, name=f"Branch_{i}") for i, layers in enumerate(branches)
        )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for branch in self.branches:
            branch.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The maps of all branches, one behind the other."""
        maps = [branch(inputs, training=training) for branch in self.branches]
        return keras.ops.concatenate(maps, axis=3)


class Mixed(Branches):
    """An inception module: a 1x1, a 3x3 and two 3x3 convolutions and a pool, side by side."""

    def __init__(self, module: variants.Mixed, options, dtype):
        size, narrow = variants.KERNEL_SIZE, variants.REDUCE_STDDEV
        project = variants.PROJECT_STDDEV
        super().__init__(
            [Conv(module.depth_1x1, 1, options, dtype, name="Conv2d_0a_1x1")],
            [
                Conv(module.reduce_3x3, 1, options, dtype, stddev=narrow, name="Conv2d_0a_1x1"),
                Conv(module.depth_3x3, size, options, dtype, name="Conv2d_0b_3x3"),
            ],
            [
                Conv(module.double_reduce, 1, options, dtype, stddev=narrow, name="Conv2d_0a_1x1"),
                Conv(module.double_3x3, size, options, dtype, name="Conv2d_0b_3x3"),
                Conv(module.double_3x3, size, options, dtype, name="Conv2d_0c_3x3"),
            ],
            [
                pool(f"{module.pool}_0a_3x3", 1, dtype),
                Conv(module.pool_proj, 1, options, dtype, stddev=project, name="Conv2d_0b_1x1"),
            ],
            dtype=dtype,
            name=module.name,
        )


class Reduction(Branches):
    """An inception module that halves the map: its last branch passes the inputs on."""

    def __init__(self, module: variants.Reduction, options, dtype):
        size, narrow, stride = variants.KERNEL_SIZE, variants.REDUCE_STDDEV, variants.STRIDE
        super().__init__(
            [
                Conv(module.reduce_3x3, 1, options, dtype, stddev=narrow, name="Conv2d_0a_1x1"),
                Conv(module.depth_3x3, size, options, dtype, strides=stride, name="Conv2d_1a_3x3"),
            ],
            [
                Conv(module.double_reduce, 1, options, dtype, stddev=narrow, name="Conv2d_0a_1x1"),
                Conv(module.double_3x3, size, options, dtype, name="Conv2d_0b_3x3"),
                Conv(module.double_3x3, size, options, dtype, strides=stride, name="Conv2d_1a_3x3"),
            ],
            [pool("MaxPool_1a_3x3", stride, dtype)],
            dtype=dtype,
            name=module.name,
        )


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v2.native")
class InceptionV2(keras.Model):
    """Inception v2.

    Args:
        variant: Name of the variant.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "inception_v2",
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
        first, second, third = options.stem_depths()
        # Tuples, because `tf.train.Checkpoint` does not see layers in a list.
        self.stem = (
            keras.layers.SeparableConv2D(
                first,
                variants.STEM_KERNEL_SIZE,
                strides=variants.STRIDE,
                padding="same",
                data_format="channels_last",
                depth_multiplier=options.stem_multiplier(),
                activation="relu",
                depthwise_initializer=initializer(variants.STEM_STDDEV),
                pointwise_initializer=initializer(variants.STEM_STDDEV),
                bias_initializer="zeros",
                dtype=dtype,
                name="Conv2d_1a_7x7",
            ),
            pool("MaxPool_2a_3x3", variants.STRIDE, dtype),
            Conv(second, 1, options, dtype, stddev=variants.STEM_1X1_STDDEV, name="Conv2d_2b_1x1"),
            Conv(third, variants.KERNEL_SIZE, options, dtype, name="Conv2d_2c_3x3"),
            pool("MaxPool_3a_3x3", variants.STRIDE, dtype),
        )
        kinds = {variants.Mixed: Mixed, variants.Reduction: Reduction}
        self.body = tuple(kinds[type(m)](m, options, dtype) for m in options.body())
        if options.num_classes is not None:
            rate = 1.0 - options.dropout_keep_prob  # TF-Slim's is the share that is kept.
            self.dropout = keras.layers.Dropout(rate, dtype=dtype, name="Dropout_1b")
            logits = Conv(options.num_classes, 1, options, dtype, norm=False, name="Conv2d_1c_1x1")
            self.logits = Branch(logits, dtype=dtype, name="Logits")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for images `[B, H, W, 3]`: each layer's in its first, symbolic call."""
        net, _ = self._body(keras.KerasTensor(input_shape), training=False)
        if self.options.num_classes is not None:
            self.logits.build(net.shape)

    def _forward(self, images, training) -> tuple:
        net, end_points = self._body(images, training)
        return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net, end_points = images, {}
        for layer in (*self.stem, *self.body):
            net = end_points[layer.name] = layer(net, training=training)
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        if self.options.global_pool:
            net = end_points["global_pool"] = keras.ops.mean(net, axis=(1, 2), keepdims=True)
        else:
            window = variants.pool_size(net.shape)
            net = keras.ops.average_pool(net, window, variants.HEAD_POOL_STRIDE, padding="valid")
            end_points["AvgPool_1a"] = net
        if self.options.num_classes is None:
            return net, end_points
        net = end_points["PreLogits"] = self.dropout(net, training=training)
        net = self.logits(net)
        if self.options.spatial_squeeze:
            # `keras.ops.squeeze` refuses maps of unknown size.
            net = keras.ops.reshape(net, (keras.ops.shape(net)[0], self.options.num_classes))
        net = end_points["Logits"] = keras.ops.cast(net, "float32")
        end_points["Predictions"] = keras.ops.softmax(net)
        return net, end_points

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """As `call`, with the bookkeeping of `keras.Model`."""
        self.options.check_images(images)  # In `call` Keras would wrap the message in its own.
        return super().__call__(images, *args, **kwargs)

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
        self.options.check_images(images)
        images = keras.ops.cast(images, self.compute_dtype)
        _, end_points = self._forward(images, training)
        return end_points

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
