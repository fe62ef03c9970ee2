"""What a run does after each step and epoch, as Keras callbacks.

Keras calls them in the order of their list: the position first, because the others read it, and
saving last, because a checkpoint says that all of its epoch's records are written.
"""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import tensorflow as tf

from .checkpointing import Position, RunCheckpoint
from .interruption import StopRequest, TrainingInterrupted
from .run_directory import RunDirectory

Logs = dict[str, Any] | None


class CountSteps(keras.callbacks.Callback):
    """Keeps the run's position."""

    def __init__(self, position: Position) -> None:
        super().__init__()
        self._position = position

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Lets a resumed epoch's metrics go on where they were."""
        self._position.take_up_metrics()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Counts the step."""
        self._position.step += 1


class ShareStatistics(keras.callbacks.Callback):
    """Gives all replicas the mean of their moving statistics before a test.

    That mean is what is saved as the model's, so the figures of a test are the saved model's.
    """

    def on_test_begin(self, logs: Logs = None) -> None:
        """Reads each statistic as the replicas' mean, and writes that to all."""
        for variable in self.model.non_trainable_variables:
            value = variable.value
            if not isinstance(value, tf.distribute.DistributedValues):
                continue
            if value.synchronization == tf.VariableSynchronization.ON_READ:
                value.assign(value.read_value())


class StopOnBadLoss(keras.callbacks.Callback):
    """Ends a run whose loss is not a number any more, before its weights are saved.

    Raises:
        FloatingPointError: The loss is NaN or infinite; the message names the step.
    """

    def __init__(self, position: Position, learning_rate: float, directory: RunDirectory) -> None:
        super().__init__()
        self._position = position
        self._learning_rate = learning_rate
        self._directory = directory

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Looks at the epoch's mean loss, which no finite loss can mend again."""
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The loss is {loss} at step {self._position.step}: the run has diverged and was "
                f"stopped. Try a learning rate below {self._learning_rate}. Records until then are "
                f"in '{self._directory.path}'."
            )


class Throughput(keras.callbacks.Callback):
    """Measures an epoch's training throughput.

    The first step, which builds and compiles the training function, is left out, and so is what
    happens between epochs: testing and writing.

    Args:
        batch_size: Images in a step.
    """

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self._batch_size = batch_size
        self._last_step_end: float | None = None
        self._images = 0
        self._seconds = 0.0

    @property
    def images_per_second(self) -> float:
        """Over the epoch so far; 0 until a step is measured."""
        return self._images / self._seconds if self._seconds else 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the epoch's measurement."""
        self._images, self._seconds = 0, 0.0
        if self._last_step_end is not None:
            self._last_step_end = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Adds the step."""
        now = time.perf_counter()
        if self._last_step_end is not None:
            self._images += self._batch_size
            self._seconds += now - self._last_step_end
        self._last_step_end = now


class LogMetrics(keras.callbacks.Callback):
    """Writes a line of `metrics.jsonl` after each epoch."""

    def __init__(
        self, directory: RunDirectory, position: Position, throughput: Throughput, batch_size: int
    ) -> None:
        super().__init__()
        self._directory = directory
        self._position = position
        self._throughput = throughput
        self._batch_size = batch_size

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the epoch's clock."""
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Writes the line."""
        self._directory.append_metrics(
            {
                "epoch": epoch + 1,
                "step": self._position.step,
                "examples": self._position.step * self._batch_size,
                "loss": float(logs["loss"]),
                "accuracy": float(logs["accuracy"]),
                "test_loss": float(logs["val_loss"]),
                "test_accuracy": float(logs["val_accuracy"]),
                "learning_rate": float(self.model.optimizer.learning_rate),
                "images_per_second": round(self._throughput.images_per_second, 1),
                "seconds": round(time.perf_counter() - self._start, 3),
            }
        )


class SaveCheckpoints(keras.callbacks.Callback):
    """Saves a checkpoint after each epoch, and where a signal asks the run to stop.

    Raises:
        TrainingInterrupted: A signal came, and the checkpoint is written.
    """

    def __init__(
        self,
        checkpoint: RunCheckpoint,
        position: Position,
        request: StopRequest,
        directory: RunDirectory,
    ) -> None:
        super().__init__()
        self._checkpoint = checkpoint
        self._position = position
        self._request = request
        self._directory = directory

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Saves and stops if a signal came in mid-epoch."""
        # A complete epoch is first tested and recorded.
        if not self._position.is_mid_epoch:
            return
        if (signal_number := self._request.signal_number()) is not None:
            self._checkpoint.save()
            self._stop(signal_number)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Saves, and stops if a signal came and epochs are left."""
        self._checkpoint.save()
        if self._position.step == self._position.total_steps:
            return
        if (signal_number := self._request.signal_number()) is not None:
            self._stop(signal_number)

    def _stop(self, signal_number: int) -> None:
        raise TrainingInterrupted(
            signal_number,
            self._position.step,
            self._position.total_steps,
            self._directory.path,
        )
