"""MobileNet v3 half-way: native Keras layers in the body, TF-Slim in the stem and the head.

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
from . import architectures, published, variants

shim.install()
import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies


def hard_swish(x: Any) -> Any:
    """The paper's h-swish: close to `x * sigmoid(x)`, and cheap."""
    return x * keras.ops.relu6(x + 3.0) * (1 / 6)


def gate(x: Any) -> Any:
    """The paper's hard sigmoid with TF-Slim's factor: 0 to 1, and a little above."""
    return keras.ops.relu6(x + 3.0) * variants.GATE_FACTOR


ACTIVATIONS = {architectures.RELU: keras.ops.relu, architectures.HARD_SWISH: hard_swish}


def tf1_hard_swish(x: Any) -> Any:
    """`hard_swish` of the stem and the head, which are TF1 code still."""
    return x * tf.nn.relu6(x + 3.0) * (1 / 6)


TF1_ACTIVATIONS = {architectures.RELU: tf.nn.relu, architectures.HARD_SWISH: tf1_hard_swish}


def training_scope(options: variants.Options, is_training: bool) -> dict:
    """Defaults of Slim's layers: initializer, norm, activation and weight decay."""
    initializer = tf.truncated_normal_initializer(stddev=variants.INITIALIZER_STDDEV)
    with (
        slim.arg_scope(
            [slim.conv2d],
            weights_initializer=initializer,
            normalizer_fn=slim.batch_norm,
            padding="SAME",
        ),
        slim.arg_scope(
            [slim.conv2d], weights_regularizer=slim.l2_regularizer(options.weight_decay)
        ),
        slim.arg_scope(
            [slim.batch_norm],
            decay=options.batch_norm_decay,
            epsilon=options.batch_norm_epsilon,
            scale=True,
            center=True,
        ),
        slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training) as scope,
    ):
        return scope


