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
from .input_timing import InputTiming
from .interruption import StopRequest, TrainingInterrupted
from .run_directory import RunDirectory
from .training_model import TrainingModel

Logs = dict[str, Any] | None


class CountSteps(keras.callbacks.Callback):
    """Keeps the run's position."""

    def __init__(self, position: Position) -> None:
        super().__init__()
        self._position = position

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Lets a resumed epoch's metrics go on where they were."""
        self._position.take_up_metrics()
        self._first_step = self._position.step

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Counts the steps; one call can be for several of them."""
        self._position.step = self._first_step + batch + 1


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
        FloatingPointError: The loss is NaN or infinite; the message names the step and the last
            checkpoint before it.
    """

    def __init__(
        self,
        position: Position,
        learning_rate: float,
        checkpoint: RunCheckpoint,
        directory: RunDirectory,
    ) -> None:
        super().__init__()
        self._position = position
        self._learning_rate = learning_rate
        self._checkpoint = checkpoint
        self._directory = directory

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Looks at the epoch's mean loss, which no finite loss can mend again."""
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            self._stop("loss", loss)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Looks at the test loss: the epoch's last update came after its last training loss."""
        loss = float(logs["val_loss"])
        # Moving statistics that are still far from the batch's can make it infinite for a while.
        if math.isnan(loss):
            self._stop("test loss", loss)

    def _stop(self, what: str, loss: float) -> None:
        newest = self._checkpoint.newest
        before = f"the last good checkpoint is '{newest}'" if newest else "no checkpoint yet"
        raise FloatingPointError(
            f"The {what} is {loss} at step {self._position.step}: the run has diverged and was "
            f"stopped; {before}. Try a learning rate below {self._learning_rate}. Records "
            f"until then are in '{self._directory.path}'."
        )


class Throughput(keras.callbacks.Callback):
    """Measures an epoch's training throughput.

    The first step, which builds and compiles the training function, is left out, and so is what
    happens between epochs: testing and writing.

    Args:
        position: How far the run has come.
        batch_size: Images in a step.
        timing: What measures the waiting for input; None where that can't be measured.
    """

    def __init__(
        self, position: Position, batch_size: int, timing: InputTiming | None = None
    ) -> None:
        super().__init__()
        self._position = position
        self._batch_size = batch_size
        self._timing = timing
        self._steps_seen = 0
        self._last_step_end: float | None = None
        self._images = 0
        self._seconds = 0.0
        self._waited_before = 0.0
        self._waited_s = 0.0

    @property
    def images_per_second(self) -> float:
        """Over the epoch so far; 0 until a step is measured."""
        return self._images / self._seconds if self._seconds else 0.0

    @property
    def seconds(self) -> float:
        """How long the steps of the epoch took so far, of those that are measured."""
        return self._seconds

    @property
    def input_wait_s(self) -> float | None:
        """Of these seconds, those waited for input; None where that can't be measured."""
        return None if self._timing is None else self._waited_s

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Starts the epoch's measurement."""
        self._images, self._seconds, self._waited_s = 0, 0.0, 0.0
        if self._last_step_end is not None:
            self._last_step_end, self._waited_before = self._clocks()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Adds the step."""
        now, waited_s = self._clocks()
        if self._last_step_end is not None:
            self._images += (self._position.step - self._steps_seen) * self._batch_size
            self._seconds += now - self._last_step_end
            self._waited_s += waited_s - self._waited_before
        self._last_step_end, self._waited_before = now, waited_s
        self._steps_seen = self._position.step

    def _clocks(self) -> tuple[float, float]:
        """The time, and how much of it was waited for input so far, in seconds."""
        return time.perf_counter(), 0.0 if self._timing is None else self._timing.waited_s


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
        line = {
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
        if (waited_s := self._throughput.input_wait_s) is not None:
            line["input_wait_s"] = round(waited_s, 3)
        self._directory.append_metrics(line)


class KeepBest(keras.callbacks.Callback):
    """Saves the weights of the epoch that tested best, as they were tested.

    Args:
        model: The model as it is trained.
        directory: The run's directory; of what it has of earlier epochs, the best counts.
    """

    def __init__(self, model: TrainingModel, directory: RunDirectory) -> None:
        super().__init__()
        self._training_model = model
        self._path = directory.best_weights
        self._best = max((line["test_accuracy"] for line in directory.read_metrics()), default=-1.0)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Saves the weights if there are none better."""
        accuracy = float(logs["val_accuracy"])
        if accuracy > self._best:
            self._best = accuracy
            self._training_model.save_tested_weights(self._path)


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
