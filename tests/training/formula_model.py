"""A small model whose weights follow from a formula, with images that it tells apart."""

import numpy as np
from shimzoo import models
from shimzoo.checkpoints import tf1_name
from shimzoo.tests.data import goldens

NAME = "mobilenet_v1_0.25_128"
SIZE = 32
CLASSES = 10


def create(stage="native"):
    model = models.create(NAME, stage, num_classes=CLASSES, input_size=SIZE)
    for weight in model.weights:
        weight.assign(goldens.value(tf1_name(weight), tuple(weight.shape)))
    return model


def images(number):
    noise = np.random.default_rng(0).uniform(-1, 1, (number, SIZE, SIZE, 3))
    return noise.astype(np.float32)
