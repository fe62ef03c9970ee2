"""Contenders on Keras: the zoo's models and those of `keras.applications`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import keras

from ... import models
from . import counterparts
from .keras_steps import steps_of
from .steps import LEARNING_RATE, MOMENTUM, Steps, synthetic_batch
from .throughput_settings import NUM_CLASSES, Settings

if TYPE_CHECKING:
    from ...training.train_config import TrainConfig


def zoo(stage: str, settings: Settings) -> Steps:
    """A model of the zoo.

    On TensorFlow its step is that of `shimzoo train`, on other backends that of Keras' `fit`.

    Args:
        stage: one of `models.STAGES`.
        settings: what is measured.
    """
    batch = synthetic_batch(settings.batch_size, settings.image_size)
    if keras.config.backend() == "tensorflow":
        return _trained_as_by_the_zoo(stage, settings, batch)
    net = _zoo_net(stage, settings)
    _compile(net, settings)
    return steps_of(net, net, batch)


def _zoo_net(stage: str, settings: Settings) -> keras.Model:
    options = {"num_classes": NUM_CLASSES, **settings.options}
    return models.create(
        settings.model,
        stage,
        input_size=settings.image_size,
        dtype=settings.precision,
        **options,
    )


def _trained_as_by_the_zoo(stage: str, settings: Settings, batch: tuple[Any, Any]) -> Steps:
    from ...training import strategies
    from ...training.training_model import TrainingModel
    from .file_input import FileInputSteps

    config = _train_config(stage, settings)
    with strategies.place(config, None).strategy.scope():
        net = _zoo_net(stage, settings)
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        model = TrainingModel(net, config, NUM_CLASSES, settings.batch_size, accuracy)
    if settings.real_input:
        return FileInputSteps(model, net, batch, config, settings.files)
    return steps_of(model, net, batch)


def _train_config(stage: str, settings: Settings) -> TrainConfig:
    from ...training.train_config import TrainConfig

    return TrainConfig(
        model=settings.model,
        stage=stage,
        dataset="digits",  # Never read.
        image_size=settings.image_size,
        batch_size=settings.batch_size,
        epochs=1,
        learning_rate=LEARNING_RATE,
        momentum=MOMENTUM,
        schedule="fixed",
        weight_decay=0.0,  # The net is made with its own.
        precision=settings.precision,
        jit_compile=settings.jit_compile,
        strategy=settings.strategy,
        replicas=settings.replicas,
    )


def applications(settings: Settings) -> Steps:
    """The counterpart in `keras.applications`, compiled as a user does.

    Args:
        settings: what is measured; the model has a counterpart.
    """
    name, arguments = counterparts.keras_application(settings.model)
    keras.config.set_dtype_policy(settings.precision)
    size = settings.image_size
    with _scope(settings):
        model = getattr(keras.applications, name)(
            weights=None,
            input_shape=(size, size, 3),
            classes=NUM_CLASSES,
            classifier_activation=None,
            **arguments,
        )
        _compile(model, settings)
    return steps_of(model, model, synthetic_batch(settings.batch_size, size))


def _scope(settings: Settings) -> contextlib.AbstractContextManager[Any]:
    if settings.strategy == "one_device":
        return contextlib.nullcontext()
    from ...training import strategies

    return strategies.place(_train_config("native", settings), None).strategy.scope()


def _compile(model: keras.Model, settings: Settings) -> None:
    model.compile(
        optimizer=keras.optimizers.SGD(LEARNING_RATE, momentum=MOMENTUM),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=settings.jit_compile,
    )
