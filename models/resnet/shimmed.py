"""ResNet v1 and v2 as written for TF1 with TF-Slim, alive under the modeling shim.

See `variants.py` for the papers and every number. What the decorated method runs is TF1 code:
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


def resnet_arg_scope(options: variants.Options, is_training: bool) -> dict:
    """Defaults of Slim's layers: initializer, norm, activation, padding and weight decay."""
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
            scale=True,
            center=True,
            is_training=is_training,
        ),
        slim.arg_scope([slim.max_pool2d], padding="SAME") as scope,
    ):
        return scope


def conv2d_same(inputs, num_outputs, kernel_size, stride, rate=1, scope=None) -> tf.Tensor:
    """A convolution that with a stride pads both sides alike, whatever the image's size."""
    if stride == 1:
        return slim.conv2d(inputs, num_outputs, kernel_size, rate=rate, padding="SAME", scope=scope)
    before = (kernel_size - 1) // 2
    after = kernel_size - 1 - before
    inputs = tf.pad(inputs, [[0, 0], [before, after], [before, after], [0, 0]])
    return slim.conv2d(inputs, num_outputs, kernel_size, stride, padding="VALID", scope=scope)


def subsample(inputs, factor, scope=None) -> tf.Tensor:
    """Every `factor`-th pixel."""
    return inputs if factor == 1 else slim.max_pool2d(inputs, [1, 1], factor, scope=scope)


def bottleneck_v1(inputs, unit: variants.Unit, outputs_collections) -> tf.Tensor:
    """A bottleneck unit: a 1x1, a 3x3 and a 1x1 convolution beside a shortcut."""
    with tf.variable_scope("bottleneck_v1") as scope:
        if unit.depth == inputs.shape[-1]:
            shortcut = subsample(inputs, unit.stride, "shortcut")
        else:
            shortcut = slim.conv2d(
                inputs, unit.depth, 1, unit.stride, activation_fn=None, scope="shortcut"
            )
        net = slim.conv2d(inputs, unit.depth_bottleneck, 1, scope="conv1")
        net = conv2d_same(net, unit.depth_bottleneck, 3, unit.stride, unit.rate, scope="conv2")
        net = slim.conv2d(net, unit.depth, 1, activation_fn=None, scope="conv3")
        net = tf.nn.relu(shortcut + net)
        return slim.utils.collect_named_outputs(outputs_collections, scope.name, net)


def bottleneck_v2(inputs, unit: variants.Unit, outputs_collections) -> tf.Tensor:
    """The same with the norms before the convolutions, and none behind the sum."""
    with tf.variable_scope("bottleneck_v2") as scope:
        preact = slim.batch_norm(inputs, activation_fn=tf.nn.relu, scope="preact")
        plain = {"activation_fn": None, "normalizer_fn": None}
        if unit.depth == inputs.shape[-1]:
            shortcut = subsample(inputs, unit.stride, "shortcut")
        else:
            shortcut = slim.conv2d(preact, unit.depth, 1, unit.stride, scope="shortcut", **plain)
        net = slim.conv2d(preact, unit.depth_bottleneck, 1, scope="conv1")
        net = conv2d_same(net, unit.depth_bottleneck, 3, unit.stride, unit.rate, scope="conv2")
        net = slim.conv2d(net, unit.depth, 1, scope="conv3", **plain)
        return slim.utils.collect_named_outputs(outputs_collections, scope.name, shortcut + net)


@keras.saving.register_keras_serializable(package="shimzoo.models.resnet.shimmed")
class Resnet(keras.Model):
    """ResNet v1 or v2.

    Args:
        variant: Name of the variant.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables,
            by default the variant's.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "resnet_v1_50",
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        **options: Any,
    ):
        record = published.by_name(variant)
        super().__init__(name=name or record.scope, dtype=dtype, trainable=trainable)
        self.variant = record
        self.options = variants.Options.of(record, **options)

    @shim.track_tf1_style_variables
    def _forward(self, images, training) -> tuple:
        end_points_collection = f"{self.name}_end_points"
        with (
            tf.variable_scope(self.name),
            slim.arg_scope(resnet_arg_scope(self.options, is_training=bool(training))),
            slim.arg_scope([slim.conv2d], outputs_collections=end_points_collection),
        ):
            net = self._body(images, end_points_collection)
            return self._head(net, end_points_collection)

    def _body(self, images, end_points_collection) -> tf.Tensor:
        is_v1 = self.variant.version == 1
        bottleneck = bottleneck_v1 if is_v1 else bottleneck_v2
        norm = {} if is_v1 else {"activation_fn": None, "normalizer_fn": None}
        with slim.arg_scope([slim.conv2d], **norm):
            net = conv2d_same(
                images,
                variants.STEM_DEPTH,
                variants.STEM_KERNEL_SIZE,
                variants.STEM_STRIDE,
                scope="conv1",
            )
        net = slim.max_pool2d(net, variants.POOL_SIZE, variants.POOL_STRIDE, scope="pool1")
        for unit in variants.units(self.variant, self.options):
            with tf.variable_scope(unit.block) as block, tf.variable_scope(unit.name):
                net = bottleneck(net, unit, end_points_collection)
            if unit.is_last:
                net = slim.utils.collect_named_outputs(end_points_collection, block.name, net)
        if not is_v1:
            net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope="postnorm")
        return net

    def _head(self, net, end_points_collection) -> tuple:
        end_points = slim.utils.convert_collection_to_dict(end_points_collection)
        if self.options.global_pool:
            net = tf.reduce_mean(net, [1, 2], name="pool5", keepdims=True)
            end_points["global_pool"] = net
        if self.options.num_classes is None:
            return net, end_points
        with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
            net = slim.conv2d(net, self.options.num_classes, 1, scope="logits")
        net = end_points[f"{self.name}/logits"] = tf.cast(net, tf.float32)
        if self.options.spatial_squeeze:
            net = tf.squeeze(net, [1, 2], name="SpatialSqueeze")
            end_points[f"{self.name}/spatial_squeeze"] = net
        end_points["predictions"] = slim.softmax(net, scope="predictions")
        return net, end_points

    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        """As `call`, with the bookkeeping of `keras.Model`."""
        self.options.check_images(images)  # In `call` Keras would wrap the message in its own.
        return super().__call__(images, *args, **kwargs)

    def call(self, images: Any, training: bool = False) -> Any:
        """Float32 logits `[B, num_classes]`; `[B, height, width, C]` unsqueezed, or without a head.

        Args:
            images: Float tensor `[B, H, W, 3]`, preprocessed as the variant says.
            training: Whether to use and learn the batch's statistics.
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
