"""What runs a training's steps in several processes, whatever the strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import tensorflow as tf

Logs = dict[str, float]
# Called with a number of workers and the index of one of them; gives that worker's batches.
TrainingBatches = Callable[[int, int], tf.data.Dataset]


class Steps(Protocol):
    """Takes the steps of a run, one at a time, and tests its model."""

    def train(self) -> Logs:
        """Takes a step, or gives one out; gives the epoch's metrics so far."""

    def take_bad(self) -> int:
        """Images that steps could not use which have come to their end since the last call.

        Only those that nothing else in this process knows of.
        """

    def finish_epoch(self) -> Logs:
        """Waits for all steps that were given out; gives the epoch's metrics."""

    def evaluate(self, batches: tf.data.Dataset, called: keras.callbacks.CallbackList) -> Logs:
        """Tests the model with this process' batches; gives the metrics of all processes'."""


def as_floats(results: dict[str, Any]) -> Logs:
    """Metrics as numbers of Python's, for which it waits."""
    return {name: float(value) for name, value in results.items()}
