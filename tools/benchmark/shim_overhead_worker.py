"""A contender of `shim-overhead`: ResNet v1-50 for images of 64x64 pixels, in its own process."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from .worker import Task, serve, timed

BATCH_SIZE = 2
IMAGE_SIZE = 64
NUM_CLASSES = 1000
CALLS = 10_000
WARM_UP_CALLS = 1_000


@dataclasses.dataclass(frozen=True)
class Model:
    """A contender's model.

    Args:
        name: the contender's name.
        logits: `(images, training) -> logits`.
        variables: lists its trainable variables, once it has been called.
        keras: the Keras package it is made with.
        small_layer: a small decorated layer, for a contender that is a shim.
    """

    name: str
    logits: Callable[[tf.Tensor, bool], tf.Tensor]
    variables: Callable[[], list[tf.Variable]]
    keras: str = "keras"
    small_layer: Callable[[tf.Tensor], tf.Tensor] | None = None


def _shim() -> Model:
    import keras

    from ... import shim

    shim.install()
    from . import slim_models

    decorated = keras.Layer, shim.track_tf1_style_variables
    model = slim_models.slim_resnet(*decorated)(NUM_CLASSES)
    return Model(
        "shim",
        lambda images, training: model(images, training=training)[0],
        lambda: [variable.value for variable in model.trainable_variables],
        small_layer=slim_models.small_slim_net(*decorated)(),
    )


def _official_shim() -> Model:
    import tf_keras

    from . import official_shim

    official_shim.restore()
    from . import slim_models

    decorated = tf_keras.layers.Layer, tf.compat.v1.keras.utils.track_tf1_style_variables
    model = slim_models.slim_resnet(*decorated)(NUM_CLASSES)
    return Model(
        "official_shim",
        lambda images, training: model(images, training=training)[0],
        lambda: model.trainable_variables,
        keras="tf_keras",
        small_layer=slim_models.small_slim_net(*decorated)(),
    )


def _keras_applications() -> Model:
    import keras

    model = keras.applications.ResNet50(
        weights=None,
        input_shape=(IMAGE_SIZE, IMAGE_SIZE, 3),
        classes=NUM_CLASSES,
        classifier_activation=None,
    )
    return Model(
        "keras_applications",
        lambda images, training: model(images, training=training),
        lambda: [variable.value for variable in model.trainable_variables],
    )


def _plain() -> Model:
    from .plain_resnet import PlainResNet

    model = PlainResNet(NUM_CLASSES)
    return Model(
        "plain",
        lambda images, training: model(images, training=training)[0],
        lambda: list(model.trainable_variables),
    )


CONTENDERS = {
    "shim": _shim,
    "official_shim": _official_shim,
    "keras_applications": _keras_applications,
    "plain": _plain,
}


def tasks_of(model: Model) -> dict[str, Task]:
    """What a contender is asked for, by name; the model is called in both modes meanwhile."""
    images = tf.random.stateless_uniform([BATCH_SIZE, IMAGE_SIZE, IMAGE_SIZE, 3], seed=[0, 0])
    labels = tf.zeros([BATCH_SIZE], tf.int32)
    for training in (False, True):
        model.logits(images, training)

    def forward(images: tf.Tensor) -> tf.Tensor:
        return model.logits(images, False)

    def gradients(images: tf.Tensor, labels: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            logits = tf.reshape(model.logits(images, True), [BATCH_SIZE, NUM_CLASSES])
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        return tape.gradient(loss, model.variables())

    forward_step, gradients_step = tf.function(forward), tf.function(gradients)
    forward_step(images), gradients_step(images, labels)
    tasks: dict[str, Task] = {
        "eager_inference": _timed(lambda: model.logits(images, False)),
        "eager_training": _timed(lambda: model.logits(images, True)),
        "step_forward": _timed(lambda: forward_step(images)),
        "step_gradients": _timed(lambda: gradients_step(images, labels)),
        "tracing": _timed(lambda: tf.function(forward).get_concrete_function(images)),
        "facts": lambda: _facts(model.keras),
    }
    if model.small_layer is not None:
        tasks["many_calls"] = lambda: left_behind_by(model.small_layer, WARM_UP_CALLS, CALLS)
    return tasks


def _timed(run: Callable[[], Any]) -> Task:
    def run_to_the_end() -> None:
        run()
        tf.test.experimental.sync_devices()

    return timed(run_to_the_end)


def left_behind_by(
    layer: Callable[[tf.Tensor], tf.Tensor], warm_up_calls: int, calls: int
) -> dict[str, dict[str, float]]:
    """What many eager calls leave behind, as sizes before and after them.

    Args:
        layer: maps [2, 8] float32 to anything.
        warm_up_calls: calls before the first look.
        calls: calls between the two looks.

    Returns:
        `{"before": sizes, "after": sizes}`: resident memory in MiB (None where the system doesn't
        tell), entries in the global graph's collections, and its ops.
    """
    inputs = tf.ones([2, 8])
    for _ in range(warm_up_calls):
        layer(inputs)
    before = _left_behind()
    for _ in range(calls):
        layer(inputs)
    return {"before": before, "after": _left_behind()}


def _left_behind() -> dict[str, float]:
    graph = tf.compat.v1.get_default_graph()
    keys = graph.get_all_collection_keys()
    return {
        "memory_mib": _resident_memory_mib(),
        "collection_entries": sum(len(graph.get_collection_ref(key)) for key in keys),
        "graph_ops": len(graph.get_operations()),
    }


def _resident_memory_mib() -> float | None:
    statm = Path("/proc/self/statm")  # Linux only.
    if not statm.exists():
        return None
    pages = int(statm.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _facts(keras_package: str) -> dict[str, Any]:
    gpus = tf.config.list_physical_devices("GPU")
    gpu = tf.config.experimental.get_device_details(gpus[0]).get("device_name") if gpus else None
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": f"{keras_package} {importlib.metadata.version(keras_package.replace('_', '-'))}",
        "tf_slim": importlib.metadata.version("tf-slim"),
        "gpu": gpu,
        "batch_size": BATCH_SIZE,
        "image_size": IMAGE_SIZE,
        "precision": "float32",
        "jit_compile": False,
    }


if __name__ == "__main__":
    serve(lambda: tasks_of(CONTENDERS[sys.argv[1]]()))
