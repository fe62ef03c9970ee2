"""Runs native models on the backend that KERAS_BACKEND names; `backends_test.py` compares.

KERAS_BACKEND=jax python tests/models/backend_outputs.py OUTPUTS.npz NAME...
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
    """Logits, and the loss and all weights after a step of training."""
    size = ladder_plan.input_size(name)
    options = {"num_classes": CLASSES, **ladder_plan.without_dropout(name)}
    model = models.create(name, "native", input_size=size, **options)
    for weight in model.weights:
        weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
    images = goldens.image((BATCH, size, size, 3), seed=3)
    found = {"logits": model.predict_on_batch(images)}
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, jit_compile="auto")
    found["loss"] = model.train_on_batch(images, np.arange(BATCH))
    for weight in model.weights:
        found[weight.path] = keras.ops.convert_to_numpy(weight)
    return {f"{name}: {key}": np.asarray(value) for key, value in found.items()}


def main() -> None:
    path, *names = sys.argv[1:]
    arrays: dict[str, np.ndarray] = {}
    for name in names:
        arrays |= outputs(name)
    np.savez(path, **arrays)


if __name__ == "__main__":
    main()
