"""Steps that workers take on their own, on variables that parameter servers keep."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from . import servers
from .placement import Placement
from .steps import Logs, TrainingBatches, as_floats


class AsynchronousSteps:
    """Steps that workers take on their own, on variables that parameter servers keep."""

    def __init__(
        self,
        model: keras.Model,
        placement: Placement,
        training_batches: TrainingBatches,
    ) -> None:
        self._model = model
        self._placement = placement
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(placement.strategy)
        workers = len(placement.cluster.tasks["worker"])

        def batches_of_this_worker() -> tf.data.Dataset:
            each = [training_batches(workers, index) for index in range(workers)]
            if workers == 1:
                return each[0]
            # One function is traced for all workers, and only in it each knows its index.
            index = tf.distribute.coordinator.experimental_get_current_worker_index()
            turns = tf.data.Dataset.from_tensors(tf.cast(index, tf.int64)).repeat()
            return tf.data.Dataset.choose_from_datasets(each, turns)

        self._batches = iter(self._coordinator.create_per_worker_dataset(batches_of_this_worker))

        @tf.function
        def step(batches: Iterator[Any]) -> tf.Tensor:
            batch = next(batches)
            placement.strategy.run(lambda batch: _run(model.train_step, batch), (batch,))
            *_, weights = batch
            return tf.math.count_nonzero(weights == 0)

        self._train_step = step
        self._test_step = tf.function(lambda batch: _run(model.test_step, batch))
        self._is_first_step = True
        self._under_way = 0
        self._bad = 0
        self._done: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()
        # A step under way for each worker, and one that waits for it to be free.
        self._limit = 2 * workers

    def train(self) -> Logs:
        with servers.errors_of_workers():
            value = self._coordinator.schedule(self._train_step, args=(self._batches,))
        # Whichever is done first: a daemon, as that of a lost worker may wait without end.
        threading.Thread(target=_fetch, args=(value, self._done), daemon=True).start()
        self._under_way += 1
        # Of an epoch's first step callbacks are to be told something, too.
        while self._is_first_step or self._under_way >= self._limit:
            self._wait_for_one()
            self._is_first_step = False
        return self._result()

    def _wait_for_one(self) -> None:
        def is_done(seconds: float) -> bool:
            try:
                result = self._done.get(timeout=seconds)
            except queue.Empty:
                return False
            if isinstance(result, Exception):
                raise result
            self._bad += result
            return True

        request = self._placement.stop_request
        servers.wait_for_steps(self._placement.cluster, is_done, request)
        self._under_way -= 1

    def take_bad(self) -> int:
        """Images that steps could not use which have come to their end since the last call."""
        bad, self._bad = self._bad, 0
        return bad

    def finish_epoch(self) -> Logs:
        while self._under_way:
            self._wait_for_one()
        self._placement.finish_steps()
        self._is_first_step = True
        return self._result()

    def evaluate(self, batches: tf.data.Dataset, called: keras.callbacks.CallbackList) -> Logs:
        """On the chief, which nothing else keeps busy now."""
        self._model.reset_metrics()
        for number, batch in enumerate(batches):
            called.on_test_batch_begin(number)
            self._test_step(batch)
            called.on_test_batch_end(number)
        return self._result()

    def _result(self) -> Logs:
        return as_floats(self._model.get_metrics_result())


def _fetch(
    value: tf.distribute.coordinator.RemoteValue, done: queue.SimpleQueue[int | Exception]
) -> None:
    """Tells when a step is done: how many images it could not use, or what went wrong in it."""
    try:
        done.put(int(value.fetch()))
    except Exception as error:  # Whatever it is: nothing else tells the chief, which waits for it.
        done.put(error)


def _run(step: Callable[[Any], Any], batch: Any) -> None:
    step(batch)
