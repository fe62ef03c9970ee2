"""MobileNet v2 in pure Keras.

See `variants.py` for the paper and every number. Layers carry the names of TF-Slim's scopes:
`MobilenetV2/Conv/kernel` here is `MobilenetV2/Conv/weights` in a TF1 checkpoint.
"""

import dataclasses
from typing import Any

import keras

from ..batch_norm import BatchNorm
from ..regularizers import L2
from . import published, variants


def truncated_normal() -> keras.Initializer:
    """A fresh initializer: Keras gives the same values again to a layer that shares one."""
    return keras.initializers.TruncatedNormal(mean=0.0, stddev=variants.INITIALIZER_STDDEV)


def batch_norm(options: variants.Options, dtype: Any) -> BatchNorm:
    """`slim.batch_norm` under `training_scope`."""
    return BatchNorm(
        momentum=options.batch_norm_decay,
        epsilon=options.batch_norm_epsilon,
        scale=True,
        center=True,
        dtype=dtype,
        name="BatchNorm",
    )


class Conv(keras.layers.Conv2D):
    """`slim.conv2d`: a convolution, batch norm or else biases, and ReLU6 or none."""

    def __init__(
        self, filters, kernel_size, options, dtype, *, stride=1, norm=True, relu6=True, name
    ):
        super().__init__(
            filters,
            kernel_size,
            strides=stride,
            padding="same",
            data_format="channels_last",
            use_bias=not norm,
            kernel_initializer=truncated_normal(),
            # TF-Slim's is `weight_decay * sum(w ** 2) / 2`, and Keras' has no half.
            kernel_regularizer=L2(options.weight_decay / 2),
            bias_initializer="zeros",
            dtype=dtype,
            name=name,
        )
        self.batch_norm = batch_norm(options, self.dtype_policy) if norm else None
        self.relu6 = relu6

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        super().build(input_shape)
        if self.batch_norm is not None:
            self.batch_norm.build((None, None, None, self.filters))

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        net = super().call(inputs)
        if self.batch_norm is not None:
            net = self.batch_norm(net, training=training)
        return keras.ops.relu6(net) if self.relu6 else net


class DepthwiseConv(keras.layers.DepthwiseConv2D):
    """A depthwise convolution, batch norm and ReLU6: `slim.separable_conv2d(net, None, ...)`."""

    def __init__(self, kernel_size, options, dtype, *, stride, rate, name):
        super().__init__(
            kernel_size,
            strides=stride,
            dilation_rate=rate,
            depth_multiplier=1,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            depthwise_initializer=truncated_normal(),
            dtype=dtype,
            name=name,
        )
        self.batch_norm = batch_norm(options, self.dtype_policy)

    def build(self, input_shape: tuple) -> None:
        """As in the base class, which calls the weight `kernel`."""
        self.kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(*self.kernel_size, input_shape[-1], self.depth_multiplier),
            initializer=self.depthwise_initializer,
        )
        self.batch_norm.build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, H, W, C]` in [0, 6]."""
        net = super().call(inputs)
        return keras.ops.relu6(self.batch_norm(net, training=training))


class Bottleneck(keras.layers.Layer):
    """An inverted residual: expand, filter each channel, project; nothing on the narrow maps."""

    def __init__(self, bottleneck: variants.Bottleneck, options, dtype):
        super().__init__(dtype=dtype, name=bottleneck.name)
        self.bottleneck = bottleneck
        self.expand = None
        if bottleneck.has_expansion:
            self.expand = Conv(bottleneck.inner_depth, 1, options, dtype, name="expand")
        size, stride, rate = variants.KERNEL_SIZE, bottleneck.stride, bottleneck.rate
        self.depthwise = DepthwiseConv(
            size, options, dtype, stride=stride, rate=rate, name="depthwise"
        )
        self.project = Conv(bottleneck.depth, 1, options, dtype, relu6=False, name="project")

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        if self.expand is not None:
            self.expand.build(input_shape)
        inner_shape = (*input_shape[:3], self.bottleneck.inner_depth)
        self.depthwise.build(inner_shape)
        self.project.build(inner_shape)

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """Activations by the names of their end points; `output` is the last."""
        end_points, net = {}, inputs
        if self.expand is not None:
            net = end_points["expansion_output"] = self.expand(net, training=training)
        net = end_points["depthwise_output"] = self.depthwise(net, training=training)
        net = self.project(net, training=training)
        end_points["output"] = net + inputs if self.bottleneck.has_residual else net
        return end_points


@keras.saving.register_keras_serializable(package="shimzoo.models.mobilenet_v2.native")
class MobilenetV2(keras.Model):
    """MobileNet v2.

    Args:
        variant: Name of the variant, which decides the depth multiplier if no option does.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "mobilenet_v2_1.0_224",
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
        size, stride = variants.STEM_KERNEL_SIZE, variants.STEM_STRIDE
        self.stem = Conv(options.stem_depth(), size, options, dtype, stride=stride, name="Conv")
        # A tuple, because `tf.train.Checkpoint` does not see layers in a list.
        self.bottlenecks = tuple(Bottleneck(b, options, dtype) for b in options.bottlenecks())
        self.last = Conv(options.last_depth(), 1, options, dtype, name="Conv_1")
        if options.num_classes is not None:
            rate = 1.0 - options.dropout_keep_prob  # TF-Slim's is the share that is kept.
            self.dropout = keras.layers.Dropout(rate, dtype=dtype, name="Dropout")
            classes, name = options.num_classes, "Conv2d_1c_1x1"
            self.logits = Conv(classes, 1, options, dtype, norm=False, relu6=False, name=name)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for images `[B, H, W, 3]`."""
        self.stem.build(input_shape)
        shape = (None, None, None, self.options.stem_depth())
        for layer in self.bottlenecks:
            layer.build(shape)
            shape = (None, None, None, layer.bottleneck.depth)
        self.last.build(shape)
        if self.options.num_classes is not None:
            with keras.name_scope("Logits"):
                self.logits.build((None, None, None, self.options.last_depth()))

    def _forward(self, images, training) -> tuple:
        net, end_points = self._body(images, training)
        return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        net = self.stem(images, training=training)
        end_points, inner_end_points = {"layer_1": net}, dict[str, Any]()
        for number, layer in enumerate(self.bottlenecks, start=2):
            inner = layer(net, training=training)
            inner_end_points |= {f"layer_{number}/{key}": value for key, value in inner.items()}
            net = end_points[f"layer_{number}"] = inner["output"]
        net = self.last(net, training=training)
        end_points[f"layer_{len(self.bottlenecks) + 2}"] = net
        return net, end_points | inner_end_points

    def _head(self, net, training, end_points) -> tuple:
        if self.options.global_pool:
            net = end_points["global_pool"] = keras.ops.mean(net, axis=(1, 2), keepdims=True)
        if self.options.num_classes is None:
            return net, end_points
        net = self.logits(self.dropout(net, training=training))
        if self.options.spatial_squeeze:
            # `keras.ops.squeeze` refuses maps of unknown size.
            net = keras.ops.reshape(net, (keras.ops.shape(net)[0], self.options.num_classes))
        net = end_points["Logits"] = keras.ops.cast(net, "float32")
        end_points["Predictions"] = keras.ops.softmax(net)
        return net, end_points

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
        images = keras.ops.cast(images, self.compute_dtype)
        return self._forward(images, training)[1]

    def get_config(self) -> dict[str, Any]:
        """All arguments of the constructor."""
        options = dataclasses.asdict(self.options)
        return {**super().get_config(), "variant": self.variant.name, **options}
