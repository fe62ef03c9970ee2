"""Inception v2 half-way: native Keras layers in the body, TF-Slim in the stem and the head.

See `variants.py` for the paper, the figures and every number. The stem's and the head's variables
have their TF1 names, the native layers' have Keras' last part: `kernel` for `weights`.
"""

import dataclasses
from typing import Any

import keras
import tensorflow.compat.v1 as tf

from ... import shim
from ..batch_norm import BatchNorm
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


def initializer(stddev: float | None) -> keras.Initializer:
    """A fresh one: Keras gives the same values again to a layer that shares one."""
    if stddev is not None:
        return keras.initializers.TruncatedNormal(mean=0.0, stddev=stddev)
    scale = variants.INITIALIZER_SCALE  # `slim.variance_scaling_initializer()`.
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm without gamma and ReLU; or else only biases."""

    def __init__(self, filters, kernel_size, options, dtype, *, stddev=None, norm=True, **settings):
        super().__init__(
            filters,
            kernel_size,
            padding="same",
            data_format="channels_last",
            use_bias=not norm,
            kernel_initializer=initializer(stddev),
            # TF-Slim's is `weight_decay * sum(w ** 2) / 2`, and Keras' has no half.
            kernel_regularizer=keras.regularizers.L2(options.weight_decay / 2),
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


def pool(name: str, stride: int, dtype: Any) -> keras.Layer:
    """`slim.max_pool2d` or `slim.avg_pool2d`, as the name says."""
    kind = keras.layers.MaxPool2D if name.startswith("MaxPool") else keras.layers.AvgPool2D
    return kind(variants.POOL_SIZE, stride, "same", "channels_last", dtype=dtype, name=name)


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


class Branches(keras.layers.Layer):
    """Branches side by side."""

    def __init__(self, *branches: list[keras.layers.Layer], dtype, name: str):
        super().__init__(dtype=dtype, name=name)
        self.branches = tuple(
            Branch(*layers, dtype=dtype, name=f"Branch_{i}") for i, layers in enumerate(branches)
        )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for branch in self.branches:
            branch.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The maps of all branches, one behind the other."""
        maps = [branch(inputs, training=training) for branch in self.branches]
        return keras.ops.concatenate(maps, axis=3)


class Mixed(Branches):
    """An inception module: a 1x1, a 3x3 and two 3x3 convolutions and a pool, side by side."""

    def __init__(self, module: variants.Mixed, options, dtype):
        size, narrow = variants.KERNEL_SIZE, variants.REDUCE_STDDEV
        project = variants.PROJECT_STDDEV
        super().__init__(
            [Conv(module.depth_1x1, 1, options, dtype, name="Conv2d_0a_1x1")],
            [
                Conv(module.reduce_3x3, 1, options, dtype, stddev=narrow, name="Conv2d_0a_1x1"),
                Conv(module.depth_3x3, size, options, dtype, name="Conv2d_0b_3x3"),
            ],
            [
                Conv(module.double_reduce, 1, options, dtype, stddev=narrow, name="Conv2d_0a_1x1"),
                Conv(module.double_3x3, size, options, dtype, name="Conv2d_0b_3x3"),
                Conv(module.double_3x3, size, options, dtype, name="Conv2d_0c_3x3"),
            ],
            [
                pool(f"{module.pool}_0a_3x3", 1, dtype),
                Conv(module.pool_proj, 1, options, dtype, stddev=project, name="Conv2d_0b_1x1"),
            ],
            dtype=dtype,
            name=module.name,
        )


class Reduction(Branches):
    """An inception module that halves the map: its last branch passes the inputs on."""

    def __init__(self, module: variants.Reduction, options, dtype):
        size, narrow, stride = variants.KERNEL_SIZE, variants.REDUCE_STDDEV, variants.STRIDE
        super().__init__(
            [
                Conv(module.reduce_3x3, 1, options, dtype, stddev=narrow, name="Conv2d_0a_1x1"),
                Conv(module.depth_3x3, size, options, dtype, strides=stride, name="Conv2d_1a_3x3"),
            ],
            [
                Conv(module.double_reduce, 1, options, dtype, stddev=narrow, name="Conv2d_0a_1x1"),
                Conv(module.double_3x3, size, options, dtype, name="Conv2d_0b_3x3"),
                Conv(module.double_3x3, size, options, dtype, strides=stride, name="Conv2d_1a_3x3"),
            ],
            [pool("MaxPool_1a_3x3", stride, dtype)],
            dtype=dtype,
            name=module.name,
        )


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v2.partially_native")
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
        self._make_layers(self.options, self.dtype_policy)

    def _make_layers(self, options, dtype) -> None:
        kinds = {variants.Mixed: Mixed, variants.Reduction: Reduction}
        # A tuple, because `tf.train.Checkpoint` does not see layers in a list.
        self.body = tuple(kinds[type(m)](m, options, dtype) for m in options.body())

    def build(self, input_shape: tuple) -> None:
        """Makes the weights of the body; the first call makes those of the stem and the head."""
        net = keras.KerasTensor((None, None, None, self.options.stem_depths()[-1]))
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

    @property
    def weights(self) -> list[keras.Variable]:
        """In TF1's creation order, as the other versions have it: stem, body, head."""
        return self._in_creation_order(super().weights)

    @property
    def variables(self) -> list[keras.Variable]:
        """The weights, then the state of metrics."""
        return self._in_creation_order(super().variables)

    def _in_creation_order(self, variables) -> list[keras.Variable]:
        stem = ["Conv2d_1a_7x7", "Conv2d_2b_1x1", "Conv2d_2c_3x3"]
        parts = [*stem, *(layer.name for layer in self.body), "Logits"]
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
