"""Trains under a `MirroredStrategy` of two CPUs; run by `mirrored_test.py` in its own process.

TensorFlow fixes its devices when it is first used, so two CPUs can't be had in a process that has
run other tests.
"""

import contextlib
import sys

import keras
import numpy as np
import tensorflow as tf
from shimzoo import checkpoints, models
from shimzoo.models.batch_norm import BatchNorm
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan

MOMENTUM = 0.9


def train_batch_norm() -> dict[str, np.ndarray]:
    """Five images in batches of four: the last batch leaves one replica without an image."""
    inputs = keras.Input((4, 4, 3))
    norm = BatchNorm(momentum=MOMENTUM, epsilon=0.001, scale=True, name="BatchNorm")
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(norm(inputs)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    images = goldens.image((5, 4, 4, 3))
    model.fit(images, np.zeros((5, 3)), batch_size=4, shuffle=False, verbose=0)
    return {"bn_mean": norm.moving_mean.numpy(), "bn_variance": norm.moving_variance.numpy()}


def train_mobilenet(prefix: str) -> dict[str, np.ndarray]:
    """One step from a checkpoint; saved and restored under the strategy."""
    model = models.create("mobilenet_v1_0.25_128", "native", input_size=32, num_classes=10)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.01), loss, jit_compile=False)
    model.fit(goldens.image((4, 32, 32, 3)), np.arange(4), batch_size=4, verbose=0)
    weights = model.get_weights()
    checkpoints.save(model, prefix)
    for weight in model.weights:
        weight.assign(np.zeros(weight.shape))
    checkpoints.restore(model, prefix)
    return {
        str(i): a - b for i, (a, b) in enumerate(zip(weights, model.get_weights(), strict=True))
    }


def train_all_versions(name: str, strategy: tf.distribute.Strategy) -> dict[str, np.ndarray]:
    """Weights after a step with the same images on each replica, and alone with them once."""
    size = ladder_plan.input_size(name)
    images, labels = goldens.image((2, size, size, 3), seed=4), np.arange(2)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    found = {}
    for stage in models.STAGES:
        for key, scope, copies in (
            ("alone", contextlib.nullcontext(), 1),
            ("two", strategy.scope(), 2),
        ):
            with scope:
                model = models.create(
                    name, stage, input_size=size, **ladder_plan.without_dropout(name)
                )
                model.compile(keras.optimizers.SGD(0.001), loss, jit_compile=False)
            for weight in model.weights:
                weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
            batch = [np.concatenate([array] * copies) for array in (images, labels)]
            model.fit(*batch, batch_size=2 * copies, shuffle=False, verbose=0)
            for weight in model.weights:
                found[f"{stage} {key} {checkpoints.tf1_name(weight)}"] = weight.numpy()
    return found


def main() -> None:
    folder, name = sys.argv[1], sys.argv[2:]
    cpus = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpus[0], logical)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    if name:
        np.savez(f"{folder}/result.npz", **train_all_versions(*name, strategy))
        return
    with strategy.scope():
        statistics = train_batch_norm()
        differences = train_mobilenet(f"{folder}/model.ckpt")
    np.savez(f"{folder}/result.npz", **statistics, **differences)


if __name__ == "__main__":
    main()