class Conv(keras.layers.Layer):
    """`slim.conv2d`, without `filters` a depthwise one: norm or else biases, activation or none."""

    def __init__(
        self, name, filters, size, options, dtype, stride=1, rate=1, *, norm=True, act=None
    ):
        super().__init__(dtype=dtype, name=name)
        self.filters, self.size, self.stride, self.rate, self.act = filters, size, stride, rate, act
        self.weight_decay = options.weight_decay
        self.batch_norm = None
        if norm:
            self.batch_norm = BatchNorm(
                momentum=options.batch_norm_decay,
                epsilon=options.batch_norm_epsilon,
                scale=True,
                center=True,
                dtype=self.dtype_policy,
                name="BatchNorm",
            )

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        depth_in, depthwise = input_shape[-1], self.filters is None
        self.kernel = self.add_weight(
            name="depthwise_kernel" if depthwise else "kernel",
            shape=(self.size, self.size, depth_in, 1 if depthwise else self.filters),
            initializer=keras.initializers.TruncatedNormal(0.0, variants.INITIALIZER_STDDEV),
            # TF-Slim's `l2_regularizer` halves the sum of the squares, Keras' L2 does not.
            regularizer=None if depthwise else L2(self.weight_decay / 2),
        )
        if self.batch_norm is not None:
            self.batch_norm.build((None, None, None, self.filters or depth_in))
        else:
            self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Activations `[B, height, width, filters]`."""
        conv = keras.ops.conv if self.filters else keras.ops.depthwise_conv
        net = conv(inputs, self.kernel, self.stride, "same", "channels_last", self.rate)
        net = self.batch_norm(net, training=training) if self.batch_norm else net + self.bias
        return net if self.act is None else self.act(net)


class SqueezeExcite(keras.layers.Layer):
    """Weighs each channel by a gate that the means of all channels open."""

    def __init__(self, squeezed_depth, depth, options, dtype):
        super().__init__(dtype=dtype, name="squeeze_excite")
        relu = keras.ops.relu
        self.squeeze = Conv("Conv", squeezed_depth, 1, options, dtype, norm=False, act=relu)
        self.excite = Conv("Conv_1", depth, 1, options, dtype, norm=False, act=gate)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        self.squeeze.build(input_shape)
        self.excite.build((None, None, None, self.squeeze.filters))

    def call(self, inputs: Any) -> Any:
        """The inputs, weighed."""
        means = keras.ops.mean(inputs, axis=(1, 2), keepdims=True)
        return inputs * self.excite(self.squeeze(means))


class Bottleneck(keras.layers.Layer):
    """An inverted residual: expand, filter each channel, weigh the channels, project."""

    def __init__(self, plan: variants.Bottleneck, options, dtype):
        super().__init__(dtype=dtype, name=plan.name)
        self.plan, self.filters = plan, plan.depth
        self.expand = self.depthwise = self.squeeze_excite = None

        def conv(name, filters, size, *strides, act=None) -> Conv:
            return Conv(name, filters, size, options, dtype, *strides, act=act)

        act, depth = ACTIVATIONS[plan.activation], plan.inner_depth
        if plan.expand_size is not None:
            self.expand = conv("expand", depth, plan.expand_size, plan.expand_stride, act=act)
        if plan.depthwise_size is not None:
            size, stride, rate = plan.depthwise_size, plan.stride, plan.rate
            self.depthwise = conv("depthwise", None, size, stride, rate, act=act)
        if plan.squeezed_depth is not None:
            self.squeeze_excite = SqueezeExcite(plan.squeezed_depth, depth, options, dtype)
        self.project = conv("project", plan.depth, 1)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights for inputs `[B, H, W, C]`."""
        if self.expand is not None:
            self.expand.build(input_shape)
        inner_shape = (*input_shape[:3], self.plan.inner_depth)
        for layer in (self.depthwise, self.squeeze_excite, self.project):
            if layer is not None:
                layer.build(inner_shape)

    def call(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """Activations by the names of their end points; `output` is the last."""
        end_points, net = {}, inputs
        if self.expand is not None:
            net = end_points["expansion_output"] = self.expand(net, training=training)
        if self.depthwise is not None:
            net = end_points["depthwise_output"] = self.depthwise(net, training=training)
        if self.squeeze_excite is not None:
            net = self.squeeze_excite(net)
        net = self.project(net, training=training)
        end_points["output"] = net + inputs if self.plan.has_residual else net
        return end_points


@keras.saving.register_keras_serializable(package="shimzoo.models.mobilenet_v3.partially_native")
class MobilenetV3(keras.Model):
    """MobileNet v3 or MobileNet EdgeTPU.

    Args:
        variant: Name of the variant, which decides the architecture, and the multiplier if no
            option does.
        name, dtype, trainable: As for `keras.Model`; the name is the TF1 scope of the variables,
            the variant's if None.
        **options: See `variants.Options`.

    Raises:
        ValueError: There is no such variant, or an option is unknown or out of its range.
    """

    def __init__(
        self,
        variant: str = "mobilenet_v3_large_1.0_224",
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
        self.plan = variants.Plan.of(record, self.options)
        self._make_layers(self.plan, self.options, self.dtype_policy)

    def _make_layers(self, plan, options, dtype) -> None:
        # A tuple, because `tf.train.Checkpoint` does not see layers in a list.
        self.bottlenecks = tuple(Bottleneck(b, options, dtype) for b in plan.bottlenecks)

    def build(self, input_shape: tuple) -> None:
        """Makes the weights of the body; the first call makes those of the stem and the head."""
        depth = self.plan.stem_depth
        for layer in self.bottlenecks:
            layer.build((None, None, None, depth))
            depth = layer.filters

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Makes all weights, for a file that is loaded: `build` makes the body's alone."""
        sides = [side or self.variant.input_size for side in config["input_shape"][1:3]]
        self(keras.ops.zeros((1, *sides, 3)))

    @shim.track_tf1_style_variables
    def _forward(self, images, training) -> tuple:
        with (
            tf.variable_scope(self.name),
            slim.arg_scope(training_scope(self.options, is_training=bool(training))),
        ):
            net, end_points = self._body(images, training)
            return self._head(net, training, end_points)

    def _body(self, images, training) -> tuple:
        plan = self.plan
        with slim.arg_scope([slim.conv2d], activation_fn=TF1_ACTIVATIONS[plan.activation]):
            net = slim.conv2d(
                images,
                plan.stem_depth,
                variants.STEM_KERNEL_SIZE,
                variants.STEM_STRIDE,
                scope="Conv",
            )
            end_points, inner_end_points = {"layer_1": net}, dict[str, Any]()
            for number, layer in enumerate(self.bottlenecks, start=2):
                inner = layer(net, training=training)
                inner_end_points |= {f"layer_{number}/{key}": value for key, value in inner.items()}
                net = end_points[f"layer_{number}"] = inner["output"]
            number = len(self.bottlenecks) + 2
            net = slim.conv2d(net, plan.last_depth, 1, scope="Conv_1")
            end_points[f"layer_{number}"] = net
            if plan.pooled_depth is not None:
                if self.options.global_pool:
                    net = tf.reduce_mean(net, [1, 2], keepdims=True)
                    end_points[f"layer_{number + 1}"] = net
                net = slim.conv2d(net, plan.pooled_depth, 1, normalizer_fn=None, scope="Conv_2")
                end_points[f"layer_{number + 2}"] = net
        return net, end_points | inner_end_points

    def _head(self, net, training, end_points) -> tuple:
        if self.options.global_pool:
            net = tf.reduce_mean(net, [1, 2], keepdims=True, name="global_pool")
            end_points["global_pool"] = net
        if self.options.num_classes is None:
            return net, end_points
        with tf.variable_scope("Logits"):
            net = slim.dropout(net, keep_prob=self.options.dropout_keep_prob, scope="Dropout")
            with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                net = slim.conv2d(net, self.options.num_classes, 1, scope="Conv2d_1c_1x1")
        if self.options.spatial_squeeze:
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
        parts = ["Conv", *(layer.name for layer in self.bottlenecks), "Conv_1", "Conv_2", "Logits"]
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
