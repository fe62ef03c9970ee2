"""Steps in which every process takes its share of the global batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from .placement import Placement
from .steps import Logs, TrainingBatches, as_floats


class CollectiveSteps:
    """Steps in which every process takes its share of the global batch."""

    def __init__(
        self,
        model: keras.Model,
        placement: Placement,
        training_batches: TrainingBatches,
    ) -> None:
        self._model = model
        self._placement = placement
        self._strategy = placement.strategy
        # Replicas of one process, each with rows of its own.
        self._local = self._strategy.num_replicas_in_sync // placement.cluster.num_workers
        batches = self._strategy.distribute_datasets_from_function(
            lambda context: self._rows(context, training_batches)
        )
        self._batches = iter(batches)
        self._train_step = tf.function(self._step)
        self._test_step = tf.function(self._test)
        self._results = tf.function(model.get_metrics_result)

    def _rows(
        self,
        context: tf.distribute.InputContext,
        training_batches: TrainingBatches,
    ) -> tf.data.Dataset:
        workers, index = context.num_input_pipelines, context.input_pipeline_id
        replicas = [
            training_batches(workers * self._local, index * self._local + replica)
            for replica in range(self._local)
        ]
        if self._local == 1:
            return replicas[0]
        # The strategy hands a process' batches to its replicas in turn.
        turns = tf.data.Dataset.range(self._local).repeat()
        return tf.data.Dataset.choose_from_datasets(replicas, turns)

    def _step(self, batches: Iterator[Any]) -> dict[str, tf.Tensor]:
        self._strategy.run(self._model.train_step, args=(next(batches),))
        return self._model.get_metrics_result()

    def train(self) -> Logs:
        return as_floats(self._train_step(self._batches))

    def take_bad(self) -> int:
        return 0  # Each process takes them down as it reads.

    def finish_epoch(self) -> Logs:
        return as_floats(self._results())

    def evaluate(self, batches: tf.data.Dataset, called: keras.callbacks.CallbackList) -> Logs:
        self._model.reset_metrics()
        groups = _groups(batches, self._local)
        # One process can have fewer batches than another, but callbacks agree on stops, for which
        # all have to call them as often.
        own = math.ceil(int(batches.cardinality()) / self._local)
        for number in range(self._placement.largest(own)):
            called.on_test_batch_begin(number)
            if (group := next(groups, None)) is not None:
                self._test_step(*(self._of_each(values) for values in zip(*group, strict=True)))
            called.on_test_batch_end(number)
        return self.finish_epoch()

    def _of_each(self, values: Sequence[Any]) -> Any:
        """One value for each replica of this process."""
        parts = [tf.nest.flatten(value) for value in values]
        spread = [
            self._strategy.experimental_distribute_values_from_function(
                lambda context, column=column: column[
                    context.replica_id_in_sync_group % self._local
                ]
            )
            for column in zip(*parts, strict=True)
        ]
        return tf.nest.pack_sequence_as(values[0], spread)

    def _test(self, batch: Any, is_real: Any) -> None:
        def step(batch: Any, is_real: tf.Tensor) -> None:
            if is_real:
                self._model.test_step(batch)

        self._strategy.run(step, args=(batch, is_real))


def _groups(batches: tf.data.Dataset, size: int) -> Iterator[list[tuple[Any, tf.Tensor]]]:
    """So many batches at a time, each with whether it is one or only fills the last group."""
    group: list[tuple[Any, tf.Tensor]] = []
    for batch in batches:
        group.append((batch, tf.constant(True)))
        if len(group) == size:
            yield group
            group = []
    if group:
        filler = (group[0][0], tf.constant(False))
        yield group + [filler] * (size - len(group))
