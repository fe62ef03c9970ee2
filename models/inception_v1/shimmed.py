"""Inception v1 as written for TF1 with TF-Slim, alive under the modeling shim.

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


def inception_arg_scope(options: variants.Options, is_training: bool) -> dict:
    """Defaults of Slim's layers: initializer, norm, activation and weight decay."""
    with (
        slim.arg_scope(
            [slim.conv2d],
            weights_initializer=slim.variance_scaling_initializer(variants.HEAD_INITIALIZER_FACTOR),
            weights_regularizer=slim.l2_regularizer(options.weight_decay),
            activation_fn=tf.nn.relu,
            normalizer_fn=slim.batch_norm,
        ),
        slim.arg_scope(
            [slim.batch_norm],
            decay=options.batch_norm_decay,
            epsilon=options.batch_norm_epsilon,
            scale=False,
            center=True,
        ),
        slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training) as scope,
    ):
        return scope


def base_arg_scope() -> dict:
    """What differs below the head: the initializer, and how maps are padded."""
    initializer = tf.truncated_normal_initializer(stddev=variants.INITIALIZER_STDDEV)
    with (
        slim.arg_scope([slim.conv2d], weights_initializer=initializer),
        slim.arg_scope([slim.conv2d, slim.max_pool2d], stride=1, padding="SAME") as scope,
    ):
        return scope


def apply_module(inputs, module: variants.Module) -> tf.Tensor:
    """An inception module: a 1x1 and two 3x3 convolutions and a pool, side by side."""
    with tf.variable_scope(module.name):
        with tf.variable_scope("Branch_0"):
            branch_0 = slim.conv2d(inputs, module.depth_1x1, 1, scope="Conv2d_0a_1x1")
        with tf.variable_scope("Branch_1"):
            branch_1 = slim.conv2d(inputs, module.reduce_3x3, 1, scope="Conv2d_0a_1x1")
            branch_1 = slim.conv2d(
                branch_1, module.depth_3x3, variants.KERNEL_SIZE, scope="Conv2d_0b_3x3"
            )
        with tf.variable_scope("Branch_2"):
            branch_2 = slim.conv2d(inputs, module.reduce_5x5, 1, scope="Conv2d_0a_1x1")
            branch_2 = slim.conv2d(
                branch_2, module.depth_5x5, variants.KERNEL_SIZE, scope=module.scope_5x5
            )
        with tf.variable_scope("Branch_3"):
            branch_3 = slim.max_pool2d(inputs, variants.POOL_SIZE, scope="MaxPool_0a_3x3")
            branch_3 = slim.conv2d(branch_3, module.pool_proj, 1, scope="Conv2d_0b_1x1")
        return tf.concat([branch_0, branch_1, branch_2, branch_3], axis=3)


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v1.shimmed")
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

    @shim.track_tf1_style_variables
    def _forward(self, images, training) -> tuple:
        with (
            tf.variable_scope(self.name),
            slim.arg_scope(inception_arg_scope(self.options, is_training=bool(training))),
        ):
            with slim.arg_scope(base_arg_scope()):
                net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net, end_points = images, {}
        for part in (*variants.STEM, *variants.BODY):
            if isinstance(part, variants.Conv):
                net = slim.conv2d(
                    net, part.depth, part.kernel_size, stride=part.stride, scope=part.name
                )
            elif isinstance(part, variants.Pool):
                net = slim.max_pool2d(net, part.kernel_size, stride=part.stride, scope=part.name)
            else:
                net = apply_module(net, part)
            end_points[part.name] = net
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
                    net, window, variants.HEAD_POOL_STRIDE, padding="VALID", scope="AvgPool_0a_7x7"
                )
                end_points["AvgPool_0a_7x7"] = net
            if options.num_classes is None:
                return net, end_points
            net = slim.dropout(net, keep_prob=options.dropout_keep_prob, scope="Dropout_0b")
            with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                net = slim.conv2d(net, options.num_classes, 1, scope="Conv2d_0c_1x1")
        if options.spatial_squeeze:
            net = tf.squeeze(net, [1, 2])
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
