"""Runs native models on the backend that KERAS_BACKEND names; `backends_test.py` compares.

KERAS_BACKEND=jax python tests/models/backend_outputs.py OUTPUTS.npz NAME
"""

import sys

import keras
import numpy as np
from shimzoo import checkpoints, models
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan

CLASSES = 10
BATCH = 4


def outputs(name: str) -> dict[str, np.ndarray]:
    """What a model gives in float32, and the loss and all weights after a step in float64.

    On which side of ReLU's corners an activation is depends on the last bit of a sum. In float32
    a net has so many that some fall to the other side on another backend, and gradients with them.
    """
    images, labels = images_of(name), np.arange(BATCH)
    model = formula_model(name)
    found = {"logits": model.predict_on_batch(images)}
    train_a_step(model, images, labels)
    found |= {path: value for path, value in values(model).items() if "moving_" in path}
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    model = formula_model(name)
    found["float64 loss"] = train_a_step(model, images.astype("float64"), labels)
    found |= {f"float64 {path}": value for path, value in values(model).items()}
    return {key: np.asarray(value) for key, value in found.items()}


def images_of(name: str) -> np.ndarray:
    size = ladder_plan.input_size(name)
    return goldens.image((BATCH, size, size, 3), seed=3)


def formula_model(name: str) -> keras.Model:
    options = {"num_classes": CLASSES, **ladder_plan.without_dropout(name)}
    model = models.create(name, "native", input_size=ladder_plan.input_size(name), **options)
    for weight in model.weights:
        weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
    return model


def train_a_step(model: keras.Model, images: np.ndarray, labels: np.ndarray) -> float:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, jit_compile="auto")
    return model.train_on_batch(images, labels)


def values(model: keras.Model) -> dict[str, np.ndarray]:
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


def main() -> None:
    path, name = sys.argv[1:]
    np.savez(path, **outputs(name))


if __name__ == "__main__":
    main()
