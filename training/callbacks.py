"""What a run does after each step and epoch, as Keras callbacks; `run_callbacks` orders them."""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import tensorflow as tf

from .checkpointing import Position, RunCheckpoint
from .interruption import SAVE, TrainingInterrupted
from .measurements import Throughput
from .placement import Placement
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
        FloatingPointError: The loss or a weight is NaN or infinite; the message names the step and
            the checkpoint that a resumed run goes on from.
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
            self._stop(f"loss is {loss}")

    def check_weights(self) -> None:
        """Looks at what is about to be saved: an update can ruin weights after a finite loss."""
        for variable in self.model.trainable_variables:
            if not bool(tf.reduce_all(tf.math.is_finite(variable.value))):
                self._stop(f"weight '{variable.path}' is no longer finite")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Looks at the test loss, which the moving statistics and the precision decide as well."""
        loss = float(logs["val_loss"])
        # Moving statistics that are still far from the batch's can make it infinite for a while.
        if math.isnan(loss):
            self._stop(f"test loss is {loss}")
        self._checkpoint.keep_as_tested()

    def _stop(self, what: str) -> None:
        self._checkpoint.fall_back()
        if (tested := self._checkpoint.newest_tested) is not None:
            before = f"the last good checkpoint is '{tested}', which passed its test"
        elif (newest := self._checkpoint.newest) is not None:
            before = f"the last checkpoint is '{newest}', and none has passed a test yet"
        else:
            before = "no checkpoint yet"
        raise FloatingPointError(
            f"The {what} at step {self._position.step}: the run has diverged and was "
            f"stopped; {before}. Try a learning rate below {self._learning_rate}. Records "
            f"until then are in '{self._directory.path}'."
        )


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
    """Saves a checkpoint now and then, after each epoch, and where a signal asks the run to stop.

    That of an epoch is saved before its test, which can take long and changes nothing: a signal
    ends it after any batch, and `resume` begins with the test.

    Args:
        checkpoint: What is saved.
        position: How far the run has come.
        placement: The processes that save and stop together.
        bad_loss: What keeps ruined weights from being saved.
        throughput: What measures the steps, without the saving between them.
        directory: The run's directory.
        save_every: Seconds between two checkpoints within an epoch; None for none there.

    Raises:
        TrainingInterrupted: A signal came, and the checkpoint is written.
    """

    def __init__(
        self,
        checkpoint: RunCheckpoint,
        position: Position,
        placement: Placement,
        bad_loss: StopOnBadLoss,
        throughput: Throughput,
        directory: RunDirectory,
        save_every: float | None,
    ) -> None:
        super().__init__()
        self._checkpoint = checkpoint
        self._position = position
        self._placement = placement
        self._bad_loss = bad_loss
        self._throughput = throughput
        self._directory = directory
        self._save_every = math.inf if save_every is None else save_every
        self._saved_at = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Saves where that is due or a signal came, and stops for a signal."""
        if not self._position.is_mid_epoch:
            return
        is_due = time.monotonic() - self._saved_at >= self._save_every
        asked = self._placement.stop_request.signal_number(SAVE if is_due else None)
        if asked is None:
            return
        self._save()
        if asked != SAVE:
            self._stop(asked)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Saves the epoch, and stops if a signal came."""
        self._save()
        self._stop_if_asked()

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Stops if a signal came; the checkpoint is that of the test's beginning."""
        self._stop_if_asked()

    def _stop_if_asked(self) -> None:
        if (signal_number := self._placement.stop_request.signal_number()) is not None:
            self._stop(signal_number)

    def _save(self) -> None:
        # A step that is still under way can ruin weights after they were looked at.
        self._placement.finish_steps()
        self._bad_loss.check_weights()
        self._checkpoint.save()
        self._saved_at = time.monotonic()
        self._throughput.leave_out()

    def _stop(self, signal_number: int) -> None:
        # Where one process ends, a scheduler kills the others, of which one may still be writing.
        self._placement.wait_for_all()
        raise TrainingInterrupted(
            signal_number,
            self._position.step,
            self._position.total_steps,
            self._directory.path,
        )
