"""MobileNet v1 half-way: native Keras layers in the body, TF-Slim in the stem and the head.

See `variants.py` for the paper and every number. The stem's and the head's variables have their TF1
names, the native layers' have Keras' last part: `kernel` for `weights`.
"""

import dataclasses
from typing import Any

import keras
import tensorflow.compat.v1 as tf

from ... import shim
from ..batch_norm import BatchNorm
from ..regularizers import L2
from . import published, variants

shim.install()
import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies


def mobilenet_v1_arg_scope(options: variants.Options, is_training: bool) -> dict:
    """Defaults of Slim's layers: initializer, norm, activation and weight decay."""
    initializer = tf.truncated_normal_initializer(stddev=variants.INITIALIZER_STDDEV)
    regularizer = slim.l2_regularizer(options.weight_decay)
    with (
        slim.arg_scope(
            [slim.conv2d],
            weights_regularizer=regularizer,
            weights_initializer=initializer,
            activation_fn=tf.nn.relu6,
            normalizer_fn=slim.batch_norm,
            padding="SAME",
        ),
        slim.arg_scope(
            [slim.batch_norm],
            decay=options.batch_norm_decay,
            epsilon=options.batch_norm_epsilon,
            scale=True,
            center=True,
        ),
        slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training) as scope,
    ):
        return scope


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


@keras.saving.register_keras_serializable(package="shimzoo.models.mobilenet.partially_native")
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
        for i, conv in enumerate(options.conv_defs()[1:], start=1):
            body += [
                DepthwiseConv(conv, options, dtype, name=f"Conv2d_{i}_depthwise"),
                Conv(conv.depth, 1, 1, options, dtype, name=f"Conv2d_{i}_pointwise"),
            ]
        self.body = tuple(body)  # `tf.train.Checkpoint` does not see layers in a list.

    def build(self, input_shape: tuple) -> None:
        """Makes the weights of the body; the first call makes those of the stem and the head."""
        net = keras.KerasTensor((None, None, None, self.options.conv_defs()[0].depth))
        for layer in self.body:
            net = layer(net)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Makes all weights, for a file that is loaded: `build` makes the body's alone."""
        sides = [side or self.variant.input_size for side in config["input_shape"][1:3]]
        self(keras.ops.zeros((1, *sides, 3)))

    @shim.track_tf1_style_variables
    def _forward(self, images, training) -> tuple:
        with (
            tf.variable_scope(self.name),
            slim.arg_scope(mobilenet_v1_arg_scope(self.options, is_training=bool(training))),
        ):
            net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        conv = self.options.conv_defs()[0]
        net = slim.conv2d(images, conv.depth, conv.kernel_size, conv.stride, scope="Conv2d_0")
        end_points = {"Conv2d_0": net}
        for layer in self.body:
            net = end_points[layer.name] = layer(net, training=training)
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        options = self.options
        with tf.variable_scope("Logits"):
            if options.global_pool:
                net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
                end_points["global_pool"] = net
            else:
                window = variants.pool_window(net.shape)
                net = slim.avg_pool2d(
                    net, window, variants.POOL_STRIDE, padding="VALID", scope="AvgPool_1a"
                )
                end_points["AvgPool_1a"] = net
            if options.num_classes is None:
                return net, end_points
            net = slim.dropout(net, keep_prob=options.dropout_keep_prob, scope="Dropout_1b")
            with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                net = slim.conv2d(net, options.num_classes, 1, scope="Conv2d_1c_1x1")
            if options.spatial_squeeze:
                net = tf.squeeze(net, [1, 2], name="SpatialSqueeze")
        net = end_points["Logits"] = tf.cast(net, tf.float32)
        end_points["Predictions"] = slim.softmax(net, scope="Predictions")
        return net, end_points

    @property
    def weights(self) -> list[keras.Variable]:
        """In TF1's creation order, as the other versions have it: stem, body, head."""
        return self._in_creation_order(super().weights)

    @property
    def variables(self) -> list[keras.Variable]:
        """The weights, then the state of metrics."""
        return self._in_creation_order(super().variables)

    def _in_creation_order(self, variables) -> list[keras.Variable]:
        parts = ["Conv2d_0", *(layer.name for layer in self.body), "Logits"]
        scopes = [f"/{self.name}/{part}/" for part in parts]
        # A row with one True, at the variable's scope: the earlier, the greater.
        rows = {v.path: [scope in f"/{v.path}" for scope in scopes] for v in variables}
        return sorted(variables, key=lambda v: rows[v.path], reverse=True)

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
        images = tf.cast(images, self.compute_dtype)
        return self._forward(images, training)[1]

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
