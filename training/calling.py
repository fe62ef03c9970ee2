"""Callbacks whose errors end a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

Logs = dict[str, Any] | None


class CallbackList(keras.callbacks.CallbackList):
    """Keras' list of callbacks, of whose errors its `fit` takes none for the end of the data.

    TensorFlow has one error for data that have come to their end and for files that would be larger
    than they may be, and `fit` ends an epoch with either, in silence, wherever it comes from.

    Raises:
        OSError: In place of that error.
    """

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Calls all after a step, or several."""
        with _errors_of_files():
            super().on_train_batch_end(batch, logs)

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Calls all after a batch of a test."""
        with _errors_of_files():
            super().on_test_batch_end(batch, logs)


@contextlib.contextmanager
def _errors_of_files() -> Iterator[None]:
    try:
        yield
    except tf.errors.OutOfRangeError as error:
        raise OSError(error.message) from error
