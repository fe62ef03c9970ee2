"""TF1's convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from .base import Layer, activation_function, as_shape, functional, passed_on, size_of
from .spatial import (
    as_tuple,
    check_data_format,
    for_all_dimensions,
    in_supported_format,
    padding_name,
    tensor_format,
)


class Convolution(Layer):
    """A convolution, as in `tf.compat.v1.layers`.

    Makes `kernel` [*kernel size, input channels, filters] and, with `use_bias`, `bias` [filters].

    Args:
        filters: number of output channels.
        kernel_size: size of the kernel, an integer or one for each spatial dimension.
        strides: strides, likewise.
        padding: "valid" or "same", in any case. "same" pads unevenly under a stride of 2: the
            bottom and right get the odd pixel, other than with explicit symmetric padding.
        data_format: "channels_last" or "channels_first".
        dilation_rate: dilation of the kernel; other than 1 only with strides of 1.
        activation: callable on the outputs, or None for a linear layer.
        use_bias: whether to add a bias.
        kernel_initializer: initializer; None: the variable scope's, else Glorot uniform.
        bias_initializer: initializer of the bias.
        kernel_regularizer, bias_regularizer: callables `variable -> scalar loss`, or None. (Keras'
            `L2(l)` is l · Σx², Slim's `l2_regularizer(s)` is s · Σx² / 2.)
        activity_regularizer: callable `outputs -> scalar loss`, or None.
        kernel_constraint, bias_constraint: callables applied after an optimizer's step, or None.
        trainable: whether the weights are trainable.
        name: name and variable scope.
    """

    _rank: int
    _paddings: tuple[str, ...] = ("SAME", "VALID")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str = "channels_last",
        dilation_rate: Any = 1,
        activation: Callable | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = tf.compat.v1.zeros_initializer(),
        kernel_regularizer: Callable | None = None,
        bias_regularizer: Callable | None = None,
        activity_regularizer: Callable | None = None,
        kernel_constraint: Callable | None = None,
        bias_constraint: Callable | None = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            trainable=trainable, name=name, activity_regularizer=activity_regularizer, **kwargs
        )
        self.filters = int(filters)
        self.kernel_size = as_tuple(kernel_size, self._rank, "kernel_size")
        self.strides = as_tuple(strides, self._rank, "strides")
        self.padding = padding_name(padding, self._paddings)
        self.data_format = check_data_format(data_format)
        self.dilation_rate = as_tuple(dilation_rate, self._rank, "dilation_rate")
        self.activation = activation_function(activation)
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        self.kernel_constraint = kernel_constraint
        self.bias_constraint = bias_constraint
        self.bias = None

    def _input_channels(self, input_shape: tf.TensorShape) -> int:
        self._check_floating_point()
        if input_shape.rank != self._rank + 2:
            raise ValueError(
                f"{type(self).__name__} {self.name} needs inputs of rank {self._rank + 2}, got "
                f"shape {input_shape}."
            )
        channels = size_of(input_shape, 1 if self.data_format == "channels_first" else -1)
        if channels is None:
            raise ValueError(
                f"{type(self).__name__} {self.name} needs a known number of input channels, got "
                f"shape {input_shape} with data_format={self.data_format!r}."
            )
        return channels

    def _kernel_shape(self, input_shape: tf.TensorShape) -> tuple[int, ...]:
        return (*self.kernel_size, self._input_channels(input_shape), self.filters)

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            "kernel",
            self._kernel_shape(as_shape(input_shape)),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self._build_bias()

    def _build_bias(self) -> None:
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                [self.filters],
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = in_supported_format(self._convolve, inputs, self.data_format)
        if self.use_bias:
            data_format = "NC..." if self.data_format == "channels_first" else "N...C"
            outputs = tf.nn.bias_add(outputs, self.bias, data_format)
        return outputs if self.activation is None else self.activation(outputs)

    def _convolve(self, inputs: tf.Tensor, data_format: str) -> tf.Tensor:
        if self._rank == 2 and self.dilation_rate == (1, 1):
            # The plain op: half of `tf.nn.convolution`'s cost in an eager call.
            return tf.nn.conv2d(
                inputs,
                self.kernel,
                strides=for_all_dimensions(self.strides, data_format),
                padding=self.padding,
                data_format=tensor_format(data_format, 2),
            )
        inputs, padding = self._padded(inputs, data_format)
        return tf.nn.convolution(
            inputs,
            self.kernel,
            strides=self.strides,
            padding=padding,
            data_format=tensor_format(data_format, self._rank),
            dilations=self.dilation_rate,
        )

    def _padded(self, inputs: tf.Tensor, data_format: str) -> tuple[tf.Tensor, str]:
        """The inputs padded, if TensorFlow does not know the padding, and its padding for them."""
        if self.padding != "CAUSAL":
            return inputs, self.padding
        paddings = [[0, 0], [0, 0], [0, 0]]
        width_axis = 2 if data_format == "channels_first" else 1
        paddings[width_axis][0] = self.dilation_rate[0] * (self.kernel_size[0] - 1)
        return tf.pad(inputs, paddings), "VALID"


class Conv1D(Convolution):
    """Convolves sequences, [batch, width, channels]; see `Convolution`.

    There is a third padding, "causal": the outputs at a step see no later inputs.
    """

    _rank = 1
    _paddings = ("SAME", "VALID", "CAUSAL")


class Conv2D(Convolution):
    """Convolves images, [batch, height, width, channels]; see `Convolution`."""

    _rank = 2


class Conv3D(Convolution):
    """Convolves volumes, [batch, depth, height, width, channels]; see `Convolution`."""

    _rank = 3


class TransposedConvolution(Convolution):
    """A transposed convolution, as in `tf.compat.v1.layers`.

    Makes `kernel` [*kernel size, filters, input channels] and, with `use_bias`, `bias` [filters].
    The outputs have the inputs' size times the stride, plus `kernel size - stride` (if positive)
    with "valid" padding.

    Args:
        filters: number of output channels.
        kernel_size: size of the kernel, an integer or one for each spatial dimension.
        strides: strides, likewise.
        padding: "valid" or "same", in any case.
        data_format: "channels_last" or "channels_first".
        activation: callable on the outputs, or None for a linear layer.
        use_bias: whether to add a bias.
        kernel_initializer: initializer; None: the variable scope's, else Glorot uniform.
        bias_initializer: initializer of the bias.
        kernel_regularizer, bias_regularizer: callables `variable -> scalar loss`, or None. (Keras'
            `L2(l)` is l · Σx², Slim's `l2_regularizer(s)` is s · Σx² / 2.)
        activity_regularizer: callable `outputs -> scalar loss`, or None.
        kernel_constraint, bias_constraint: callables applied after an optimizer's step, or None.
        trainable: whether the weights are trainable.
        name: name and variable scope.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str = "channels_last",
        activation: Callable | None = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = tf.compat.v1.zeros_initializer(),
        kernel_regularizer: Callable | None = None,
        bias_regularizer: Callable | None = None,
        activity_regularizer: Callable | None = None,
        kernel_constraint: Callable | None = None,
        bias_constraint: Callable | None = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**passed_on(locals()), **kwargs)

    def _kernel_shape(self, input_shape: tf.TensorShape) -> tuple[int, ...]:
        return (*self.kernel_size, self.filters, self._input_channels(input_shape))

    def _convolve(self, inputs: tf.Tensor, data_format: str) -> tf.Tensor:
        transposed = {2: tf.nn.conv2d_transpose, 3: tf.nn.conv3d_transpose}[self._rank]
        return transposed(
            inputs,
            self.kernel,
            output_shape=self._output_shape(inputs, data_format),
            strides=for_all_dimensions(self.strides, data_format),
            padding=self.padding,
            data_format=tensor_format(data_format, self._rank),
        )

    def _output_shape(self, inputs: tf.Tensor, data_format: str) -> Any:
        first_spatial = 2 if data_format == "channels_first" else 1
        static, dynamic = inputs.shape.as_list(), None
        if None in static:
            dynamic = tf.shape(inputs)
        sizes = [dynamic[i] if size is None else size for i, size in enumerate(static)]
        spatial = [
            sizes[first_spatial + i] * stride
            + (max(kernel - stride, 0) if self.padding == "VALID" else 0)
            for i, (kernel, stride) in enumerate(zip(self.kernel_size, self.strides, strict=True))
        ]
        if data_format == "channels_first":
            return tf.stack([sizes[0], self.filters, *spatial])
        return tf.stack([sizes[0], *spatial, self.filters])


class Conv2DTranspose(TransposedConvolution):
    """Transposed convolution of images; see `TransposedConvolution`."""

    _rank = 2


class Conv3DTranspose(TransposedConvolution):
    """Transposed convolution of volumes; see `TransposedConvolution`."""

    _rank = 3


class SeparableConvolution(Convolution):
    """A depthwise convolution followed by a pointwise one, as in `tf.compat.v1.layers`.

    Makes `depthwise_kernel` [*kernel size, input channels, depth multiplier], `pointwise_kernel`
    [*ones, input channels * depth multiplier, filters] and, with `use_bias`, `bias` [filters].
    There is no bias, norm or activation between the two. (Slim's `separable_conv2d` with
    `num_outputs=None` leaves the pointwise part out and is another layer.)

    Args:
        filters: number of output channels.
        kernel_size: size of the depthwise kernel, an integer or one for each spatial dimension.
        strides: strides of the depthwise convolution; equal ones in both dimensions.
        padding: "valid" or "same", in any case.
        data_format: "channels_last" or "channels_first".
        dilation_rate: dilation of the depthwise kernel; other than 1 only with strides of 1.
        depth_multiplier: number of depthwise outputs for each input channel.
        activation: callable on the outputs, or None for a linear layer.
        use_bias: whether to add a bias.
        depthwise_initializer, pointwise_initializer: initializers; None: the variable scope's,
            else Glorot uniform.
        bias_initializer: initializer of the bias.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer: callables
            `variable -> scalar loss`, or None. (Keras' `L2(l)` is l · Σx², Slim's
            `l2_regularizer(s)` is s · Σx² / 2.)
        activity_regularizer: callable `outputs -> scalar loss`, or None.
        depthwise_constraint, pointwise_constraint, bias_constraint: callables applied after an
            optimizer's step, or None.
        trainable: whether the weights are trainable.
        name: name and variable scope.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str = "channels_last",
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Callable | None = None,
        use_bias: bool = True,
        depthwise_initializer: Any = None,
        pointwise_initializer: Any = None,
        bias_initializer: Any = tf.compat.v1.zeros_initializer(),
        depthwise_regularizer: Callable | None = None,
        pointwise_regularizer: Callable | None = None,
        bias_regularizer: Callable | None = None,
        activity_regularizer: Callable | None = None,
        depthwise_constraint: Callable | None = None,
        pointwise_constraint: Callable | None = None,
        bias_constraint: Callable | None = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        arguments = passed_on(locals())
        own = [name for name in arguments if name.startswith(("depth", "pointwise"))]
        super().__init__(**passed_on(arguments, *own), **kwargs)
        self.depth_multiplier = depth_multiplier
        self.depthwise_initializer = depthwise_initializer
        self.pointwise_initializer = pointwise_initializer
        self.depthwise_regularizer = depthwise_regularizer
        self.pointwise_regularizer = pointwise_regularizer
        self.depthwise_constraint = depthwise_constraint
        self.pointwise_constraint = pointwise_constraint

    def build(self, input_shape: Any) -> None:
        channels = self._input_channels(as_shape(input_shape))
        self.depthwise_kernel = self.add_weight(
            "depthwise_kernel",
            [*self.kernel_size, channels, self.depth_multiplier],
            initializer=self.depthwise_initializer,
            regularizer=self.depthwise_regularizer,
            constraint=self.depthwise_constraint,
        )
        self.pointwise_kernel = self.add_weight(
            "pointwise_kernel",
            [*[1] * self._rank, channels * self.depth_multiplier, self.filters],
            initializer=self.pointwise_initializer,
            regularizer=self.pointwise_regularizer,
            constraint=self.pointwise_constraint,
        )
        self._build_bias()


class SeparableConv1D(SeparableConvolution):
    """Separable convolution of sequences; see `SeparableConvolution`.

    There is a third padding, "causal": the outputs at a step see no later inputs.
    """

    _rank = 1
    _paddings = ("SAME", "VALID", "CAUSAL")

    def _convolve(self, inputs: tf.Tensor, data_format: str) -> tf.Tensor:
        # TensorFlow has no one-dimensional depthwise convolution: a height of one is put in.
        height_axis = 2 if data_format == "channels_first" else 1
        inputs, padding = self._padded(inputs, data_format)
        outputs = tf.nn.separable_conv2d(
            tf.expand_dims(inputs, height_axis),
            tf.expand_dims(self.depthwise_kernel, 0),
            tf.expand_dims(self.pointwise_kernel, 0),
            strides=for_all_dimensions(self.strides * 2, data_format),
            padding=padding,
            data_format=tensor_format(data_format, 2),
            dilations=(1, *self.dilation_rate) if self.dilation_rate != (1,) else None,
        )
        return tf.squeeze(outputs, [height_axis])


class SeparableConv2D(SeparableConvolution):
    """Separable convolution of images; see `SeparableConvolution`."""

    _rank = 2

    def _convolve(self, inputs: tf.Tensor, data_format: str) -> tf.Tensor:
        return tf.nn.separable_conv2d(
            inputs,
            self.depthwise_kernel,
            self.pointwise_kernel,
            strides=for_all_dimensions(self.strides, data_format),
            padding=self.padding,
            data_format=tensor_format(data_format, 2),
            dilations=self.dilation_rate,
        )


conv1d = functional(Conv1D)
conv2d = functional(Conv2D)
conv3d = functional(Conv3D)
conv2d_transpose = functional(Conv2DTranspose)
conv3d_transpose = functional(Conv3DTranspose)
separable_conv1d = functional(SeparableConv1D)
separable_conv2d = functional(SeparableConv2D)
