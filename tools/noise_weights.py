"""A model's weights by TF1 name, and noise for them where no checkpoint is at hand."""

from __future__ import annotations

import zlib

import keras
import numpy as np

from .. import checkpoints
from ..checkpoints.names import SUFFIXES

MOVING = ("moving_mean", "moving_variance")


def by_name(model: keras.Model) -> dict[str, keras.Variable]:
    """The weights by the names that TF-Slim's variables would have, in the model's order.

    Raises:
        ValueError: Two weights have the same name.
    """
    named = {}
    for weight in model.weights:
        scope, slash, last = checkpoints.tf1_name(weight).rpartition("/")
        name = scope + slash + SUFFIXES.get(last, last)  # `tf.layers` says kernel, too.
        if name in named:
            raise ValueError(
                f"{model.name} has two weights {name}: name their layers apart, or build them in "
                "name scopes of their own."
            )
        named[name] = weight
    return named


def fill(model: keras.Model) -> None:
    """Gives a model weights that follow from their TF1 names, so that no two are alike.

    Kernels have a variance of 2 / inputs, factors and variances are about one, all others about
    zero.
    """
    for name, weight in by_name(model).items():
        noise = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(weight.shape)
        if len(weight.shape) > 1:
            depthwise = name.endswith("depthwise_weights")
            inputs = np.prod(weight.shape[:2] if depthwise else weight.shape[:-1])
            value = noise * np.sqrt(2 / inputs)
        else:
            value = 0.1 * noise + name.endswith(("gamma", "moving_variance"))
        weight.assign(np.abs(value) if name.endswith("moving_variance") else value)


def settle(model: keras.Model, images: np.ndarray, decay: float) -> None:
    """Gives a model the moving statistics of a batch, so that maps keep their size in evaluation.

    A training step of the model keeps `decay` of the old ones.

    Raises:
        ValueError: It keeps all of them.
    """
    if decay == 1:
        raise ValueError("batch_norm_decay=1.0 keeps moving statistics as they are: take less.")
    moving = {key: weight for key, weight in by_name(model).items() if key.endswith(MOVING)}
    before = {key: weight.numpy() for key, weight in moving.items()}
    model(images, training=True)
    for key, weight in moving.items():
        weight.assign((weight.numpy() - decay * before[key]) / (1 - decay))
