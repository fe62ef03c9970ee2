"""No error of a callback passes for the end of the data."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo.training.calling import CallbackList

STEPS = 3


class Failing(keras.callbacks.Callback):
    """Fails in one of the methods as a file does that is too large, the first time."""

    def __init__(self, method):
        super().__init__()
        self.failed = False
        setattr(self, method, self.fail)

    def fail(self, batch, logs=None):
        if not self.failed:
            self.failed = True
            raise tf.errors.OutOfRangeError(None, None, "too large")


def fit(called):
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    zeros = np.zeros([STEPS, 2]), np.zeros([STEPS, 1])
    callbacks = CallbackList([called], add_history=True, model=model, epochs=2)
    return model.fit(
        *zeros, batch_size=1, epochs=2, validation_data=zeros, callbacks=callbacks, verbose=0
    )


@pytest.mark.parametrize("method", ["on_train_batch_end", "on_test_batch_end"])
def test_an_error_of_a_file_ends_the_training(method):
    failing = Failing(method)
    with pytest.raises(OSError, match="too large"):
        fit(failing)
    assert failing.failed


def test_without_one_all_steps_are_called():
    steps = []
    history = fit(
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    )
    assert steps == [*range(STEPS)] * 2
    assert len(history.history["val_loss"]) == 2
