"""A run's training, from where it stands to its end."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from . import loop
from .calling import CallbackList
from .ongoing import OngoingRun


def fit(run: OngoingRun, called: Sequence[keras.callbacks.Callback]) -> None:
    """Trains from a run's position to its end; an epoch that has begun is first completed.

    Args:
        run: The run.
        called: What is called after each step and epoch.
    """
    position, steps, test = run.position, run.steps_per_epoch, run.input.test()
    if position.awaits_test:
        loop.test_epoch(
            run.model,
            run.placement,
            functools.partial(run.input.training, position.step),
            epoch=position.step // steps - 1,
            training_logs=position.finish_metrics,
            validation_batches=test,
            callbacks=called,
        )
        position.awaits_test = False
    epoch, steps_done = divmod(position.step, steps)
    if steps_done:
        _fit_epochs(run, called, test, range(epoch, epoch + 1), steps - steps_done)
        epoch += 1
    if epochs := range(epoch, run.config.epochs):
        _fit_epochs(run, called, test, epochs, steps)


def _fit_epochs(
    run: OngoingRun,
    called: Sequence[keras.callbacks.Callback],
    test: tf.data.Dataset,
    epochs: range,
    steps_each: int,
) -> None:
    if run.placement.keras_can_fit:
        run.model.fit(
            run.input.training(run.position.step),
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            steps_per_epoch=steps_each,
            validation_data=test,
            shuffle=False,  # The batches come in their order.
            callbacks=CallbackList(
                list(called), add_history=True, model=run.model, epochs=epochs.stop
            ),
            verbose=0,
        )
        return
    loop.fit(
        run.model,
        run.placement,
        functools.partial(run.input.training, run.position.step),
        initial_epoch=epochs.start,
        epochs=epochs.stop,
        steps_per_epoch=steps_each,
        validation_batches=test,
        count_bad=run.input.bad.count_unnamed,
        callbacks=called,
    )
