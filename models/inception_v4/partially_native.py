"""Inception v4 half-way: native Keras layers in the body, TF-Slim in the stem and the heads.

See `variants.py` for the paper, the figures and every number. The stem's and the heads' variables
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


def variance_scaling() -> keras.Initializer:
    """`slim.variance_scaling_initializer()`, a fresh one: Keras repeats the values of a shared one.

    Both cut a normal distribution at twice its deviation. Keras then widens it by exactly what the
    cut took away, TF-Slim by 1.3.
    """
    keras_truncation = 0.87962566103423978  # Deviation of what the cut leaves.
    scale = variants.INITIALIZER_FACTOR * variants.INITIALIZER_TRUNCATION * keras_truncation**2
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")


def l2(weight_decay: float) -> keras.Regularizer:
    """TF-Slim's `l2_regularizer`: `weight_decay * sum(w ** 2) / 2`, and Keras' L2 has no half."""
    return keras.regularizers.L2(weight_decay / 2)


class Conv(keras.layers.Conv2D):
    """A convolution without bias, batch norm without gamma, and ReLU: `slim.conv2d`."""

    def __init__(self, conv: variants.Conv, options: variants.Options, dtype):
        super().__init__(
            conv.depth,
            conv.kernel_size,
            strides=conv.stride,
            padding=conv.padding.lower(),
            data_format="channels_last",
            use_bias=False,
            kernel_initializer=variance_scaling(),
            kernel_regularizer=l2(options.weight_decay),
            dtype=dtype,
            name=conv.name,
        )
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
        self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        return keras.ops.relu(self.batch_norm(super().call(inputs), training=training))


def pool2d(inputs: Any, pool: variants.Pool) -> Any:
    """A maximum or an average."""
    operation = keras.ops.max_pool if pool.kind == "max" else keras.ops.average_pool
    return operation(inputs, pool.kernel_size, pool.stride, pool.padding.lower())


class Branch(keras.layers.Layer):
    """One way through a module."""

    def __init__(self, branch: variants.Branch, options, dtype, *, name: str):
        super().__init__(dtype=dtype, name=name)
        self.branch = branch
        # Tuples, because `tf.train.Checkpoint` does not see layers in a list.
        self.convs = tuple(Conv(conv, options, dtype) for conv in branch.convs)
        self.fork = tuple(Conv(conv, options, dtype) for conv in branch.fork)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for conv in self.convs:
            conv.build(input_shape)
            input_shape = (None, None, None, conv.filters)
        for conv in self.fork:
            conv.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> list[Any]:
        """What it ends with, one or a fork: `[B, height, width, depth]`."""
        net = inputs if self.branch.pool is None else pool2d(inputs, self.branch.pool)
        for conv in self.convs:
            net = conv(net, training=training)
        return [conv(net, training=training) for conv in self.fork] or [net]


class Mixed(keras.layers.Layer):
    """Branches side by side, joined by their channels."""

    def __init__(self, module: variants.Module, options, dtype):
        super().__init__(dtype=dtype, name=module.name)
        self.module = module
        self.branches = tuple(
            Branch(branch, options, dtype, name=f"Branch_{number}")
            for number, branch in enumerate(module.branches)
        )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        self.filters = self.module.depth(input_shape[3])  # As a convolution calls it.
        for branch in self.branches:
            branch.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, all depths]`."""
        outputs = [net for branch in self.branches for net in branch(inputs, training=training)]
        return keras.ops.concatenate(outputs, axis=3)


def aux_logits(inputs, num_classes: int) -> tf.Tensor:
    """The auxiliary head: logits `[B, num_classes]`."""
    with tf.variable_scope("AuxLogits"):
        pool = variants.AUX_POOL
        net = slim.avg_pool2d(inputs, pool.kernel_size, pool.stride, pool.padding, scope=pool.name)
        net = conv2d(net, variants.AUX_CONV)
        net = conv2d(net, variants.AUX_LAST_CONV)
        net = slim.flatten(net)
        return slim.fully_connected(net, num_classes, activation_fn=None, scope="Aux_logits")


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_v4.partially_native")
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
        self._make_layers(self.options, self.dtype_policy)

    def _make_layers(self, options, dtype) -> None:
        self.mixed = tuple(Mixed(module, options, dtype) for module in variants.MODULES)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights of the body; the first call makes those of the stem and the heads."""
        shape = (None, None, None, variants.STEM[-1].depth)
        for layer in self.mixed:
            layer.build(shape)
            shape = (None, None, None, layer.filters)

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
        for layer in self.mixed:
            net = end_points[layer.name] = layer(net, training=training)
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

    @property
    def weights(self) -> list[keras.Variable]:
        """In TF1's creation order, as the other versions have it: stem, body, heads."""
        return self._in_creation_order(super().weights)

    @property
    def variables(self) -> list[keras.Variable]:
        """The weights, then the state of metrics."""
        return self._in_creation_order(super().variables)

    def _in_creation_order(self, variables) -> list[keras.Variable]:
        parts = [spec.name for spec in (*variants.STEM, *variants.MODULES)]
        scopes = [f"{self.name}/{part}/" for part in (*parts, "AuxLogits", "Logits")]
        # A row with one True, at the variable's scope: the earlier, the greater.
        rows = {v.path: [v.path.startswith(scope) for scope in scopes] for v in variables}
        return sorted(variables, key=lambda v: rows[v.path], reverse=True)

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
