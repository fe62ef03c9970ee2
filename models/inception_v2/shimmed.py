"""Inception v2 as written for TF1 with TF-Slim, alive under the modeling shim.

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
        slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training) as scope,
    ):
        return scope


def apply(net, step: variants.Conv | variants.Pool) -> tf.Tensor:
    """One layer of a branch, of the stem or of the head; it says what differs from the scope."""
    if isinstance(step, variants.Pool):
        pool2d = slim.avg_pool2d if step.is_average else slim.max_pool2d
        return pool2d(net, step.kernel_size, step.stride, step.padding, scope=step.name)
    settings: dict[str, Any] = {}
    if step.stddev is not None:
        settings["weights_initializer"] = tf.truncated_normal_initializer(stddev=step.stddev)
    if step.is_linear:
        settings |= {"activation_fn": None, "normalizer_fn": None}
    return slim.conv2d(
        net, step.depth, step.kernel_size, step.stride, step.padding, scope=step.name, **settings
    )


def apply_separable(net, step: variants.SeparableConv) -> tf.Tensor:
    """The first layer, which the scope's norm and weight decay do not reach."""
    return slim.separable_conv2d(
        net,
        step.depth,
        step.kernel_size,
        depth_multiplier=step.depth_multiplier,
        stride=step.stride,
        padding=step.padding,
        weights_initializer=tf.truncated_normal_initializer(stddev=step.stddev),
        scope=step.name,
    )


def apply_branch(net, branch: variants.Branch) -> tf.Tensor:
    """Layers one after another."""
    with tf.variable_scope(branch.name):
        for step in branch.steps:
            net = apply(net, step)
        return net


def apply_module(net, module: variants.Module) -> tf.Tensor:
    """Branches that see the same map, and whose channels are stacked."""
    with tf.variable_scope(module.name):
        return tf.concat([apply_branch(net, branch) for branch in module.branches], 3)


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
            net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        first, *others = self.options.stem()
        net = apply_separable(images, first)
        end_points = {first.name: net}
        for step in others:
            net = end_points[step.name] = apply(net, step)
        for module in self.options.body():
            net = end_points[module.name] = apply_module(net, module)
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        options = self.options
        if options.global_pool:
            net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
            end_points["global_pool"] = net
        else:
            window, stride = variants.pool_window(net.shape), variants.HEAD_POOL_STRIDE
            net = slim.avg_pool2d(net, window, stride, padding="VALID", scope="AvgPool_1a_7x7")
            end_points["AvgPool_1a"] = net
        if options.num_classes is None:
            return net, end_points
        net = slim.dropout(net, keep_prob=options.dropout_keep_prob, scope="Dropout_1b")
        end_points["PreLogits"] = net
        net = apply_branch(net, options.logits())
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
