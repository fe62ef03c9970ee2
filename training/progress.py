"""What a run shows while it trains: a live bar on a terminal, else one line an epoch."""

from __future__ import annotations

import datetime
import time
from types import TracebackType
from typing import Any

import keras
import rich.console
import rich.progress

from .checkpointing import Position
from .input_timing import describe_input
from .measurements import Throughput

_COMPILING = "building the training step, this takes a moment"


class ProgressBar(keras.callbacks.Callback):
    """Shows epoch, loss, accuracy, throughput and the time left.

    Use it as a context manager around `fit`, so that the terminal is left in order however the
    run ends.

    Args:
        console: Where it is shown.
        position: How far the run has come.
        throughput: Where images/s are measured.
        epochs: Epochs of the whole run.
    """

    def __init__(
        self,
        console: rich.console.Console,
        position: Position,
        throughput: Throughput,
        epochs: int,
    ) -> None:
        super().__init__()
        self._console = console
        self._position = position
        self._throughput = throughput
        self._epochs = epochs
        self._test_accuracy = ""
        self._start: float | None = None
        self._first_step = position.step
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("epoch {task.fields[epoch]}/" + str(epochs)),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.TextColumn("{task.fields[status]}"),
            rich.progress.TextColumn("ETA"),
            rich.progress.TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        self._task = self._bar.add_task(
            "",
            total=self._position.total_steps,
            completed=self._position.step,
            epoch=0,
            status=_COMPILING,
        )
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the epoch's number."""
        self._bar.update(self._task, epoch=epoch + 1)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the step's figures."""
        if self._start is None:
            self._start, self._first_step = time.perf_counter(), self._position.step
        self._bar.update(self._task, completed=self._position.step, status=self._status(logs))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Shows the test's figures; not on a terminal, prints the epoch's line."""
        self._test_accuracy = f"  test {logs['val_accuracy']:.3f}"
        status = "  ".join([self._status(logs), *self._input()])
        self._bar.update(self._task, status=status)
        if not self._console.is_terminal:
            self._console.print(f"epoch {epoch + 1}/{self._epochs}  {status}  ETA {self._eta()}")

    def _input(self) -> list[str]:
        """What the epoch waited for its input, if that was measured."""
        seconds, waited_s = self._throughput.seconds, self._throughput.input_wait_s
        return [] if waited_s is None or not seconds else [describe_input(waited_s, seconds)]

    def _status(self, logs: dict[str, Any]) -> str:
        return (
            f"loss {logs['loss']:.3f}  accuracy {logs['accuracy']:.3f}{self._test_accuracy}  "
            f"{self._throughput.images_per_second:,.0f} images/s"
        )

    def _eta(self) -> str:
        steps = self._position.step - self._first_step
        left = self._position.total_steps - self._position.step
        if not steps:
            return "unknown" if left else "0:00:00"
        seconds = (time.perf_counter() - self._start) / steps * left
        return str(datetime.timedelta(seconds=round(seconds)))
