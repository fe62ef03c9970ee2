"""Training on JPEG files that are read and distorted meanwhile, beside the resident batch."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from ...training.datasets import load_dataset
from ...training.input_pipeline import training_batches
from ...training.train_config import TrainConfig
from .keras_steps import TensorFlowSteps

_ENOUGH_EPOCHS = 1_000_000


class FileInputSteps(TensorFlowSteps):
    """Steps of a model of the zoo, with files to train on.

    Args:
        model: compiled.
        counted: the net that it wraps.
        batch: images and labels, for the steps without files.
        config: the settings of training.
        folder: the files, as `photographs.write` makes them.
    """

    def __init__(
        self,
        model: keras.Model,
        counted: keras.Model,
        batch: tuple[Any, Any],
        config: TrainConfig,
        folder: str,
    ) -> None:
        super().__init__(model, counted, batch)
        self._config = dataclasses.replace(config, epochs=_ENOUGH_EPOCHS)
        self._dataset = load_dataset(f"folder:{folder}")
        self._batches: Any = None

    def open_files(self) -> None:
        """As in the base class."""
        batches = training_batches(self._dataset.train, self._config)
        distribute = self.model.distribute_strategy.experimental_distribute_dataset
        self._batches = iter(distribute(batches))
        next(self._batches)

    def run_on_files(self, count: int) -> None:
        """As in the base class."""
        from . import tensorflow_device

        for _ in range(count):
            self.model.train_function(self._batches)
        tensorflow_device.synchronize()
