"""Multiply-adds of a model's inference, on every backend; a multiply-add is two FLOPs.

Counted are convolutions and matrix products, as `models.counting` does. A training step is counted
as three inferences: forward, gradients of the activations, gradients of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import numpy as np

FLOPS_OF_A_MULTIPLY_ADD = 2
TRAINING_TO_INFERENCE = 3


def of_keras_model(model: keras.Model, image_size: int) -> int:
    """Multiply-adds of one image.

    Args:
        model: built, for images `[B, H, W, 3]`.
        image_size: height and width of the image, in pixels.
    """
    import keras
    import numpy as np

    backend = keras.config.backend()
    if backend == "tensorflow":
        from ...models import counting

        return counting.multiply_adds(model, image_size)
    image = np.zeros((1, image_size, image_size, 3), np.float32)
    if backend == "torch":
        return of_torch(lambda: model(image, training=False))
    return _of_jax(lambda x: model(x, training=False), image)


def of_torch(forward: Callable[[], Any]) -> int:
    """Multiply-adds of a call, by PyTorch's counter."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        forward()
    return counter.get_total_flops() // FLOPS_OF_A_MULTIPLY_ADD


def _of_jax(forward: Callable[[Any], Any], image: np.ndarray) -> int:
    import jax

    return _of_jaxpr(jax.make_jaxpr(forward)(image).jaxpr)


def _of_jaxpr(jaxpr: Any) -> int:
    """Of what the outputs depend on, which leaves auxiliary heads out."""
    needed = {id(variable) for variable in jaxpr.outvars}
    total = 0
    for equation in reversed(jaxpr.eqns):
        if not needed.intersection(map(id, equation.outvars)):
            continue
        needed.update(map(id, equation.invars))
        total += _of_equation(equation)
    return total


def _of_equation(equation: Any) -> int:
    if equation.primitive.name == "conv_general_dilated":
        kernel, axes = equation.invars[1].aval.shape, equation.params["dimension_numbers"]
        # A kernel has an entry for each of an output's inputs, and for each output channel.
        inputs = math.prod(kernel) // kernel[axes.rhs_spec[0]]
        return math.prod(equation.outvars[0].aval.shape) * inputs
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        inputs = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        return math.prod(equation.outvars[0].aval.shape) * inputs
    inner = equation.params.get("jaxpr")
    return 0 if inner is None else _of_jaxpr(getattr(inner, "jaxpr", inner))
