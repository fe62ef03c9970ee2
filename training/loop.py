"""`fit` over several processes, which Keras 3's own can't do.

The step is the model's: loss, metrics, gradients and optimizer are Keras', and so are the
callbacks. Only what runs the step, and where its results come from, is written here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from .asynchronous_steps import AsynchronousSteps
from .collective_steps import CollectiveSteps
from .placement import Placement
from .steps import Logs, Steps, TrainingBatches


def fit(
    model: keras.Model,
    placement: Placement,
    training_batches: TrainingBatches,
    *,
    initial_epoch: int,
    epochs: int,
    steps_per_epoch: int,
    validation_batches: tf.data.Dataset,
    count_bad: Callable[[int, int], object],
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains a model as `keras.Model.fit` does.

    Under multi_worker every process calls this, and the steps of all are one. Under
    parameter_server the chief calls it, and each step is one worker's. There, callbacks of a step
    are called once so many steps are given out, of which some can still be under way or waiting for
    a worker: what callbacks are told is of those that are done, and `Placement.finish_steps` waits
    for the others. At the end of an epoch all its steps are done.

    Args:
        model: Compiled under the placement's strategy.
        placement: The strategy and this process' place in it.
        training_batches: Called with a number of workers and the index of one of them; gives that
            worker's batches, of as many images for each.
        initial_epoch: The first epoch, from 0.
        epochs: The epoch to stop before.
        steps_per_epoch: Steps in each.
        validation_batches: This process' share of them.
        count_bad: Called with an epoch and how many more of its images the workers could not use,
            where these are other processes that read for themselves.
        callbacks: As for Keras' `fit`.
    """
    steps = _steps(model, placement, training_batches)
    called = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=steps_per_epoch, verbose=0
    )
    called.on_train_begin()
    logs: Logs = {}
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        called.on_epoch_begin(epoch)
        for step in range(steps_per_epoch):
            called.on_train_batch_begin(step)
            logs = steps.train()
            count_bad(epoch, steps.take_bad())
            called.on_train_batch_end(step, logs)
        logs = steps.finish_epoch()
        count_bad(epoch, steps.take_bad())
        logs |= _of_validation(_tested(steps, validation_batches, called))
        called.on_epoch_end(epoch, logs)
    called.on_train_end(logs)


def test_epoch(
    model: keras.Model,
    placement: Placement,
    training_batches: TrainingBatches,
    *,
    epoch: int,
    training_logs: Callable[[], Logs],
    validation_batches: tf.data.Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Ends an epoch as `fit` does, whose steps another process has done.

    Args:
        model: As for `fit`.
        placement: As for `fit`, or that of a strategy that Keras can fit under.
        training_batches: As for `fit`; nothing of them is read.
        epoch: Which epoch, from 0.
        training_logs: Gives the epoch's metrics in training, once the callbacks know of the epoch.
        validation_batches: As for `fit`.
        callbacks: As for `fit`.
    """
    called = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epoch + 1, steps=0, verbose=0
    )
    called.on_train_begin()
    model.reset_metrics()
    called.on_epoch_begin(epoch)
    logs = training_logs()
    if placement.keras_can_fit:
        results = model.evaluate(validation_batches, callbacks=called, return_dict=True, verbose=0)
    else:
        results = _tested(_steps(model, placement, training_batches), validation_batches, called)
    called.on_epoch_end(epoch, logs | _of_validation(results))
    called.on_train_end(logs)


def _steps(
    model: keras.Model,
    placement: Placement,
    training_batches: TrainingBatches,
) -> Steps:
    make = AsynchronousSteps if placement.name == "parameter_server" else CollectiveSteps
    return make(model, placement, training_batches)


def _tested(
    steps: Steps,
    batches: tf.data.Dataset,
    called: keras.callbacks.CallbackList,
) -> Logs:
    called.on_test_begin()
    results = steps.evaluate(batches, called)
    called.on_test_end(results)
    return results


def _of_validation(results: Logs) -> Logs:
    return {f"val_{name}": value for name, value in results.items()}
