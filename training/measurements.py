"""What a run measures of itself, and the lines of metrics that it writes, as Keras callbacks."""

from __future__ import annotations

import time
from typing import Any

import keras
import tensorflow as tf

from .checkpointing import Position
from .input_timing import InputTiming
from .run_directory import RunDirectory

Logs = dict[str, Any] | None


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
        self.leave_out()

    def leave_out(self) -> None:
        """Leaves out of the measurement what has gone by since the last step."""
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


class LogSteps(keras.callbacks.Callback):
    """Writes loss and accuracy within an epoch, to `metrics.jsonl` and for TensorBoard.

    They are Keras' own: means over the epoch so far.

    Args:
        directory: The run's directory.
        position: How far the run has come.
        throughput: Where images/s are measured.
        batch_size: Images in a step.
        log_every: Training steps between two lines; with several steps per execution, a line comes
            after the execution that completes so many.
    """

    def __init__(
        self,
        directory: RunDirectory,
        position: Position,
        throughput: Throughput,
        batch_size: int,
        log_every: int,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._position = position
        self._throughput = throughput
        self._batch_size = batch_size
        self._log_every = log_every
        self._step_before = position.step
        self._writer: tf.summary.SummaryWriter | None = None

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Writes a line where one is due; an epoch's end has its own."""
        step, before = self._position.step, self._step_before
        self._step_before = step
        if step // self._log_every == before // self._log_every or not self._position.is_mid_epoch:
            return
        values = {
            "loss": float(logs["loss"]),
            "accuracy": float(logs["accuracy"]),
            "learning_rate": float(self.model.optimizer.learning_rate),
            "images_per_second": round(self._throughput.images_per_second, 1),
        }
        examples = step * self._batch_size
        self._directory.append_metrics({"step": step, "examples": examples, **values})
        if self._writer is None:
            path = self._directory.tensorboard / "train"
            self._writer = tf.summary.create_file_writer(str(path))
        with self._writer.as_default():
            for name, value in values.items():
                tf.summary.scalar(f"steps/{name}", value, step=step)
        self._writer.flush()


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
        self._directory.append_metrics(line, is_durable=True)
