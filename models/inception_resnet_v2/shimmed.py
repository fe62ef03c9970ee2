"""Inception-ResNet v2 as written for TF1 with TF-Slim, alive under the modeling shim.

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
    """Defaults of Slim's layers: norm, activation and weight decay."""
    with (
        slim.arg_scope(
            [slim.conv2d, slim.fully_connected],
            weights_regularizer=slim.l2_regularizer(options.weight_decay),
            biases_regularizer=slim.l2_regularizer(options.weight_decay),
        ),
        slim.arg_scope([slim.conv2d], activation_fn=tf.nn.relu, normalizer_fn=slim.batch_norm),
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


def apply(net, step: variants.Conv | variants.Pool | variants.Dense) -> tf.Tensor:
    """One layer of a branch, of the stem or of a head."""
    if isinstance(step, variants.Dense):
        return slim.fully_connected(net, step.depth, activation_fn=None, scope=step.name)
    if isinstance(step, variants.Conv):
        return slim.conv2d(
            net, step.depth, step.kernel_size, step.stride, step.padding, scope=step.name
        )
    pool2d = slim.avg_pool2d if step.is_average else slim.max_pool2d
    return pool2d(net, step.kernel_size, step.stride, step.padding, scope=step.name)


def apply_branch(net, branch: variants.Branch) -> tf.Tensor:
    """Layers one after another."""
    with tf.variable_scope(branch.name):
        for step in branch.steps:
            net = apply(net, step)
        return net


def stacked(net, branches: tuple[variants.Branch, ...]) -> tf.Tensor:
    """What branches that see the same map give, their channels stacked."""
    return tf.concat([apply_branch(net, branch) for branch in branches], 3)


def apply_module(net, module: variants.Module) -> tf.Tensor:
    """A module without a shortcut."""
    with tf.variable_scope(module.name):
        return stacked(net, module.branches)


def residual(net, block: variants.Block, scope=None) -> tf.Tensor:
    """A block whose branches are mapped to the depth of its inputs, scaled and added to them."""
    with tf.variable_scope(scope, block.name, [net]):
        up = slim.conv2d(
            stacked(net, block.branches),
            block.depth,
            1,
            normalizer_fn=None,
            activation_fn=None,
            scope="Conv2d_1x1",
        )
        net += up * block.scale
        return tf.nn.relu(net) if block.has_relu else net


def block35(net, scope=None) -> tf.Tensor:
    """A block of 35x35 pixels."""
    return residual(net, variants.BLOCKS_35.block, scope)


def block17(net, scope=None) -> tf.Tensor:
    """A block of 17x17 pixels."""
    return residual(net, variants.BLOCKS_17.block, scope)


def block8(net, scope=None) -> tf.Tensor:
    """A block of 8x8 pixels."""
    return residual(net, variants.BLOCKS_8.block, scope)


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_resnet_v2.shimmed")
class InceptionResnetV2(keras.Model):
    """Inception-ResNet v2.

    Args:
        variant: Name of the variant.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "inception_resnet_v2",
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
        net, end_points = images, {}
        for step in variants.STEM:
            net = end_points[step.name] = apply(net, step)
        net = end_points["Mixed_5b"] = apply_module(net, variants.MIXED_5B)
        net = slim.repeat(net, variants.BLOCKS_35.count, block35)
        net = end_points["Mixed_6a"] = apply_module(net, variants.MIXED_6A)
        net = slim.repeat(net, variants.BLOCKS_17.count, block17)
        end_points["PreAuxLogits"] = net
        net = end_points["Mixed_7a"] = apply_module(net, variants.MIXED_7A)
        net = slim.repeat(net, variants.BLOCKS_8.count, block8)
        net = residual(net, variants.LAST_BLOCK)
        net = end_points["Conv2d_7b_1x1"] = apply(net, variants.LAST_CONV)
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        options = self.options
        if options.has_aux_logits:
            aux = end_points[variants.AUX_END_POINT]
            aux = tf.squeeze(apply_branch(aux, options.aux_logits(aux.shape)), [1, 2])
            end_points["AuxLogits"] = tf.cast(aux, tf.float32)
        net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
        end_points["global_pool"] = net
        if options.num_classes is None:
            return net, end_points
        net = slim.flatten(net)
        net = slim.dropout(net, keep_prob=options.dropout_keep_prob, scope="Dropout")
        end_points["PreLogitsFlatten"] = net
        net = apply_branch(net, options.logits())
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
        return self._forward(images, training)[0]

    def end_points(self, images: Any, training: bool = False) -> dict[str, Any]:
        """All activations under TF-Slim's names and in its order; arguments as for `call`."""
        self.options.check_images(images, self.get_build_config())
        images = tf.cast(images, self.compute_dtype)
        return self._forward(images, training)[1]

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
