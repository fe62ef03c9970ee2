"""`fit` over several processes, which Keras 3's own can't do.

The step is the model's: loss, metrics, gradients and optimizer are Keras', and so are the
callbacks. Only what runs the step, and where its results come from, is written here.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from . import servers
from .placement import Placement

Logs = dict[str, float]


def fit(
    model: keras.Model,
    placement: Placement,
    training_batches: Callable[[int, int], tf.data.Dataset],
    *,
    initial_epoch: int,
    epochs: int,
    steps_per_epoch: int,
    validation_batches: tf.data.Dataset,
    count_bad: Callable[[int, int], object],
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Trains a model as `keras.Model.fit` does.

    Under multi_worker every process calls this, and the steps of all are one. Under
    parameter_server the chief calls it, and each step is one worker's. There, callbacks of a step
    are called once so many steps are given out, of which some can still be under way or waiting for
    a worker: what callbacks are told is of those that are done, and `Placement.finish_steps` waits
    for the others. At the end of an epoch all its steps are done.

    Args:
        model: Compiled under the placement's strategy.
        placement: The strategy and this process' place in it.
        training_batches: Called with a number of workers and the index of one of them; gives that
            worker's batches, of as many images for each.
        initial_epoch: The first epoch, from 0.
        epochs: The epoch to stop before.
        steps_per_epoch: Steps in each.
        validation_batches: This process' share of them.
        count_bad: Called with an epoch and how many more of its images the workers could not use,
            where these are other processes that read for themselves.
        callbacks: As for Keras' `fit`.
    """
    steps = _steps(model, placement, training_batches)
    called = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=steps_per_epoch, verbose=0
    )
    called.on_train_begin()
    logs: Logs = {}
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        called.on_epoch_begin(epoch)
        for step in range(steps_per_epoch):
            called.on_train_batch_begin(step)
            logs = steps.train()
            count_bad(epoch, steps.take_bad())
            called.on_train_batch_end(step, logs)
        logs = steps.finish_epoch()
        count_bad(epoch, steps.take_bad())
        logs |= _of_validation(_tested(steps, validation_batches, called))
        called.on_epoch_end(epoch, logs)
    called.on_train_end(logs)


def test_epoch(
    model: keras.Model,
    placement: Placement,
    training_batches: Callable[[int, int], tf.data.Dataset],
    *,
    epoch: int,
    training_logs: Callable[[], Logs],
    validation_batches: tf.data.Dataset,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Ends an epoch as `fit` does, whose steps another process has done.

    Args:
        model: As for `fit`.
        placement: As for `fit`, or that of a strategy that Keras can fit under.
        training_batches: As for `fit`; nothing of them is read.
        epoch: Which epoch, from 0.
        training_logs: Gives the epoch's metrics in training, once the callbacks know of the epoch.
        validation_batches: As for `fit`.
        callbacks: As for `fit`.
    """
    called = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epoch + 1, steps=0, verbose=0
    )
    called.on_train_begin()
    model.reset_metrics()
    called.on_epoch_begin(epoch)
    logs = training_logs()
    if placement.keras_can_fit:
        results = model.evaluate(validation_batches, callbacks=called, return_dict=True, verbose=0)
    else:
        results = _tested(_steps(model, placement, training_batches), validation_batches, called)
    called.on_epoch_end(epoch, logs | _of_validation(results))
    called.on_train_end(logs)


def _steps(
    model: keras.Model,
    placement: Placement,
    training_batches: Callable[[int, int], tf.data.Dataset],
) -> _AsynchronousSteps | _CollectiveSteps:
    make = _AsynchronousSteps if placement.name == "parameter_server" else _CollectiveSteps
    return make(model, placement, training_batches)


def _tested(
    steps: _AsynchronousSteps | _CollectiveSteps,
    batches: tf.data.Dataset,
    called: keras.callbacks.CallbackList,
) -> Logs:
    called.on_test_begin()
    results = steps.evaluate(batches, called)
    called.on_test_end(results)
    return results


def _of_validation(results: Logs) -> Logs:
    return {f"val_{name}": value for name, value in results.items()}


class _CollectiveSteps:
    """Steps in which every process takes its share of the global batch."""

    def __init__(
        self,
        model: keras.Model,
        placement: Placement,
        training_batches: Callable[[int, int], tf.data.Dataset],
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
        training_batches: Callable[[int, int], tf.data.Dataset],
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
        return _as_floats(self._train_step(self._batches))

    def take_bad(self) -> int:
        return 0  # Each process takes them down as it reads.

    def finish_epoch(self) -> Logs:
        return _as_floats(self._results())

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


class _AsynchronousSteps:
    """Steps that workers take on their own, on variables that parameter servers keep."""

    def __init__(
        self,
        model: keras.Model,
        placement: Placement,
        training_batches: Callable[[int, int], tf.data.Dataset],
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
        return _as_floats(self._model.get_metrics_result())


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


def _as_floats(results: dict[str, Any]) -> Logs:
    return {name: float(value) for name, value in results.items()}
