"""Inception v2 half-way: native Keras layers in the body, TF-Slim in the stem and the head.

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
    """One layer of the stem or of the head; it says what differs from the scope."""
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


def initializer(stddev: float | None) -> keras.Initializer:
    """A fresh one: Keras gives the same values again to a layer that shares one."""
    if stddev is not None:
        return keras.initializers.TruncatedNormal(mean=0.0, stddev=stddev)
    scale = variants.INITIALIZER_SCALE  # `slim.variance_scaling_initializer()`.
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")


def l2(weight_decay: float) -> keras.Regularizer:
    """TF-Slim's `l2_regularizer`: `weight_decay * sum(w ** 2) / 2`, and Keras' L2 has no half."""
    return L2(weight_decay / 2)


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm without a factor and ReLU, or biases alone."""

    def __init__(self, conv: variants.Conv, options: variants.Options, dtype):
        super().__init__(
            conv.depth,
            conv.kernel_size,
            strides=conv.stride,
            padding=conv.padding.lower(),
            data_format="channels_last",
            use_bias=conv.is_linear,
            kernel_initializer=initializer(conv.stddev),
            kernel_regularizer=l2(options.weight_decay),
            bias_initializer="zeros",
            dtype=dtype,
            name=conv.name,
        )
        self.batch_norm = None
        if not conv.is_linear:
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
        if self.batch_norm is not None:
            self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        net = super().call(inputs)
        if self.batch_norm is None:
            return net
        return keras.ops.relu(self.batch_norm(net, training=training))


def pool_layer(pool: variants.Pool, options: variants.Options, dtype: Any) -> keras.Layer:
    """An average or a maximum pool."""
    kind = keras.layers.AveragePooling2D if pool.is_average else keras.layers.MaxPooling2D
    settings = {"data_format": "channels_last", "dtype": dtype, "name": pool.name}
    return kind(pool.kernel_size, pool.stride, pool.padding.lower(), **settings)


def layers_of(steps: tuple, options: variants.Options, dtype: Any) -> tuple[keras.Layer, ...]:
    """The layers of a scope; `tf.train.Checkpoint` would see none in a list."""
    kinds: dict[type, Any] = {
        variants.Conv: Conv,
        variants.Pool: pool_layer,
        variants.Branch: Branch,
        variants.Module: Module,
    }
    return tuple(kinds[type(step)](step, options, dtype) for step in steps)


class Branch(keras.layers.Layer):
    """Layers one after another."""

    def __init__(self, branch: variants.Branch, options, dtype):
        super().__init__(dtype=dtype, name=branch.name)
        self.steps = layers_of(branch.steps, options, dtype)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for layer in self.steps:
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, depth]`."""
        for layer in self.steps:
            inputs = layer(inputs, training=training)
        return inputs


class Module(keras.layers.Layer):
    """Branches that see the same map, and whose channels are stacked."""

    def __init__(self, module: variants.Module, options: variants.Options, dtype):
        super().__init__(dtype=dtype, name=module.name)
        self.branches = layers_of(module.branches, options, dtype)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for branch in self.branches:
            branch.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, depth]`."""
        nets = [branch(inputs, training=training) for branch in self.branches]
        return keras.ops.concatenate(nets, axis=-1)


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
        self.body = layers_of(options.body(), options, dtype)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights of the body; the first call makes those of the stem and the head."""
        convs = [step for step in self.options.stem() if isinstance(step, variants.Conv)]
        net = keras.KerasTensor((None, None, None, convs[-1].depth))
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
        first, *others = self.options.stem()
        net = apply_separable(images, first)
        end_points = {first.name: net}
        for step in others:
            net = end_points[step.name] = apply(net, step)
        for layer in self.body:
            net = end_points[layer.name] = layer(net, training=training)
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

    @property
    def weights(self) -> list[keras.Variable]:
        """In TF1's creation order, as the other versions have it: stem, body, head."""
        return self._in_creation_order(super().weights)

    @property
    def variables(self) -> list[keras.Variable]:
        """The weights, then the state of metrics."""
        return self._in_creation_order(super().variables)

    def _in_creation_order(self, variables) -> list[keras.Variable]:
        stem = [step.name for step in variants.STEM]
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
