"""MobileNet v3 as written for TF1 with TF-Slim, alive under the modeling shim.

See `variants.py` for the paper and every number. What the decorated method runs is TF1 code:
scopes, `arg_scope` and Slim's layers, nothing native. Its variables have their TF1 names.
"""

import dataclasses
from typing import Any

import keras
import tensorflow.compat.v1 as tf

from ... import shim
from . import architectures, published, variants

shim.install()
import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies


def hard_swish(x: Any) -> Any:
    """The paper's h-swish: close to `x * sigmoid(x)`, and cheap."""
    return x * tf.nn.relu6(x + 3.0) * (1 / 6)


def gate(x: Any) -> Any:
    """The paper's hard sigmoid with TF-Slim's factor: 0 to 1, and a little above."""
    return tf.nn.relu6(x + 3.0) * variants.GATE_FACTOR


ACTIVATIONS = {architectures.RELU: tf.nn.relu, architectures.HARD_SWISH: hard_swish}


def training_scope(options: variants.Options, is_training: bool) -> dict:
    """Defaults of Slim's layers: initializer, norm, activation and weight decay."""
    initializer = tf.truncated_normal_initializer(stddev=variants.INITIALIZER_STDDEV)
    with (
        slim.arg_scope(
            [slim.conv2d, slim.separable_conv2d],
            weights_initializer=initializer,
            normalizer_fn=slim.batch_norm,
            padding="SAME",
        ),
        slim.arg_scope(
            [slim.conv2d], weights_regularizer=slim.l2_regularizer(options.weight_decay)
        ),  # Not on depthwise ones.
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


def squeeze_excite(inputs, squeezed_depth: int) -> tf.Tensor:
    """Weighs each channel by a gate that the means of all channels open."""
    depth = inputs.shape[3]
    with tf.variable_scope("squeeze_excite"), slim.arg_scope([slim.conv2d], normalizer_fn=None):
        net = tf.reduce_mean(inputs, [1, 2], keepdims=True)
        net = slim.conv2d(net, squeezed_depth, 1, activation_fn=tf.nn.relu, scope="Conv")
        net = slim.conv2d(net, depth, 1, activation_fn=gate, scope="Conv_1")
    return inputs * net


def expanded_conv(inputs, plan: variants.Bottleneck) -> dict[str, tf.Tensor]:
    """An inverted residual: expand, filter each channel, weigh the channels, project."""
    end_points, net = {}, inputs
    activation_fn = ACTIVATIONS[plan.activation]
    with (
        tf.variable_scope(plan.name),
        slim.arg_scope([slim.conv2d, slim.separable_conv2d], activation_fn=activation_fn),
    ):
        if plan.expand_size is not None:
            net = end_points["expansion_output"] = slim.conv2d(
                net, plan.inner_depth, plan.expand_size, plan.expand_stride, scope="expand"
            )
        if plan.depthwise_size is not None:
            net = end_points["depthwise_output"] = slim.separable_conv2d(
                net,
                None,  # No pointwise convolution.
                plan.depthwise_size,
                depth_multiplier=1,
                stride=plan.stride,
                rate=plan.rate,
                scope="depthwise",
            )
        if plan.squeezed_depth is not None:
            net = squeeze_excite(net, plan.squeezed_depth)
        net = slim.conv2d(net, plan.depth, 1, activation_fn=None, scope="project")
        end_points["output"] = net + inputs if plan.has_residual else net
    return end_points


@keras.saving.register_keras_serializable(package="shimzoo.models.mobilenet_v3.shimmed")
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
        with slim.arg_scope([slim.conv2d], activation_fn=ACTIVATIONS[plan.activation]):
            net = slim.conv2d(
                images,
                plan.stem_depth,
                variants.STEM_KERNEL_SIZE,
                variants.STEM_STRIDE,
                scope="Conv",
            )
            end_points, inner_end_points = {"layer_1": net}, dict[str, Any]()
            for number, bottleneck in enumerate(plan.bottlenecks, start=2):
                inner = expanded_conv(net, bottleneck)
                inner_end_points |= {f"layer_{number}/{key}": value for key, value in inner.items()}
                net = end_points[f"layer_{number}"] = inner["output"]
            number = len(plan.bottlenecks) + 2
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
