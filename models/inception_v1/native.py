"""Inception v1 in pure Keras.

See `variants.py` for the paper and every number. Layers carry the names of TF-Slim's scopes:
`InceptionV1/Conv2d_1a_7x7/kernel` here is `.../weights` in a TF1 checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from ..regularizers import L2
from . import published, variants


def truncated_normal(stddev: float) -> keras.Initializer:
    """A fresh initializer: Keras gives the same values again to a layer that shares one."""
    return keras.initializers.TruncatedNormal(mean=0.0, stddev=stddev)


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm without gamma and ReLU; or else only biases."""

    def __init__(
        self,
        filters,
        kernel_size,
        options,
        dtype,
        *,
        norm=True,
        stddev=variants.INITIALIZER_STDDEV,
        **settings,
    ):
        super().__init__(
            filters,
            kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=not norm,
            kernel_initializer=truncated_normal(stddev),
            # TF-Slim's is `weight_decay * sum(w ** 2) / 2`, and Keras' has no half.
            kernel_regularizer=L2(options.weight_decay / 2),
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


def max_pool(size: int, stride: int, dtype: Any, *, name: str) -> keras.Layer:
    """`slim.max_pool2d` under `base_arg_scope`."""
    return keras.layers.MaxPool2D(size, stride, "same", "channels_last", dtype=dtype, name=name)


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


class Module(keras.layers.Layer):
    """An inception module: a 1x1 and two 3x3 convolutions and a pool, side by side."""

    def __init__(self, module: variants.Module, options, dtype):
        super().__init__(dtype=dtype, name=module.name)

        def branch(name, *layers) -> Branch:
            return Branch(*layers, dtype=dtype, name=name)

        size = variants.KERNEL_SIZE
        self.branches = (
            branch("Branch_0", Conv(module.depth_1x1, 1, options, dtype, name="Conv2d_0a_1x1")),
            branch(
                "Branch_1",
                Conv(module.reduce_3x3, 1, options, dtype, name="Conv2d_0a_1x1"),
                Conv(module.depth_3x3, size, options, dtype, name="Conv2d_0b_3x3"),
            ),
            branch(
                "Branch_2",
                Conv(module.reduce_5x5, 1, options, dtype, name="Conv2d_0a_1x1"),
                Conv(module.depth_5x5, size, options, dtype, name=module.scope_5x5),
            ),
            branch(
                "Branch_3",
                max_pool(variants.POOL_SIZE, 1, dtype, name="MaxPool_0a_3x3"),
                Conv(module.pool_proj, 1, options, dtype, name="Conv2d_0b_1x1"),
            ),
        )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for branch in self.branches:
            branch.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The maps of all branches, one behind the other."""
        maps = [branch(inputs, training=training) for branch in self.branches]
        return keras.ops.concatenate(maps, axis=3)


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v1.native")
class InceptionV1(keras.Model):
    """Inception v1.

    Args:
        variant: Name of the variant.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "inception_v1",
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
        def layer_of(part) -> keras.Layer:
            if isinstance(part, variants.Module):
                return Module(part, options, dtype)
            if isinstance(part, variants.Pool):
                return max_pool(part.kernel_size, part.stride, dtype, name=part.name)
            depth, kernel_size = part.depth, part.kernel_size
            return Conv(depth, kernel_size, options, dtype, strides=part.stride, name=part.name)

        # Tuples, because `tf.train.Checkpoint` does not see layers in a list.
        self.stem = tuple(layer_of(part) for part in variants.STEM)
        self.body = tuple(layer_of(part) for part in variants.BODY)
        if options.num_classes is not None:
            rate = 1.0 - options.dropout_keep_prob  # TF-Slim's is the share that is kept.
            dropout = keras.layers.Dropout(rate, dtype=dtype, name="Dropout_0b")
            conv = Conv(
                options.num_classes,
                1,
                options,
                dtype,
                norm=False,
                stddev=variants.HEAD_INITIALIZER_STDDEV,
                name="Conv2d_0c_1x1",
            )
            self.logits = Branch(dropout, conv, dtype=dtype, name="Logits")

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
            window = variants.pool_window(net.shape)
            net = keras.ops.average_pool(net, window, variants.HEAD_POOL_STRIDE, padding="valid")
            end_points["AvgPool_0a_7x7"] = net
        if self.options.num_classes is None:
            return net, end_points
        net = self.logits(net, training=training)
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
        return self._forward(images, training)[0]

    def end_points(self, images: Any, training: bool = False) -> dict[str, Any]:
        """All activations under TF-Slim's names and in its order; arguments as for `call`."""
        self.options.check_images(images)
        images = keras.ops.cast(images, self.compute_dtype)
        return self._forward(images, training)[1]

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
