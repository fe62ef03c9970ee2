"""Inception v1 half-way: native Keras layers in the body, TF-Slim in the stem and the head.

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


def truncated_normal(stddev: float) -> keras.Initializer:
    """A fresh initializer: Keras gives the same values again to a layer that shares one."""
    return keras.initializers.TruncatedNormal(mean=0.0, stddev=stddev)


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm without gamma and ReLU; or else only biases."""

    def __init__(
        self,
        filters,
        kernel_size,
        options,
        dtype,
        *,
        norm=True,
        stddev=variants.INITIALIZER_STDDEV,
        **settings,
    ):
        super().__init__(
            filters,
            kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=not norm,
            kernel_initializer=truncated_normal(stddev),
            # TF-Slim's is `weight_decay * sum(w ** 2) / 2`, and Keras' has no half.
            kernel_regularizer=L2(options.weight_decay / 2),
            bias_initializer="zeros",
            dtype=dtype,
            **settings,
        )
        if norm:
            self.batch_norm = BatchNorm(
                momentum=options.batch_norm_decay,
                epsilon=options.batch_norm_epsilon,
                scale=False,
                center=True,
                dtype=self.dtype_policy,
                name="BatchNorm",
            )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        super().build(input_shape)
        if not self.use_bias:
            self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        net = super().call(inputs)
        if self.use_bias:
            return net
        return keras.ops.relu(self.batch_norm(net, training=training))


def max_pool(size: int, stride: int, dtype: Any, *, name: str) -> keras.Layer:
    """`slim.max_pool2d` under `base_arg_scope`."""
    return keras.layers.MaxPool2D(size, stride, "same", "channels_last", dtype=dtype, name=name)


class Branch(keras.layers.Layer):
    """Layers in a row."""

    def __init__(self, *layers: keras.Layer, dtype, name: str):
        super().__init__(dtype=dtype, name=name)
        self.layers = layers

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for layer in self.layers:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations of the last layer."""
        for layer in self.layers:
            inputs = layer(inputs, training=training)
        return inputs


class Module(keras.layers.Layer):
    """An inception module: a 1x1 and two 3x3 convolutions and a pool, side by side."""

    def __init__(self, module: variants.Module, options, dtype):
        super().__init__(dtype=dtype, name=module.name)

        def branch(name, *layers) -> Branch:
            return Branch(*layers, dtype=dtype, name=name)

        size = variants.KERNEL_SIZE
        self.branches = (
            branch("Branch_0", Conv(module.depth_1x1, 1, options, dtype, name="Conv2d_0a_1x1")),
            branch(
                "Branch_1",
                Conv(module.reduce_3x3, 1, options, dtype, name="Conv2d_0a_1x1"),
                Conv(module.depth_3x3, size, options, dtype, name="Conv2d_0b_3x3"),
            ),
            branch(
                "Branch_2",
                Conv(module.reduce_5x5, 1, options, dtype, name="Conv2d_0a_1x1"),
                Conv(module.depth_5x5, size, options, dtype, name=module.scope_5x5),
            ),
            branch(
                "Branch_3",
                max_pool(variants.POOL_SIZE, 1, dtype, name="MaxPool_0a_3x3"),
                Conv(module.pool_proj, 1, options, dtype, name="Conv2d_0b_1x1"),
            ),
        )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for branch in self.branches:
            branch.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The maps of all branches, one behind the other."""
        maps = [branch(inputs, training=training) for branch in self.branches]
        return keras.ops.concatenate(maps, axis=3)


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v1.partially_native")
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
        self._make_layers(self.options, self.dtype_policy)

    def _make_layers(self, options, dtype) -> None:
        def layer_of(part) -> keras.Layer:
            if isinstance(part, variants.Module):
                return Module(part, options, dtype)
            return max_pool(part.kernel_size, part.stride, dtype, name=part.name)

        # A tuple, because `tf.train.Checkpoint` does not see layers in a list.
        self.body = tuple(layer_of(part) for part in variants.BODY)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights of the body; the first call makes those of the stem and the head."""
        net = keras.KerasTensor((None, None, None, variants.STEM_DEPTH))
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
            slim.arg_scope(inception_arg_scope(self.options, is_training=bool(training))),
        ):
            with slim.arg_scope(base_arg_scope()):
                net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net, end_points = images, {}
        for part in variants.STEM:
            if isinstance(part, variants.Conv):
                net = slim.conv2d(
                    net, part.depth, part.kernel_size, stride=part.stride, scope=part.name
                )
            else:
                net = slim.max_pool2d(net, part.kernel_size, stride=part.stride, scope=part.name)
            end_points[part.name] = net
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

    @property
    def weights(self) -> list[keras.Variable]:
        """In TF1's creation order, as the other versions have it: stem, body, head."""
        return self._in_creation_order(super().weights)

    @property
    def variables(self) -> list[keras.Variable]:
        """The weights, then the state of metrics."""
        return self._in_creation_order(super().variables)

    def _in_creation_order(self, variables) -> list[keras.Variable]:
        parts = [*(part.name for part in (*variants.STEM, *variants.BODY)), "Logits"]
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
