"""Inception-ResNet v2 in pure Keras.

See `variants.py` for the paper and every number. Layers carry the names of TF-Slim's scopes:
`Conv2d_1a_3x3/kernel` here is `Conv2d_1a_3x3/weights` in a TF1 checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from ..regularizers import L2
from . import published, variants


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


def dense_layer(dense: variants.Dense, options: variants.Options, dtype: Any) -> keras.Layer:
    """`slim.fully_connected` without ReLU."""
    return keras.layers.Dense(dense.depth, dtype=dtype, name=dense.name, **regularized(options))


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
        variants.Dense: dense_layer,
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


@keras.saving.register_keras_serializable(package="shimzoo.models.inception_resnet_v2.native")
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
        self.body = layers_of((*variants.STEM, *variants.BODY, variants.LAST_CONV), options, dtype)
        if options.num_classes is not None:
            rate = 1.0 - options.dropout_keep_prob  # TF-Slim's is the share that is kept.
            self.dropout = keras.layers.Dropout(rate, dtype=dtype, name="Dropout")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for images `[B, H, W, 3]`, and the heads, whose shapes follow."""
        options = self.options
        net, end_points = self._body(keras.KerasTensor(input_shape), training=False)
        if options.has_aux_logits:
            shape = end_points[variants.AUX_END_POINT].shape
            self.aux_logits = Branch(options.aux_logits(shape), options, self.dtype_policy)
            self.aux_logits.build(shape)
        if options.num_classes is not None:
            self.logits = Branch(options.logits(), options, self.dtype_policy)
            self.logits.build((None, net.shape[-1]))

    def _forward(self, images, training) -> tuple:
        net, end_points = self._body(images, training)
        return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net, end_points = images, {}
        for layer in self.body:
            net = layer(net, training=training)
            if (end_point := variants.END_POINTS.get(layer.name, layer.name)) is not None:
                end_points[end_point] = net
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        options = self.options
        if options.has_aux_logits:
            aux = self.aux_logits(end_points[variants.AUX_END_POINT], training=training)
            # `keras.ops.squeeze` refuses maps of unknown size.
            aux = keras.ops.reshape(aux, (keras.ops.shape(aux)[0], options.num_classes))
            end_points["AuxLogits"] = keras.ops.cast(aux, "float32")
        net = end_points["global_pool"] = keras.ops.mean(net, axis=(1, 2), keepdims=True)
        if options.num_classes is None:
            return net, end_points
        net = end_points["PreLogitsFlatten"] = self.dropout(net[:, 0, 0], training=training)
        net = end_points["Logits"] = keras.ops.cast(self.logits(net), "float32")
        end_points["Predictions"] = keras.ops.softmax(net)
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
        images = keras.ops.cast(images, self.compute_dtype)
        return self._forward(images, training)[1]

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
