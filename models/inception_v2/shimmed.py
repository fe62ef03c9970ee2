"""Inception v2 as written for TF1 with TF-Slim, alive under the modeling shim.

See `variants.py` for the paper, the figures and every number. What the decorated method runs is TF1
code: scopes, `arg_scope` and Slim's layers, nothing native. Its variables have their TF1 names.
"""

import dataclasses
from typing import Any

import keras
import tensorflow.compat.v1 as tf

from ... import shim
from . import variants

shim.install()
import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies


def inception_arg_scope(options: variants.Options, is_training: bool) -> dict:
    """Defaults of Slim's layers: initializer, norm, activation, weight decay and padding."""
    with (
        slim.arg_scope(
            [slim.conv2d],  # Not of separable ones.
            weights_initializer=slim.variance_scaling_initializer(variants.INITIALIZER_FACTOR),
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
        slim.arg_scope([slim.conv2d, slim.separable_conv2d], padding="SAME"),
        slim.arg_scope([slim.max_pool2d, slim.avg_pool2d], stride=1, padding="SAME"),
        slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training) as scope,
    ):
        return scope


def truncated_normal(stddev: float) -> Any:
    """The initializer of convolutions that do not have the scope's."""
    return tf.truncated_normal_initializer(mean=0.0, stddev=stddev)


def mixed(inputs, module: variants.Mixed) -> tf.Tensor:
    """An inception module: a 1x1, a 3x3 and two 3x3 convolutions and a pool, side by side."""
    size, narrow = variants.KERNEL_SIZE, truncated_normal(variants.REDUCE_STDDEV)
    project = truncated_normal(variants.PROJECT_STDDEV)
    pool = slim.max_pool2d if module.pool == "MaxPool" else slim.avg_pool2d
    with tf.variable_scope(module.name):
        with tf.variable_scope("Branch_0"):
            branch_0 = slim.conv2d(inputs, module.depth_1x1, 1, scope="Conv2d_0a_1x1")
        with tf.variable_scope("Branch_1"):
            branch_1 = slim.conv2d(
                inputs, module.reduce_3x3, 1, weights_initializer=narrow, scope="Conv2d_0a_1x1"
            )
            branch_1 = slim.conv2d(branch_1, module.depth_3x3, size, scope="Conv2d_0b_3x3")
        with tf.variable_scope("Branch_2"):
            branch_2 = slim.conv2d(
                inputs, module.double_reduce, 1, weights_initializer=narrow, scope="Conv2d_0a_1x1"
            )
            branch_2 = slim.conv2d(branch_2, module.double_3x3, size, scope="Conv2d_0b_3x3")
            branch_2 = slim.conv2d(branch_2, module.double_3x3, size, scope="Conv2d_0c_3x3")
        with tf.variable_scope("Branch_3"):
            branch_3 = pool(inputs, variants.POOL_SIZE, scope=f"{module.pool}_0a_3x3")
            branch_3 = slim.conv2d(
                branch_3, module.pool_proj, 1, weights_initializer=project, scope="Conv2d_0b_1x1"
            )
        return tf.concat([branch_0, branch_1, branch_2, branch_3], axis=3)


def reduction(inputs, module: variants.Reduction) -> tf.Tensor:
    """An inception module that halves the map: its last branch passes the inputs on."""
    size, stride = variants.KERNEL_SIZE, variants.STRIDE
    narrow = truncated_normal(variants.REDUCE_STDDEV)
    with tf.variable_scope(module.name):
        with tf.variable_scope("Branch_0"):
            branch_0 = slim.conv2d(
                inputs, module.reduce_3x3, 1, weights_initializer=narrow, scope="Conv2d_0a_1x1"
            )
            branch_0 = slim.conv2d(branch_0, module.depth_3x3, size, stride, scope="Conv2d_1a_3x3")
        with tf.variable_scope("Branch_1"):
            branch_1 = slim.conv2d(
                inputs, module.double_reduce, 1, weights_initializer=narrow, scope="Conv2d_0a_1x1"
            )
            branch_1 = slim.conv2d(branch_1, module.double_3x3, size, scope="Conv2d_0b_3x3")
            branch_1 = slim.conv2d(branch_1, module.double_3x3, size, stride, scope="Conv2d_1a_3x3")
        with tf.variable_scope("Branch_2"):
            branch_2 = slim.max_pool2d(
                inputs, variants.POOL_SIZE, stride=stride, scope="MaxPool_1a_3x3"
            )
        return tf.concat([branch_0, branch_1, branch_2], axis=3)


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v2.shimmed")
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

    @shim.track_tf1_style_variables
    def _forward(self, images, training) -> tuple:
        with (
            tf.variable_scope(self.name),
            slim.arg_scope(inception_arg_scope(self.options, is_training=bool(training))),
        ):
            net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        first, second, third = self.options.stem_depths()
        size, narrow = variants.KERNEL_SIZE, truncated_normal(variants.STEM_1X1_STDDEV)
        net = slim.separable_conv2d(
            images,
            first,
            variants.STEM_KERNEL_SIZE,
            depth_multiplier=self.options.stem_multiplier(),
            stride=variants.STRIDE,
            weights_initializer=truncated_normal(variants.STEM_STDDEV),
            scope="Conv2d_1a_7x7",
        )
        end_points = {"Conv2d_1a_7x7": net}
        net = slim.max_pool2d(
            net, variants.POOL_SIZE, stride=variants.STRIDE, scope="MaxPool_2a_3x3"
        )
        end_points["MaxPool_2a_3x3"] = net
        net = slim.conv2d(net, second, 1, weights_initializer=narrow, scope="Conv2d_2b_1x1")
        end_points["Conv2d_2b_1x1"] = net
        net = end_points["Conv2d_2c_3x3"] = slim.conv2d(net, third, size, scope="Conv2d_2c_3x3")
        net = slim.max_pool2d(
            net, variants.POOL_SIZE, stride=variants.STRIDE, scope="MaxPool_3a_3x3"
        )
        end_points["MaxPool_3a_3x3"] = net
        for module in self.options.body():
            if isinstance(module, variants.Mixed):
                net = mixed(net, module)
            else:
                net = reduction(net, module)
            end_points[module.name] = net
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        options = self.options
        with tf.variable_scope("Logits"):
            if options.global_pool:
                net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
                end_points["global_pool"] = net
            else:
                window, stride = variants.pool_size(net.shape), variants.HEAD_POOL_STRIDE
                net = slim.avg_pool2d(
                    net, window, stride=stride, padding="VALID", scope="AvgPool_1a_7x7"
                )
                end_points["AvgPool_1a"] = net
            if options.num_classes is None:
                return net, end_points
            net = slim.dropout(net, keep_prob=options.dropout_keep_prob, scope="Dropout_1b")
            end_points["PreLogits"] = net
            with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                net = slim.conv2d(net, options.num_classes, 1, scope="Conv2d_1c_1x1")
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
        net, _ = self._forward(images, training)
        return net

    def end_points(self, images: Any, training: bool = False) -> dict[str, Any]:
        """All activations under TF-Slim's names and in its order; arguments as for `call`."""
        self.options.check_images(images)
        images = tf.cast(images, self.compute_dtype)
        _, end_points = self._forward(images, training)
        return end_points

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
