"""MobileNet v1 in pure Keras.

See `variants.py` for the paper and every number. Layers carry the names of TF-Slim's scopes:
`MobilenetV1/Conv2d_0/kernel` here is `MobilenetV1/Conv2d_0/weights` in a TF1 checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from ..regularizers import L2
from . import published, variants


def truncated_normal() -> keras.Initializer:
    """A fresh initializer: Keras gives the same values again to a layer that shares one."""
    return keras.initializers.TruncatedNormal(mean=0.0, stddev=variants.INITIALIZER_STDDEV)


def l2(weight_decay: float) -> keras.Regularizer:
    """TF-Slim's `l2_regularizer`: `weight_decay * sum(w ** 2) / 2`, and Keras' L2 has no half."""
    return L2(weight_decay / 2)


def batch_norm(options: variants.Options, dtype: Any) -> BatchNorm:
    """`slim.batch_norm` under `mobilenet_v1_arg_scope`."""
    return BatchNorm(
        momentum=options.batch_norm_decay,
        epsilon=options.batch_norm_epsilon,
        scale=True,
        center=True,
        dtype=dtype,
        name="BatchNorm",
    )


class Conv(keras.layers.Conv2D):
    """A convolution without bias, batch norm and ReLU6: `slim.conv2d` with a `normalizer_fn`."""

    def __init__(self, filters: int, kernel_size: int, stride: int, options, dtype, *, name: str):
        super().__init__(
            filters,
            kernel_size,
            strides=stride,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            kernel_initializer=truncated_normal(),
            kernel_regularizer=l2(options.weight_decay),
            dtype=dtype,
            name=name,
        )
        self.batch_norm = batch_norm(options, self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        super().build(input_shape)
        self.batch_norm.build(self.compute_output_shape(input_shape))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, H, W, C]` in [0, 6]."""
        net = super().call(inputs)
        return keras.ops.relu6(self.batch_norm(net, training=training))


class DepthwiseConv(keras.layers.DepthwiseConv2D):
    """A depthwise convolution, batch norm and ReLU6: `slim.separable_conv2d(net, None, ...)`."""

    def __init__(self, conv, options, dtype, *, name: str):
        super().__init__(
            conv.kernel_size,
            strides=conv.stride,
            dilation_rate=conv.rate,
            depth_multiplier=1,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            depthwise_initializer=truncated_normal(),
            dtype=dtype,
            name=name,
        )
        self.batch_norm = batch_norm(options, self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        """As in the base class, which calls the weight `kernel`."""
        self.kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(*self.kernel_size, input_shape[-1], self.depth_multiplier),
            initializer=self.depthwise_initializer,
        )
        self.batch_norm.build(self.compute_output_shape(input_shape))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, H, W, C]` in [0, 6]."""
        net = super().call(inputs)
        return keras.ops.relu6(self.batch_norm(net, training=training))


class Logits(keras.layers.Layer):
    """The head after pooling: dropout and a 1x1 convolution with biases."""

    def __init__(self, options: variants.Options, dtype, *, name: str):
        super().__init__(dtype=dtype, name=name)
        # Keras takes the share that is dropped, TF-Slim the one that is kept.
        self.dropout = keras.layers.Dropout(
            1.0 - options.dropout_keep_prob, dtype=dtype, name="Dropout_1b"
        )
        self.conv = keras.layers.Conv2D(
            options.num_classes,
            1,
            padding="same",
            data_format="channels_last",
            kernel_initializer=truncated_normal(),
            kernel_regularizer=l2(options.weight_decay),
            bias_initializer="zeros",
            dtype=dtype,
            name="Conv2d_1c_1x1",
        )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        self.conv.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Logits `[B, height, width, num_classes]` of features `[B, height, width, C]`."""
        return self.conv(self.dropout(inputs, training=training))


@keras.saving.register_keras_serializable(package="shimzoo.models.mobilenet.native")
class MobilenetV1(keras.Model):
    """MobileNet v1.

    Args:
        variant: Name of the variant, which decides the depth multiplier if no option does.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "mobilenet_v1_1.0_224",
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
        body: list[keras.Layer] = []
        for i, conv in enumerate(options.conv_defs()):
            scope = f"Conv2d_{i}"
            if conv.separable:
                body += [
                    DepthwiseConv(conv, options, dtype, name=f"{scope}_depthwise"),
                    Conv(conv.depth, 1, 1, options, dtype, name=f"{scope}_pointwise"),
                ]
            else:
                body.append(
                    Conv(conv.depth, conv.kernel_size, conv.stride, options, dtype, name=scope)
                )
        self.body = tuple(body)  # `tf.train.Checkpoint` does not see layers in a list.
        if options.num_classes is not None:
            self.logits = Logits(options, dtype, name="Logits")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for images `[B, H, W, 3]`."""
        for layer in self.body:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)
        if self.options.num_classes is not None:
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
        if options.global_pool:
            net = keras.ops.mean(net, axis=(1, 2), keepdims=True)
            end_points["global_pool"] = net
        else:
            window = variants.pool_window(net.shape)
            net = keras.ops.average_pool(net, window, variants.POOL_STRIDE, padding="valid")
            end_points["AvgPool_1a"] = net
        if options.num_classes is None:
            return net, end_points
        net = self.logits(net, training=training)
        if options.spatial_squeeze:
            # `keras.ops.squeeze` refuses maps of unknown size.
            net = keras.ops.reshape(net, (keras.ops.shape(net)[0], options.num_classes))
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
