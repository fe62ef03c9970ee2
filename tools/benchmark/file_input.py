"""Training on JPEG files that are read and distorted meanwhile, beside the resident batch."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from typing import Any

import keras

from ...training.datasets import load_dataset
from ...training.input_pipeline import training_batches
from ...training.train_config import TrainConfig
from . import photographs
from .keras_steps import TensorFlowSteps

_ENOUGH_EPOCHS = 1_000_000


class FileInputSteps(TensorFlowSteps):
    """Steps of a model of the zoo, with files in a folder of this object's own.

    Args:
        model: compiled.
        counted: the net that it wraps.
        batch: images and labels, for the steps without files.
        config: the settings of training.
    """

    def __init__(
        self, model: keras.Model, counted: keras.Model, batch: tuple[Any, Any], config: TrainConfig
    ) -> None:
        super().__init__(model, counted, batch)
        self._config = dataclasses.replace(config, epochs=_ENOUGH_EPOCHS)
        self._folder = tempfile.TemporaryDirectory(prefix="shimzoo-benchmark-")
        photographs.write(self._folder.name, photographs.enough_for(config.batch_size))

    @functools.cached_property
    def _batches(self) -> Any:
        dataset = load_dataset(f"folder:{self._folder.name}")
        batches = training_batches(dataset.train, self._config)
        return iter(self.model.distribute_strategy.experimental_distribute_dataset(batches))

    def run_on_files(self, count: int) -> None:
        import tensorflow as tf

        for _ in range(count):
            self.model.train_function(self._batches)
        tf.test.experimental.sync_devices()
