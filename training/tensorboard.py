"""What a run shows in TensorBoard beside Keras' scalars: images and profiles."""

from __future__ import annotations

import pathlib
from types import TracebackType
from typing import Any

import keras
import tensorflow as tf

from .checkpointing import Position
from .train_config import TrainConfig

_IMAGES_SHOWN = 16


def show_images(batches: tf.data.Dataset, directory: pathlib.Path) -> None:
    """Writes the first images of a run as the net sees them.

    Args:
        batches: The run's batches, whose first part is images, float32 `[b, H, W, 3]`. What they
            hold depends on the preprocessing: black is the least value of all and white the most.
        directory: Where the part `train` of the run's TensorBoard records is.
    """
    images = next(iter(batches))[0][:_IMAGES_SHOWN]
    least, most = tf.reduce_min(images), tf.reduce_max(images)
    shown = (images - least) / tf.maximum(most - least, keras.config.epsilon())
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        tf.summary.image("images as the net sees them", shown, step=0, max_outputs=_IMAGES_SHOWN)
    writer.close()


class Profile(keras.callbacks.Callback):
    """Records some steps for TensorBoard's profiler.

    Use it as a context manager around `fit`, so that the recording ends however the run does.

    Args:
        position: How far the run has come.
        config: The run's settings; whole executions of steps are recorded.
        directory: The run's TensorBoard records.
    """

    def __init__(self, position: Position, config: TrainConfig, directory: pathlib.Path) -> None:
        super().__init__()
        self._position = position
        self._steps = config.profile
        self._steps_per_execution = config.steps_per_execution
        self._directory = directory
        self._is_recording = False

    def __enter__(self) -> Profile:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Starts before the first step, or where a run comes to be resumed between the two."""
        if self._is_recording or not self._steps:
            return
        first, last = self._steps
        done = self._position.step
        if first <= done + self._steps_per_execution and done < last:
            tf.profiler.experimental.start(str(self._directory))
            self._is_recording = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Stops after the last step."""
        if self._steps and self._position.step >= self._steps[1]:
            self._stop()

    def _stop(self) -> None:
        if self._is_recording:
            self._is_recording = False
            tf.profiler.experimental.stop()
