"""The idioms of real TF1 code, as small models: their code, their inputs, their weights."""

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from shimzoo.tests.shim import tf1_control_models, tf1_image_models, tf1_text_models


@dataclasses.dataclass(frozen=True)
class Idiom:
    """TF1 code that makes its variables as it goes.

    Args:
        forward: `(features, training) -> outputs`, both dictionaries of tensors; `training` is a
            Python bool.
        features: the inputs, by name.
    """

    forward: Callable[[dict[str, Any], bool], dict[str, Any]]
    features: dict[str, np.ndarray]


def _random(*shape):
    return np.random.default_rng(len(shape)).normal(size=shape).astype("float32")


IDS = np.array([[1, 5, 2, 0, 7], [3, 3, 12, 4, 0]], "int32")
EDGES = np.eye(5, dtype="float32") * 0.6 + np.eye(5, k=1, dtype="float32") * 0.4
WORDS = {"ids": IDS, "segments": (IDS > 4).astype("int32"), "mask": (IDS > 0).astype("int32")}
OBSERVATIONS = {"observations": _random(4, 4)}
IMAGES = {"images": _random(2, 32, 32, 3)}
LABELED_IMAGES = {**IMAGES, "labels": np.array([2, 0], "int32")}
FRAMES = {"images": _random(4, 12, 12, 2), **OBSERVATIONS}
GRAPH = {
    "nodes": np.maximum(_random(5, 6), 0),
    "edges": EDGES,
    "labels": np.array([0, 2, 1, 0, 2], "int32"),
    "mask": np.array([1, 1, 0, 1, 0], "int32"),
}

IDIOMS = {
    "bert": Idiom(tf1_text_models.bert, WORDS),
    "gpt2": Idiom(tf1_text_models.gpt2, {"tokens": IDS[:, :4]}),
    "lstm": Idiom(tf1_text_models.lstm, {"sequence": _random(2, 3, 3)}),
    "vggish": Idiom(tf1_image_models.vggish, {"spectrograms": _random(2, 12, 8)}),
    "facenet": Idiom(tf1_image_models.facenet, LABELED_IMAGES),
    "pose_net": Idiom(tf1_image_models.pose_net, IMAGES),
    "yolo": Idiom(tf1_image_models.yolo, IMAGES),
    "text_detector": Idiom(tf1_image_models.text_detector, IMAGES),
    "collected_net": Idiom(tf1_image_models.collected_net, IMAGES),
    "policy": Idiom(tf1_control_models.policy, FRAMES),
    "deep_q": Idiom(tf1_control_models.deep_q, OBSERVATIONS),
    "averaged_policy": Idiom(tf1_control_models.averaged_policy, OBSERVATIONS),
    "templates": Idiom(tf1_control_models.templates, OBSERVATIONS),
    "graph_convolution": Idiom(tf1_control_models.graph_convolution, GRAPH),
    "progressive_generator": Idiom(
        tf1_control_models.progressive_generator, {"latents": _random(2, 3)}
    ),
    "siamese": Idiom(tf1_control_models.siamese, OBSERVATIONS),
    "wide_and_deep": Idiom(
        tf1_control_models.wide_and_deep, {"ids": np.array([1, 5, 2, 0]), **OBSERVATIONS}
    ),
    "bare_variables": Idiom(tf1_control_models.bare_variables, OBSERVATIONS),
}

# Eagerly one branch is run and the other one's variables do not exist, unlike in TF1.
GROWING = Idiom(tf1_control_models.growing_generator, {"latents": _random(2, 3)})

# Of such variables no root or quotient may be taken of negative numbers.
_POSITIVE = ("variance", "gamma", "runningsumsq", "count")


def known_value(name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """A value for a variable that follows from its TF1 name and is like no other's."""
    if not dtype.startswith("float"):
        return np.full(shape, 3, dtype)
    value = np.random.default_rng(zlib.crc32(name.encode())).normal(0.0, 0.3, shape)
    return (np.abs(value) + 0.5 if name.endswith(_POSITIVE) else value).astype(dtype)
