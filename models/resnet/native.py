"""ResNet v1 and v2 in pure Keras.

See `variants.py` for the papers and every number. Layers carry the names of TF-Slim's scopes:
`resnet_v1_50/conv1/kernel` here is `resnet_v1_50/conv1/weights` in a TF1 checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from ..regularizers import L2
from . import published, variants


def variance_scaling() -> keras.Initializer:
    """`slim.variance_scaling_initializer()`, a fresh one: Keras repeats a shared one's values."""
    scale = variants.INITIALIZER_SCALE
    return keras.initializers.VarianceScaling(scale, "fan_in", "truncated_normal")


def batch_norm(options: variants.Options, dtype: Any, name: str = "BatchNorm") -> BatchNorm:
    """`slim.batch_norm` under `resnet_arg_scope`."""
    return BatchNorm(
        momentum=options.batch_norm_decay,
        epsilon=options.batch_norm_epsilon,
        scale=True,
        center=True,
        dtype=dtype,
        name=name,
    )


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm or else a bias, and ReLU.

    With a stride it pads both sides alike, whatever the image's size: TF-Slim's `conv2d_same`.
    """

    def __init__(
        self, filters, kernel_size, options, dtype, *, stride=1, rate=1, norm=True, relu=True, name
    ):
        super().__init__(
            filters,
            kernel_size,
            strides=stride,
            padding="same" if stride == 1 else "valid",
            data_format="channels_last",
            dilation_rate=rate,
            use_bias=not norm,
            kernel_initializer=variance_scaling(),
            # TF-Slim's is `weight_decay * sum(w ** 2) / 2`, and Keras' has no half.
            kernel_regularizer=L2(options.weight_decay / 2),
            dtype=dtype,
            name=name,
        )
        self.batch_norm = batch_norm(options, self.dtype_policy) if norm else None
        self.relu = relu

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        super().build(input_shape)
        if self.batch_norm is not None:
            self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        if self.padding == "valid" and self.kernel_size != (1, 1):
            margin = self.kernel_size[0] // 2  # All sizes are odd.
            inputs = keras.ops.pad(inputs, [(0, 0), (margin, margin), (margin, margin), (0, 0)])
        net = super().call(inputs)
        if self.batch_norm is not None:
            net = self.batch_norm(net, training=training)
        return keras.ops.relu(net) if self.relu else net


def subsample(inputs: Any, factor: int) -> Any:
    """Every `factor`-th pixel."""
    return inputs if factor == 1 else keras.ops.max_pool(inputs, 1, factor, padding="same")


class Bottleneck(keras.layers.Layer):
    """A bottleneck unit: a 1x1, a 3x3 and a 1x1 convolution beside a shortcut."""

    def __init__(self, unit: variants.Unit, depth_in: int, version: int, options, dtype):
        super().__init__(dtype=dtype, name=f"bottleneck_v{version}")
        self.unit, self.version = unit, version
        is_v1 = version == 1
        self.preact = None if is_v1 else batch_norm(options, dtype, name="preact")
        self.shortcut = None

        def conv(filters, kernel_size, *, name, **settings) -> Conv:
            return Conv(filters, kernel_size, options, dtype, name=name, **settings)

        depth, inner, stride = unit.depth, unit.depth_bottleneck, unit.stride
        if depth != depth_in:
            self.shortcut = conv(depth, 1, stride=stride, norm=is_v1, relu=False, name="shortcut")
        self.conv1 = conv(inner, 1, name="conv1")
        self.conv2 = conv(inner, 3, stride=stride, rate=unit.rate, name="conv2")
        self.conv3 = conv(depth, 1, norm=is_v1, relu=False, name="conv3")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        for layer in (self.preact, self.shortcut, self.conv1):
            if layer is not None:
                layer.build(input_shape)
        inner_shape = (*input_shape[:3], self.unit.depth_bottleneck)
        self.conv2.build(inner_shape)
        self.conv3.build(inner_shape)

    def call(self, inputs: Any, training: bool = False) -> tuple[Any, dict[str, Any]]:
        """Activations `[B, height, width, depth]`, and those on the way by name."""
        end_points = {}
        net = inputs
        if self.preact is not None:
            net = keras.ops.relu(self.preact(inputs, training=training))
        if self.shortcut is None:
            shortcut = subsample(inputs, self.unit.stride)
        else:
            shortcut = end_points["shortcut"] = self.shortcut(net, training=training)
        for conv in (self.conv1, self.conv2, self.conv3):
            net = end_points[conv.name] = conv(net, training=training)
        net = shortcut + net
        return (keras.ops.relu(net) if self.version == 1 else net), end_points


@keras.saving.register_keras_serializable(package="shimzoo.models.resnet.native")
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
        self._make_layers(self.options, self.dtype_policy)

    def _make_layers(self, options, dtype) -> None:
        version, depth = self.variant.version, variants.STEM_DEPTH
        self.conv1 = Conv(
            depth,
            variants.STEM_KERNEL_SIZE,
            options,
            dtype,
            stride=variants.STEM_STRIDE,
            norm=version == 1,
            relu=version == 1,
            name="conv1",
        )
        bottlenecks = []
        for unit in variants.units(self.variant, options):
            bottlenecks.append(Bottleneck(unit, depth, version, options, dtype))
            depth = unit.depth
        self.bottlenecks = tuple(bottlenecks)  # `tf.train.Checkpoint` sees no layers in a list.
        self.postnorm = None if version == 1 else batch_norm(options, dtype, name="postnorm")
        if options.num_classes is not None:
            self.logits = Conv(
                options.num_classes, 1, options, dtype, norm=False, relu=False, name="logits"
            )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for images `[B, H, W, 3]`."""
        self.conv1.build(input_shape)
        shape = (None, None, None, variants.STEM_DEPTH)
        for bottleneck in self.bottlenecks:
            with keras.name_scope(bottleneck.unit.block), keras.name_scope(bottleneck.unit.name):
                bottleneck.build(shape)
            shape = (None, None, None, bottleneck.unit.depth)
        if self.postnorm is not None:
            self.postnorm.build(shape)
        if self.options.num_classes is not None:
            self.logits.build(shape)

    def _forward(self, images, training) -> tuple:
        net, end_points = self._body(images, training)
        return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net = self.conv1(images, training=training)
        end_points = {f"{self.name}/conv1": net}
        net = keras.ops.max_pool(net, variants.POOL_SIZE, variants.POOL_STRIDE, padding="same")
        for bottleneck in self.bottlenecks:
            block = f"{self.name}/{bottleneck.unit.block}"
            scope = f"{block}/{bottleneck.unit.name}/{bottleneck.name}"
            net, inner = bottleneck(net, training=training)
            end_points |= {f"{scope}/{name}": value for name, value in inner.items()}
            end_points[scope] = net
            if bottleneck.unit.is_last:
                end_points[block] = net
        if self.postnorm is not None:
            net = keras.ops.relu(self.postnorm(net, training=training))
        return net, end_points

    def _head(self, net, training, end_points) -> tuple:
        if self.options.global_pool:
            net = end_points["global_pool"] = keras.ops.mean(net, axis=(1, 2), keepdims=True)
        if self.options.num_classes is None:
            return net, end_points
        net = keras.ops.cast(self.logits(net), "float32")
        end_points[f"{self.name}/logits"] = net
        if self.options.spatial_squeeze:
            # `keras.ops.squeeze` refuses maps of unknown size.
            net = keras.ops.reshape(net, (keras.ops.shape(net)[0], self.options.num_classes))
            end_points[f"{self.name}/spatial_squeeze"] = net
        end_points["predictions"] = keras.ops.softmax(net)
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
        images = keras.ops.cast(images, self.compute_dtype)
        return self._forward(images, training)[1]

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
