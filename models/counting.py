"""Counts the parameters of a model, and the multiply-adds of the ops that it runs."""

import dataclasses
import math
from typing import Any

import keras

from . import registry


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a model costs.

    Args:
        parameters: Trainable parameters, those of auxiliary heads included.
        multiply_adds: Multiply-adds of one image of the model's own size, in evaluation: without
            those of auxiliary heads, which nothing is computed from.
    """

    parameters: int
    multiply_adds: int


def count(name: str) -> Counts:
    """Makes a model and counts.

    Args:
        name: A name as in `list_models`.

    Raises:
        ValueError: There is no such model.
    """
    model = registry.create(name, "native")
    parameters = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return Counts(parameters, multiply_adds(model, registry.get_variant(name).input_size))


def multiply_adds(model: keras.Model, image_size: int) -> int:
    """Multiplications with weights that one image costs, as papers count them.

    Those of convolutions and dense layers that the outputs depend on, so none of auxiliary heads;
    norms, activations, pools and sums do not count. What makes an atrous convolution of a dense one
    is left out, as if it ran on its own map.

    Args:
        model: A built model that takes images `[B, H, W, 3]`; any version. With the backend
            tensorflow only.
        image_size: Height and width of the image, in pixels.

    Returns:
        How many there are.
    """
    import tensorflow as tf

    images = tf.TensorSpec((1, image_size, image_size, 3), tf.float32)
    forward = tf.function(lambda x: model(x, training=False), autograph=False)
    needed = {tensor.op for tensor in forward.get_concrete_function(images).graph.outputs}
    unseen = list(needed)
    while unseen:
        unseen += (others := {tensor.op for tensor in unseen.pop().inputs} - needed)
        needed |= others
    return sum(_of_op(op) for op in needed)


def _of_op(op: Any) -> int:
    if op.type not in ("Conv2D", "DepthwiseConv2dNative", "MatMul"):
        return 0
    outputs, weights = op.outputs[0].shape, op.inputs[1].shape
    if op.type == "MatMul":
        if op.get_attr("transpose_b"):
            weights = weights[::-1]
        return math.prod(outputs) * weights[0]
    # Of a depthwise convolution each output sees one channel.
    channels = weights[2] if op.type == "Conv2D" else 1
    return math.prod(outputs) * weights[0] * weights[1] * channels
