"""A few training steps on one device or two, or as one of two processes, and its states.

Arguments: a JSON object with "strategy", settings of a `TrainConfig`; "runs", by name the settings
of each that are not `two_heads.CONFIG`'s; "overflowing", the names of those whose gradients
overflow in the second step; and "out", the `.npz` that is written.
"""

import dataclasses
import json
import sys

import keras
import numpy as np
import tensorflow as tf
from shimzoo.training import loop, strategies

from . import two_heads

STEPS, ROWS = 3, 8
OVERFLOWING = 1  # The number of that step, from 0.
# The loss of such an image can be represented, and its gradient times 2**15 can not.
OVERFLOW = 1e36
TEST_LOSS = "test loss"


def batches(overflow, num_workers=1, worker_index=0):
    """A worker's rows of all batches; what overflows is in the last row."""
    images, labels, weights = two_heads.batch(STEPS * ROWS)
    if overflow:
        images[OVERFLOWING * ROWS + ROWS - 1] = OVERFLOW
    rows = np.arange(STEPS * ROWS).reshape(STEPS, num_workers, -1)[:, worker_index].ravel()
    data = tf.data.Dataset.from_tensor_slices((images[rows], labels[rows], weights[rows]))
    return data.batch(ROWS // num_workers, drop_remainder=True)


class KeepStates(keras.callbacks.Callback):
    """Takes down each replica's copy of all that training changes."""

    def __init__(self, strategy):
        super().__init__()
        self.states = {}
        self._strategy = strategy

    def on_train_batch_end(self, batch, logs=None):
        variables = {f"weight {v.path}": v.value for v in self.model.net.weights}
        if self.model.averages is not None:
            variables |= self.model.averages.by_tf1_name()
        for number, v in enumerate(self.model.optimizer.variables):
            variables[f"optimizer {number} {v.name}"] = v.value
        for name, variable in variables.items():
            copies = self._strategy.experimental_local_results(variable)
            self.states[f"{batch} {name}"] = np.stack([copy.numpy() for copy in copies])


def test_loss(model):
    """Of a test with images that could not be read, more of them on one replica than the other."""
    images, labels, weights = two_heads.batch(ROWS)
    weights[[0, 3, 4, 5]] = 0.0
    tests = tf.data.Dataset.from_tensor_slices((images, labels, weights)).batch(6)
    return model.evaluate(tests, verbose=0, return_dict=True)["loss"]


def train(placement, settings, overflow):
    """The state after each step and, where Keras can fit, the loss of a test at the end."""
    keras.utils.set_random_seed(0)
    with placement.strategy.scope():
        model = two_heads.training(two_heads.TwoHeads(), **settings)
    keep = KeepStates(placement.strategy)
    if placement.keras_can_fit:
        model.fit(batches(overflow), shuffle=False, verbose=0, callbacks=[keep])
        losses = np.full(placement.strategy.num_replicas_in_sync, test_loss(model))
        return keep.states | {TEST_LOSS: losses}
    loop.fit(
        model,
        placement,
        lambda *worker: batches(overflow, *worker),
        initial_epoch=0,
        epochs=1,
        steps_per_epoch=STEPS,
        validation_batches=batches(False),
        count_bad=lambda epoch, images: None,
        callbacks=[keep],
    )
    return keep.states


def main() -> None:
    job = json.loads(sys.argv[1])
    config = dataclasses.replace(two_heads.CONFIG, **job["strategy"])
    placement = strategies.place(config, strategies.find_cluster(config))
    states = {}
    for name, settings in job["runs"].items():
        found = train(placement, settings, name in job["overflowing"])
        # An archive has its members by path.
        states |= {f"{name} {key}".replace("/", "|"): value for key, value in found.items()}
    np.savez(job["out"], **states)


if __name__ == "__main__":
    main()
