"""Models in TF-Slim, as their authors write them; for any shim that decorates their `call`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_slim as slim

from .counterparts import SLIM_NETS


def net_of(model: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The function of `tf_slim.nets` that builds a net, and the one that makes its scope.

    Args:
        model: one of `counterparts.SLIM_NETS`.
    """
    module = SLIM_NETS[model]
    is_resnet = module.startswith("resnet")
    nets = importlib.import_module(f"tf_slim.nets.{module if is_resnet else 'inception'}")
    scope = "resnet_arg_scope" if is_resnet else f"{module}_arg_scope"
    return getattr(nets, model), getattr(nets, scope)


def slim_net(model: str, layer_class: type, decorator: Callable[[Callable], Callable]) -> type:
    """Makes a layer class of one of Slim's nets.

    Args:
        model: one of `counterparts.SLIM_NETS`.
        layer_class: `keras.layers.Layer` of Keras 3 or of tf_keras.
        decorator: the shim's `track_tf1_style_variables`.

    Returns:
        The class: `SlimNet(num_classes)(images, training=False)` gives logits
        [batch, num_classes], float32.
    """
    net, arg_scope = net_of(model)

    class SlimNet(layer_class):
        def __init__(self, num_classes: int) -> None:
            super().__init__()
            self.num_classes = num_classes

        @decorator
        def call(self, images: Any, training: bool = False) -> Any:
            with slim.arg_scope(arg_scope()):
                logits, _ = net(images, self.num_classes, is_training=training)
            return logits if logits.shape.rank == 2 else tf.squeeze(logits, [1, 2])

    return SlimNet


def small_slim_net(layer_class: type, decorator: Callable[[Callable], Callable]) -> type:
    """Makes a layer class of a net that uses all of Slim's bookkeeping and computes little.

    Args:
        layer_class: as for `slim_net`.
        decorator: as for `slim_net`.

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
