"""Inception-ResNet v2 half-way: native Keras layers in the body, TF-Slim in the stem and the heads.

See `variants.py` for the paper and every number. The stem's and the heads' variables have their TF1
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
    """One layer of the stem or of a head."""
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


def regularized(options: variants.Options) -> dict[str, Any]:
    """Initializers and weight decay of all layers; Keras repeats the values of a shared one."""
    # TF-Slim's `l2_regularizer` is `weight_decay * sum(w ** 2) / 2`, and Keras' L2 has no half.
    return {
        "kernel_initializer": keras.initializers.GlorotUniform(),
        "bias_initializer": "zeros",
        "kernel_regularizer": L2(options.weight_decay / 2),
        "bias_regularizer": L2(options.weight_decay / 2),
    }


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
            dtype=dtype,
            name=conv.name,
            **regularized(options),
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
        has_norm = self.batch_norm is not None
        return keras.ops.relu(self.batch_norm(net, training=training)) if has_norm else net


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
        variants.Block: Residual,
        variants.Repeat: Branch,
    }
    return tuple(kinds[type(step)](step, options, dtype) for step in steps)


class Branch(keras.layers.Layer):
    """Layers one after another: a branch, a head, or a block repeated."""

    def __init__(self, branch: variants.Branch | variants.Repeat, options, dtype):
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

    def __init__(self, module: variants.Module | variants.Block, options: variants.Options, dtype):
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


class Residual(Module):
    """A module mapped to the depth of its inputs, scaled and added to them."""

    def __init__(self, block: variants.Block, options, dtype):
        super().__init__(block, options, dtype)
        self.block = block
        self.up = Conv(block.up, options, dtype)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        super().build(input_shape)
        self.up.build((None, None, None, sum(b.steps[-1].filters for b in self.branches)))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The inputs' shape."""
        return input_shape

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations of the inputs' shape."""
        net = inputs + self.up(super().call(inputs, training=training)) * self.block.scale
        return keras.ops.relu(net) if self.block.has_relu else net


@keras.saving.register_keras_serializable(
    package="shimzoo.models.inception_resnet_v2.partially_native"
)
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
        self._make_layers(self.options, self.dtype_policy)

    def _make_layers(self, options, dtype) -> None:
        self.body = layers_of(variants.BODY, options, dtype)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights of the body; the first call makes those of the stem and the heads."""
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
            net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net, end_points = images, {}
        for step in variants.STEM:
            net = end_points[step.name] = apply(net, step)
        for layer in self.body:
            net = layer(net, training=training)
            end_point = variants.END_POINTS.get(layer.name, layer.name)
            if end_point is not None:
                end_points[end_point] = net
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

    @property
    def weights(self) -> list[keras.Variable]:
        """In TF1's creation order, as the other versions have it: stem, body, heads."""
        return self._in_creation_order(super().weights)

    @property
    def variables(self) -> list[keras.Variable]:
        """The weights, then the state of metrics."""
        return self._in_creation_order(super().variables)

    def _in_creation_order(self, variables) -> list[keras.Variable]:
        steps = (*variants.STEM, *variants.BODY, variants.LAST_CONV)
        parts = [*(step.name for step in steps), "AuxLogits", "Logits"]
        scopes = [f"/{self.name}/{part}/" for part in parts]
        # A row with one True, at the variable's scope: the earlier, the greater.
        rows = {v.path: [scope in f"/{v.path}" for scope in scopes] for v in variables}
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
