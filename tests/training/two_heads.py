"""A net of two linear heads, which stands in for one with an auxiliary head, and its training."""

import dataclasses
import types

import keras
import numpy as np
from shimzoo.training import DEMO
from shimzoo.training.training_model import TrainingModel

CLASSES, SIZE = 4, 5
CONFIG = dataclasses.replace(
    DEMO.config, optimizer="sgd", schedule="fixed", learning_rate=0.1, warmup_examples=0
)


class TwoHeads(keras.Model):
    """Its images are vectors, float32 `[B, 5]`."""

    def __init__(self, has_aux_logits=True):
        super().__init__(name="TwoHeads")
        self.options = types.SimpleNamespace(has_aux_logits=has_aux_logits)
        decay = keras.regularizers.L2(0.01)
        self.logits = keras.layers.Dense(CLASSES, kernel_regularizer=decay, name="Logits")
        self.aux_logits = keras.layers.Dense(CLASSES, name="AuxLogits")
        self(keras.Input([SIZE]))

    def call(self, images, training=False):
        return self.end_points(images, training)["Logits"]

    def end_points(self, images, training=False):
        return {"Logits": self.logits(images), "AuxLogits": self.aux_logits(images)}


def training(net, **changes):
    """The net as it is trained, with settings other than `CONFIG`'s."""
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    config = dataclasses.replace(CONFIG, **changes)
    return TrainingModel(net, config, CLASSES, 1000, accuracy)


def batch(rows=6, seed=0):
    """Images, labels and weights."""
    random = np.random.default_rng(seed)
    images = random.normal(size=[rows, SIZE]).astype("float32")
    return images, random.integers(CLASSES, size=rows).astype("int32"), np.ones(rows, "float32")
