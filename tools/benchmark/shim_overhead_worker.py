"""A contender of `shim-overhead`, in its own process: called with its name and settings."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import models
from . import counterparts
from .throughput_settings import NUM_CLASSES, TF1_SESSION, Settings
from .throughput_worker import pin
from .worker import Task, peak_resident_mib, serve, timed

if TYPE_CHECKING:
    import tensorflow as tf

CALLS = 10_000
WARM_UP_CALLS = 1_000
_LEARNING_RATE, _MOMENTUM = 0.01, 0.9


@dataclasses.dataclass(frozen=True)
class Model:
    """A contender's model.

    Args:
        logits: `(images, training) -> logits`, [batch, classes].
        variables: lists its trainable variables, once it has been called.
        keras: the Keras package it is made with.
        small_layer: a small decorated layer, for a contender that is a shim.
    """

    logits: Callable[[tf.Tensor, bool], tf.Tensor]
    variables: Callable[[], list[tf.Variable]]
    keras: str = "keras"
    small_layer: Callable[[tf.Tensor], tf.Tensor] | None = None


def _zoo(stage: str, settings: Settings) -> Model:
    import keras

    from ... import shim

    model = models.create(
        settings.model, stage, num_classes=NUM_CLASSES, input_size=settings.image_size
    )
    small_layer = None
    if stage == "shimmed":
        shim.install()
        from . import slim_models

        small_layer = slim_models.small_slim_net(keras.Layer, shim.track_tf1_style_variables)()
    return Model(
        lambda images, training: model(images, training=training),
        lambda: [variable.value for variable in model.trainable_variables],
        small_layer=small_layer,
    )


def _official_shim(settings: Settings) -> Model:
    import tensorflow as tf
    import tf_keras

    from . import official_shim

    official_shim.restore()
    from . import slim_models

    decorated = tf_keras.layers.Layer, tf.compat.v1.keras.utils.track_tf1_style_variables
    model = slim_models.slim_net(settings.model, *decorated)(NUM_CLASSES)
    return Model(
        lambda images, training: model(images, training=training),
        lambda: model.trainable_variables,
        keras="tf_keras",
        small_layer=slim_models.small_slim_net(*decorated)(),
    )


def _keras_applications(settings: Settings) -> Model:
    import keras

    name, arguments = counterparts.keras_application(settings.model)
    model = getattr(keras.applications, name)(
        weights=None,
        input_shape=(settings.image_size, settings.image_size, 3),
        classes=NUM_CLASSES,
        classifier_activation=None,
        **arguments,
    )
    return Model(
        lambda images, training: model(images, training=training),
        lambda: [variable.value for variable in model.trainable_variables],
    )


def _plain(settings: Settings) -> Model:
    import tensorflow as tf

    from .plain_resnet import PlainResNet

    model = PlainResNet(NUM_CLASSES)
    return Model(
        lambda images, training: tf.squeeze(model(images, training=training)[0], [1, 2]),
        lambda: list(model.trainable_variables),
    )


CONTENDERS: dict[str, Callable[[Settings], Model]] = {
    **{stage: functools.partial(_zoo, stage) for stage in models.STAGES},
    "official_shim": _official_shim,
    "keras_applications": _keras_applications,
    "plain": _plain,
}


def tasks_of(name: str, settings: Settings) -> dict[str, Task]:
    """What a contender is asked for, by name.

    Args:
        name: the contender.
        settings: model and sizes.
    """
    if name == TF1_SESSION:
        return _tasks_of_session(settings)
    return _tasks_of_model(CONTENDERS[name](settings), settings)


def _tasks_of_model(model: Model, settings: Settings) -> dict[str, Task]:
    import tensorflow as tf

    size = settings.image_size
    images = tf.random.stateless_uniform([settings.batch_size, size, size, 3], seed=[0, 0])
    labels = tf.zeros([settings.batch_size], tf.int32)
    for training in (False, True):
        model.logits(images, training)

    def forward(images: tf.Tensor) -> tf.Tensor:
        return model.logits(images, False)

    traced = tf.function(forward)
    compiled = tf.function(forward, jit_compile=True)
    train = _training_step(model)
    for step in (lambda: traced(images), lambda: train(images, labels)):
        step()
    tasks: dict[str, Task] = {
        "eager_inference": _timed(lambda: model.logits(images, False)),
        "eager_training": _timed(lambda: model.logits(images, True)),
        "tracing": _timed(lambda: tf.function(forward).get_concrete_function(images)),
        "step_inference": _timed(lambda: traced(images)),
        "step_training": _timed(lambda: train(images, labels)),
        # Its first run, a warm-up, compiles.
        "step_xla": _timed(lambda: compiled(images)),
        "memory": peak_resident_mib,
        "graph_ops": lambda: len(traced.get_concrete_function(images).graph.get_operations()),
        "facts": lambda: _facts(model.keras),
    }
    if model.small_layer is not None:
        tasks["many_calls"] = lambda: left_behind_by(model.small_layer, WARM_UP_CALLS, CALLS)
    return tasks


def _training_step(model: Model) -> Callable[[tf.Tensor, tf.Tensor], None]:
    """Cross-entropy, its gradients, and SGD with momentum: the same ops for every model."""
    import tensorflow as tf

    variables = model.variables()
    slots = [tf.Variable(tf.zeros_like(variable), trainable=False) for variable in variables]

    @tf.function
    def train(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = model.logits(images, True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        for variable, slot, gradient in zip(
            variables, slots, tape.gradient(loss, variables), strict=True
        ):
            if gradient is None:  # Of an auxiliary head, which this loss leaves out.
                continue
            tf.raw_ops.ResourceApplyKerasMomentum(
                var=variable.handle,
                accum=slot.handle,
                lr=_LEARNING_RATE,
                grad=gradient,
                momentum=_MOMENTUM,
            )

    return train


def _tasks_of_session(settings: Settings) -> dict[str, Task]:
    from .slim_session import SlimSteps

    steps = SlimSteps(settings)
    for phase in ("inference", "training"):
        steps.prepare(phase)
    return {
        "tracing": lambda: steps.build("inference"),
        "step_inference": timed(lambda: steps.run("inference", 1)),
        "step_training": timed(lambda: steps.run("training", 1)),
        "memory": peak_resident_mib,
        "graph_ops": lambda: steps.graph_ops("inference"),
        "facts": lambda: _facts("keras"),
    }


def _timed(run: Callable[[], Any]) -> Task:
    from . import tensorflow_device

    def run_to_the_end() -> None:
        run()
        tensorflow_device.synchronize()

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
    import tensorflow as tf

    inputs = tf.ones([2, 8])
    for _ in range(warm_up_calls):
        layer(inputs)
    before = _left_behind()
    for _ in range(calls):
        layer(inputs)
    return {"before": before, "after": _left_behind()}


def _left_behind() -> dict[str, float]:
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    keys = graph.get_all_collection_keys()
    return {
        "memory_growth": _resident_memory_mib(),
        "collections_growth": sum(len(graph.get_collection_ref(key)) for key in keys),
        "global_ops_growth": len(graph.get_operations()),
    }


def _resident_memory_mib() -> float | None:
    statm = Path("/proc/self/statm")  # Linux only.
    if not statm.exists():
        return None
    pages = int(statm.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _facts(keras_package: str) -> dict[str, Any]:
    import tensorflow as tf

    from . import tensorflow_device

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": f"{keras_package} {importlib.metadata.version(keras_package.replace('_', '-'))}",
        "tf_slim": importlib.metadata.version("tf-slim"),
        "gpu": tensorflow_device.gpu(),
    }


if __name__ == "__main__":
    given = Settings.from_json(sys.argv[2])
    pin(given.threads)
    serve(lambda: tasks_of(sys.argv[1], given))
