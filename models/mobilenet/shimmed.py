"""MobileNet v1 as written for TF1 with TF-Slim, alive under the modeling shim.

See `variants.py` for the paper and every number. What the decorated method runs is TF1 code:
scopes, `arg_scope` and Slim's layers, nothing native. Its variables have their TF1 names.
"""

import dataclasses
from typing import Any

import keras
import tensorflow.compat.v1 as tf

from ... import shim
from . import published, variants

shim.install()
import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies


def mobilenet_v1_arg_scope(options: variants.Options, is_training: bool) -> dict:
    """Defaults of Slim's layers: initializer, norm, activation and weight decay."""
    initializer = tf.truncated_normal_initializer(stddev=variants.INITIALIZER_STDDEV)
    regularizer = slim.l2_regularizer(options.weight_decay)
    with (
        slim.arg_scope(
            [slim.conv2d, slim.separable_conv2d],
            weights_initializer=initializer,
            activation_fn=tf.nn.relu6,
            normalizer_fn=slim.batch_norm,
            padding="SAME",
        ),
        slim.arg_scope([slim.conv2d], weights_regularizer=regularizer),  # Not on depthwise ones.
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


@keras.saving.register_keras_serializable(package="shimzoo.models.mobilenet.shimmed")
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

    @shim.track_tf1_style_variables
    def _forward(self, images, training) -> tuple:
        with (
            tf.variable_scope(self.name),
            slim.arg_scope(mobilenet_v1_arg_scope(self.options, is_training=bool(training))),
        ):
            net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net, end_points = images, {}
        for i, conv in enumerate(self.options.conv_defs()):
            scope = f"Conv2d_{i}"
            if conv.separable:
                net = end_points[f"{scope}_depthwise"] = slim.separable_conv2d(
                    net,
                    None,  # No pointwise convolution.
                    conv.kernel_size,
                    depth_multiplier=1,
                    stride=conv.stride,
                    rate=conv.rate,
                    scope=f"{scope}_depthwise",
                )
                net = end_points[f"{scope}_pointwise"] = slim.conv2d(
                    net, conv.depth, 1, stride=1, scope=f"{scope}_pointwise"
                )
            else:
                net = end_points[scope] = slim.conv2d(
                    net, conv.depth, conv.kernel_size, stride=conv.stride, scope=scope
                )
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
