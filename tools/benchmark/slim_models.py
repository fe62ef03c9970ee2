"""Models in TF-Slim, as their authors write them; for any shim that decorates their `call`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_slim as slim
from tf_slim.nets import resnet_v1


def slim_resnet(layer_class: type, decorator: Callable[[Callable], Callable]) -> type:
    """Makes a layer class of Slim's ResNet v1-50.

    Args:
        layer_class: `keras.layers.Layer` of Keras 3 or of tf_keras.
        decorator: the shim's `track_tf1_style_variables`.

    Returns:
        The class: `SlimResNet(num_classes)(images, training=False)` gives
        `(logits, probabilities)`, both [batch, 1, 1, num_classes], float32.
    """

    class SlimResNet(layer_class):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.num_classes = num_classes

        @decorator
        def call(self, images: Any, training: bool = False) -> tuple[Any, Any]:
            with slim.arg_scope(resnet_v1.resnet_arg_scope()):
                logits, end_points = resnet_v1.resnet_v1_50(
                    images, self.num_classes, is_training=training
                )
            return logits, end_points["predictions"]

    return SlimResNet


def small_slim_net(layer_class: type, decorator: Callable[[Callable], Callable]) -> type:
    """Makes a layer class of a net that uses all of Slim's bookkeeping and computes little.

    Args:
        layer_class: as for `slim_resnet`.
        decorator: as for `slim_resnet`.

    Returns:
        The class: `SmallSlimNet()(inputs)` maps [batch, channels] to [batch, 4], float32.
    """

    class SmallSlimNet(layer_class):
        @decorator
        def call(self, inputs: Any) -> Any:
            with tf.compat.v1.variable_scope("small"):
                net = slim.fully_connected(
                    inputs,
                    4,
                    weights_regularizer=slim.l2_regularizer(0.1),
                    outputs_collections="end_points",
                    scope="fully_connected",
                )
                slim.losses.add_loss(tf.reduce_sum(net))
            return net

    return SmallSlimNet
