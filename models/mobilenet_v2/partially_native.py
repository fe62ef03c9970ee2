"""MobileNet v2 half-way: native Keras layers in the body, TF-Slim in the stem and the head.

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


def training_scope(options: variants.Options, is_training: bool) -> dict:
    """Defaults of Slim's layers: initializer, norm, activation and weight decay."""
    initializer = tf.truncated_normal_initializer(stddev=variants.INITIALIZER_STDDEV)
    with (
        slim.arg_scope(
            [slim.conv2d],
            weights_initializer=initializer,
            activation_fn=tf.nn.relu6,
            normalizer_fn=slim.batch_norm,
            padding="SAME",
        ),
        slim.arg_scope(
            [slim.conv2d], weights_regularizer=slim.l2_regularizer(options.weight_decay)
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


def batch_norm(options: variants.Options, dtype: Any) -> BatchNorm:
    """`slim.batch_norm` under `training_scope`."""
    return BatchNorm(
        momentum=options.batch_norm_decay,
        epsilon=options.batch_norm_epsilon,
        scale=True,
        center=True,
        dtype=dtype,
        name="BatchNorm",
    )


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm or else biases, and ReLU6 or none."""

    def __init__(
        self, filters, kernel_size, options, dtype, *, stride=1, norm=True, relu6=True, name
    ):
        super().__init__(
            filters,
            kernel_size,
            strides=stride,
            padding="same",
            data_format="channels_last",
            use_bias=not norm,
            kernel_initializer=truncated_normal(),
            # TF-Slim's is `weight_decay * sum(w ** 2) / 2`, and Keras' has no half.
            kernel_regularizer=L2(options.weight_decay / 2),
            bias_initializer="zeros",
            dtype=dtype,
            name=name,
        )
        self.batch_norm = batch_norm(options, self.dtype_policy) if norm else None
        self.relu6 = relu6

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        super().build(input_shape)
        if self.batch_norm is not None:
            self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        net = super().call(inputs)
        if self.batch_norm is not None:
            net = self.batch_norm(net, training=training)
        return keras.ops.relu6(net) if self.relu6 else net


class DepthwiseConv(keras.layers.DepthwiseConv2D):
    """A depthwise convolution, batch norm and ReLU6: `slim.separable_conv2d(net, None, ...)`."""

    def __init__(self, kernel_size, options, dtype, *, stride, rate, name):
        super().__init__(
            kernel_size,
            strides=stride,
            dilation_rate=rate,
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
        self.batch_norm.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, H, W, C]` in [0, 6]."""
        net = super().call(inputs)
        return keras.ops.relu6(self.batch_norm(net, training=training))


class Bottleneck(keras.layers.Layer):
    """An inverted residual: expand, filter each channel, project; nothing on the narrow maps."""

    def __init__(self, bottleneck: variants.Bottleneck, options, dtype):
        super().__init__(dtype=dtype, name=bottleneck.name)
        self.bottleneck = bottleneck
        self.expand = None
        if bottleneck.has_expansion:
            self.expand = Conv(bottleneck.inner_depth, 1, options, dtype, name="expand")
        size, stride, rate = variants.KERNEL_SIZE, bottleneck.stride, bottleneck.rate
        self.depthwise = DepthwiseConv(
            size, options, dtype, stride=stride, rate=rate, name="depthwise"
        )
        self.project = Conv(bottleneck.depth, 1, options, dtype, relu6=False, name="project")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        if self.expand is not None:
            self.expand.build(input_shape)
        inner_shape = (*input_shape[:3], self.bottleneck.inner_depth)
        self.depthwise.build(inner_shape)
        self.project.build(inner_shape)

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """Activations by the names of their end points; `output` is the last."""
        end_points, net = {}, inputs
        if self.expand is not None:
            net = end_points["expansion_output"] = self.expand(net, training=training)
        net = end_points["depthwise_output"] = self.depthwise(net, training=training)
        net = self.project(net, training=training)
        end_points["output"] = net + inputs if self.bottleneck.has_residual else net
        return end_points


@keras.saving.register_keras_serializable(package="shimzoo.models.mobilenet_v2.partially_native")
class MobilenetV2(keras.Model):
    """MobileNet v2.

    Args:
        variant: Name of the variant, which decides the depth multiplier if no option does.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "mobilenet_v2_1.0_224",
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
        # A tuple, because `tf.train.Checkpoint` does not see layers in a list.
        self.bottlenecks = tuple(Bottleneck(b, options, dtype) for b in options.bottlenecks())

    def build(self, input_shape: tuple) -> None:
        """Makes the weights of the body; the first call makes those of the stem and the head."""
        shape = (None, None, None, self.options.stem_depth())
        for layer in self.bottlenecks:
            layer.build(shape)
            shape = (None, None, None, layer.bottleneck.depth)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Makes all weights, for a file that is loaded: `build` makes the body's alone."""
        sides = [side or self.variant.input_size for side in config["input_shape"][1:3]]
        self(keras.ops.zeros((1, *sides, 3)))

    @shim.track_tf1_style_variables
    def _forward(self, images, training) -> tuple:
        with (
            tf.variable_scope(self.name),
            slim.arg_scope(training_scope(self.options, is_training=bool(training))),
        ):
            net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net = slim.conv2d(
            images,
            self.options.stem_depth(),
            variants.STEM_KERNEL_SIZE,
            variants.STEM_STRIDE,
            scope="Conv",
        )
        end_points, inner_end_points = {"layer_1": net}, dict[str, Any]()
        for number, layer in enumerate(self.bottlenecks, start=2):
            inner = layer(net, training=training)
            inner_end_points |= {f"layer_{number}/{key}": value for key, value in inner.items()}
            net = end_points[f"layer_{number}"] = inner["output"]
        net = slim.conv2d(net, self.options.last_depth(), 1, scope="Conv_1")
        end_points[f"layer_{len(self.bottlenecks) + 2}"] = net
        return net, end_points | inner_end_points

    def _head(self, net, training, end_points) -> tuple:
        if self.options.global_pool:
            net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
            end_points["global_pool"] = net
        if self.options.num_classes is None:
            return net, end_points
        with tf.variable_scope("Logits"):
            net = slim.dropout(net, keep_prob=self.options.dropout_keep_prob, scope="Dropout")
            with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                net = slim.conv2d(net, self.options.num_classes, 1, scope="Conv2d_1c_1x1")
        if self.options.spatial_squeeze:
            net = tf.squeeze(net, [1, 2])
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
        parts = ["Conv", *(layer.name for layer in self.bottlenecks), "Conv_1", "Logits"]
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
