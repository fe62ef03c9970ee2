"""What a run reads: its batches, with what of them is bad, and how long they were waited for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from .bad_examples import BadExamples
from .datasets import Dataset
from .input_order import read_until, rows_of_worker
from .input_pipeline import evaluation_batches, steps_per_epoch, training_batches
from .input_timing import InputTiming
from .placement import Placement
from .train_config import TrainConfig


class RunInput:
    """The batches of a run. To be made outside of its strategy's scope.

    Args:
        dataset: What the run trains on and is tested with.
        config: Its settings.
        placement: Its strategy and this process' place in it.

    Attributes:
        bad: What can't be used of the training part; only counted where others read it.
        bad_in_test: What can't be used of the test part.
        timing: How long training waited for input; None where others read it.

    Raises:
        ValueError: There are fewer training images than all workers need at once.
    """

    def __init__(self, dataset: Dataset, config: TrainConfig, placement: Placement) -> None:
        self._dataset = dataset
        self._config = config
        self._reads_itself = placement.reads_input_itself
        self._share = placement.share
        self._steps = steps_per_epoch(config, len(dataset.train))
        self.bad = BadExamples(dataset.train, config.max_bad_fraction)
        self.bad_in_test = BadExamples(dataset.test, config.max_bad_fraction, "test")
        self.timing = InputTiming() if self._reads_itself else None
        if not self._reads_itself:
            # Whole batches of a worker's own, not shares.
            workers = len(placement.cluster.tasks["worker"])
            steps_per_epoch(self._of_whole_batches(workers), len(dataset.train))

    def training(
        self, first_step: int, num_workers: int = 1, worker_index: int = 0
    ) -> tf.data.Dataset:
        """A worker's part of the training batches.

        Args:
            first_step: Training steps that are done.
            num_workers: Workers that share the batches.
            worker_index: Which of them this is.

        Returns:
            A dataset as of `training_batches`: shares of each batch, or, where each step is one
            worker's, whole batches without end.
        """
        train = self._dataset.train
        if self._reads_itself:
            batches = training_batches(
                train, self._config, first_step, num_workers, worker_index, self.bad
            )
            return self.timing.timed(batches)
        config = self._of_whole_batches(num_workers)
        return training_batches(train, config, first_step // num_workers, num_workers, worker_index)

    def bad_until(self, step: int) -> list[int]:
        """What could not be used in a step's epoch until then, without what is read ahead.

        Args:
            step: Training steps that are done.

        Returns:
            Numbers of training images of this process' share.
        """
        # Most runs have none, and drawing an order takes its time.
        if not step or not (noted := self.bad.numbers((step - 1) // self._steps)):
            return []
        _, read = self._read_until(step)
        return sorted(noted.intersection(read.tolist()))

    def take_up_bad(self, step: int, numbers: Iterable[int]) -> None:
        """Lets an epoch's bad images go on where they were.

        Args:
            step: Training steps that are done.
            numbers: What `bad_until` gave for it, in all processes.
        """
        if not (found := set(numbers)):
            return
        epoch, read = self._read_until(step)
        own = np.array(sorted(found.intersection(read.tolist())), np.int64)
        self.bad.note(np.full(len(own), epoch), own)

    def _read_until(self, step: int) -> tuple[int, np.ndarray]:
        rows = rows_of_worker(self._config.batch_size, *self._share, partners=0)
        return read_until(self._dataset.train, self._config, self._steps, step, rows)

    def first(self) -> tf.data.Dataset:
        """The run's batches from its start, to be looked at: nothing is taken down or measured."""
        return training_batches(self._dataset.train, self._config)

    def test(self) -> tf.data.Dataset:
        """This process' share of the test part's batches, as of `evaluation_batches`."""
        return evaluation_batches(self._dataset.test, self._config, self.bad_in_test, *self._share)

    def _of_whole_batches(self, num_workers: int) -> TrainConfig:
        """Settings whose shares for so many workers are batches, enough however fast one is."""
        return dataclasses.replace(
            self._config,
            batch_size=self._config.batch_size * num_workers,
            epochs=self._config.epochs * self._steps,
        )
