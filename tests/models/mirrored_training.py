"""Trains under a `MirroredStrategy` of two CPUs; run by `mirrored_test.py` in its own process.

TensorFlow fixes its devices when it is first used, so two CPUs can't be had in a process that has
run other tests.
"""

import sys

import keras
import numpy as np
import tensorflow as tf
from shimzoo import checkpoints, models
from shimzoo.models.batch_norm import BatchNorm
from shimzoo.tests.data import goldens

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


def main() -> None:
    folder = sys.argv[1]
    cpus = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpus[0], logical)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        statistics = train_batch_norm()
        differences = train_mobilenet(f"{folder}/model.ckpt")
    np.savez(f"{folder}/result.npz", **statistics, **differences)


if __name__ == "__main__":
    main()
