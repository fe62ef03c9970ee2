"""Inception v4 as written for TF1 with TF-Slim, alive under the modeling shim.

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
    """Defaults of Slim's layers: initializer, norm, activation and weight decay."""
    with (
        slim.arg_scope(
            [slim.conv2d, slim.fully_connected],
            weights_regularizer=slim.l2_regularizer(options.weight_decay),
        ),
        slim.arg_scope(
            [slim.conv2d],
            weights_initializer=slim.variance_scaling_initializer(variants.INITIALIZER_FACTOR),
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


def conv2d(inputs, conv: variants.Conv) -> tf.Tensor:
    """A convolution, batch norm and ReLU."""
    return slim.conv2d(
        inputs,
        conv.depth,
        conv.kernel_size or inputs.shape[1:3],
        conv.stride,
        conv.padding,
        scope=conv.name,
    )


def pool2d(inputs, pool: variants.Pool) -> tf.Tensor:
    """A maximum or an average."""
    layer = slim.max_pool2d if pool.kind == "max" else slim.avg_pool2d
    return layer(inputs, pool.kernel_size, pool.stride, pool.padding, scope=pool.name)


def branch_outputs(inputs, branch: variants.Branch) -> list[tf.Tensor]:
    """What one way through a module ends with, one or a fork."""
    net = inputs if branch.pool is None else pool2d(inputs, branch.pool)
    for conv in branch.convs:
        net = conv2d(net, conv)
    return [conv2d(net, conv) for conv in branch.fork] or [net]


def mixed(inputs, module: variants.Module) -> tf.Tensor:
    """Branches side by side, joined by their channels."""
    outputs: list[tf.Tensor] = []
    with tf.variable_scope(module.name):
        for number, branch in enumerate(module.branches):
            with tf.variable_scope(f"Branch_{number}"):
                outputs += branch_outputs(inputs, branch)
        return tf.concat(outputs, 3)


def aux_logits(inputs, num_classes: int) -> tf.Tensor:
    """The auxiliary head: logits `[B, num_classes]`."""
    with tf.variable_scope("AuxLogits"):
        pool = variants.AUX_POOL
        net = slim.avg_pool2d(inputs, pool.kernel_size, pool.stride, pool.padding, scope=pool.name)
        net = conv2d(net, variants.AUX_CONV)
        net = conv2d(net, variants.AUX_LAST_CONV)
        net = slim.flatten(net)
        return slim.fully_connected(net, num_classes, activation_fn=None, scope="Aux_logits")


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v4.shimmed")
class InceptionV4(keras.Model):
    """Inception v4.

    Args:
        variant: Name of the variant.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "inception_v4",
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
        net, end_points = images, {}
        for conv in variants.STEM:
            net = end_points[conv.name] = conv2d(net, conv)
        for module in variants.MODULES:
            net = end_points[module.name] = mixed(net, module)
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        options = self.options
        if options.has_aux_logits:
            aux = aux_logits(end_points[variants.AUX_END_POINT], options.num_classes)
            end_points["AuxLogits"] = tf.cast(aux, tf.float32)
        with tf.variable_scope("Logits"):
            net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
            end_points["global_pool"] = net
            if options.num_classes is None:
                return net, end_points
            net = slim.dropout(net, keep_prob=options.dropout_keep_prob, scope="Dropout_1b")
            net = end_points["PreLogitsFlatten"] = slim.flatten(net, scope="PreLogitsFlatten")
            net = slim.fully_connected(net, options.num_classes, activation_fn=None, scope="Logits")
        net = end_points["Logits"] = tf.cast(net, tf.float32)
        end_points["Predictions"] = tf.nn.softmax(net, name="Predictions")
        return net, end_points

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """As `call`, with the bookkeeping of `keras.Model`."""
        # In `call` Keras would wrap the message in its own.
        self.options.check_images(images, self.get_build_config())
        return super().__call__(images, *args, **kwargs)

    def call(self, images: Any, training: bool = False) -> Any:
        """Float32 logits `[B, num_classes]`, or features `[B, 1, 1, 1536]` without a head.

        Args:
            images: Float tensor `[B, H, W, 3]` in [-1, 1].
            training: Whether to use and learn the batch's statistics, and to drop features.
        """
        net, _ = self._forward(images, training)
        return net

    def end_points(self, images: Any, training: bool = False) -> dict[str, Any]:
        """All activations under TF-Slim's names and in its order; arguments as for `call`."""
        self.options.check_images(images, self.get_build_config())
        images = tf.cast(images, self.compute_dtype)
        _, end_points = self._forward(images, training)
        return end_points

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
