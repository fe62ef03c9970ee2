"""Inception v3 as written for TF1 with TF-Slim, alive under the modeling shim.

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
            [slim.conv2d],
            weights_regularizer=slim.l2_regularizer(options.weight_decay),
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


def conv2d(net, conv: variants.Conv) -> tf.Tensor:
    """A convolution as the scope says, but for what the auxiliary head and logits have else."""
    settings: dict[str, Any] = {}
    if conv.stddev is not None:
        settings["weights_initializer"] = tf.truncated_normal_initializer(stddev=conv.stddev)
    if conv.gives_logits:
        settings |= {"activation_fn": None, "normalizer_fn": None}
    return slim.conv2d(
        net, conv.depth, conv.kernel_size, conv.stride, conv.padding, scope=conv.name, **settings
    )


def pool2d(net, pool: variants.Pool) -> tf.Tensor:
    """An average or a maximum pool."""
    slim_pool = slim.avg_pool2d if pool.is_average else slim.max_pool2d
    return slim_pool(net, pool.size, pool.stride, pool.padding, scope=pool.name)


def branch(net, plan: variants.Branch) -> tf.Tensor:
    """Convolutions and pools one after another, some with a fork at the end."""
    with tf.variable_scope(plan.name):
        for step in plan.steps:
            net = conv2d(net, step) if isinstance(step, variants.Conv) else pool2d(net, step)
        return tf.concat([conv2d(net, conv) for conv in plan.fork], 3) if plan.fork else net


def module(net, plan: variants.Module) -> tf.Tensor:
    """Branches that see the same map, and whose channels are stacked."""
    with tf.variable_scope(plan.name):
        return tf.concat([branch(net, each) for each in plan.branches], 3)


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v3.shimmed")
class InceptionV3(keras.Model):
    """Inception v3.

    Args:
        variant: Name of the variant.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "inception_v3",
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
        for step in self.options.stem():
            net = conv2d(net, step) if isinstance(step, variants.Conv) else pool2d(net, step)
            end_points[step.name] = net
        for plan in self.options.modules():
            net = end_points[plan.name] = module(net, plan)
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        options = self.options
        if options.has_aux_logits:
            aux = end_points[variants.AUX_END_POINT]
            aux = branch(aux, options.aux_logits(aux.shape))
            end_points["AuxLogits"] = self._as_logits(aux)
        if options.global_pool:
            net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
            end_points["global_pool"] = net
        else:
            window = variants.window(net.shape, variants.POOL_SIZE)
            net = slim.avg_pool2d(net, window, variants.POOL_STRIDE, padding="VALID")
            end_points["AvgPool_1a"] = net
        if options.num_classes is None:
            return net, end_points
        net = slim.dropout(net, keep_prob=options.dropout_keep_prob, scope="Dropout_1b")
        end_points["PreLogits"] = net
        net = end_points["Logits"] = self._as_logits(branch(net, options.logits()))
        end_points["Predictions"] = slim.softmax(net, scope="Predictions")
        return net, end_points

    def _as_logits(self, net) -> tf.Tensor:
        if self.options.spatial_squeeze:
            net = tf.squeeze(net, [1, 2])
        return tf.cast(net, tf.float32)

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """As `call`, with the bookkeeping of `keras.Model`."""
        self._check_images(images)  # In `call` Keras would wrap the message in its own.
        return super().__call__(images, *args, **kwargs)

    def _check_images(self, images) -> None:
        built_for = self.get_build_config()["input_shape"] if self.built else None
        self.options.check_images(images, built_for)

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
        self._check_images(images)
        images = tf.cast(images, self.compute_dtype)
        _, end_points = self._forward(images, training)
        return end_points

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
