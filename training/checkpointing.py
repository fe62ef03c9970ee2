"""Checkpoints of a run: all that its continuation depends on."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from .. import checkpoints
from .training_model import TrainingModel

_NAME = "step"


class Position(tf.train.experimental.PythonState):
    """How far a run has come.

    Args:
        steps_per_epoch: Training steps in an epoch.
        epochs: Epochs of the whole run.
        metrics: The metrics whose values add up over the steps of an epoch.

    Attributes:
        step: Training steps done.
        total_steps: Training steps of the whole run.
    """

    def __init__(
        self, steps_per_epoch: int, epochs: int, metrics: Sequence[keras.metrics.Metric]
    ) -> None:
        super().__init__()
        self.step = 0
        self.total_steps = steps_per_epoch * epochs
        self._steps_per_epoch = steps_per_epoch
        self._metrics = metrics
        self._restored_values: list[float] | None = None

    @property
    def is_mid_epoch(self) -> bool:
        """Whether an epoch has begun and not come to its end."""
        return self.step % self._steps_per_epoch != 0

    def take_up_metrics(self) -> None:
        """Lets the metrics of an epoch that was interrupted go on where they were.

        To be called once Keras has reset them for the epoch.
        """
        values, self._restored_values = self._restored_values, None
        if values is not None and self.is_mid_epoch:
            for variable, value in zip(self._metric_variables(), values, strict=True):
                variable.assign(value)

    def serialize(self) -> str:
        """As TensorFlow's checkpoint holds it."""
        values = [float(variable.numpy()) for variable in self._metric_variables()]
        return json.dumps({"step": self.step, "metrics": values})

    def deserialize(self, string_value: str) -> None:
        """Takes over what `serialize` gave."""
        saved = json.loads(string_value)
        self.step = saved["step"]
        self._restored_values = saved["metrics"]

    def _metric_variables(self) -> list[keras.Variable]:
        return [variable for metric in self._metrics for variable in metric.variables]


class RunCheckpoint:
    """Saves and restores weights, averages, optimizer, random state and position of a run.

    Args:
        model: The model as it is trained.
        position: How far the run has come.
        directory: Where checkpoints are saved.
        keep: How many of them are kept.
        source: Where they are restored from.
        before_save: Called before each save, to let steps come to their end that are under way.
    """

    def __init__(
        self,
        model: TrainingModel,
        position: Position,
        directory: pathlib.Path,
        keep: int,
        source: pathlib.Path,
        before_save: Callable[[], None] = lambda: None,
    ) -> None:
        self._position = position
        self._source = source
        self._before_save = before_save
        self._newest: str | None = None
        net = model.net
        weights = {id(variable) for variable in net.weights}
        averages = model.averages.by_tf1_name() if model.averages is not None else {}
        checkpoint = tf.train.Checkpoint(
            **checkpoints.checkpoint_objects(net, averages),
            optimizer=model.optimizer,
            # States of random generators are variables that Keras leaves out of `weights`.
            random_state=[v.value for v in net.variables if id(v) not in weights],
            position=position,
        )
        self._manager = tf.train.CheckpointManager(
            checkpoint, str(directory), max_to_keep=keep, checkpoint_name=_NAME
        )

    @property
    def newest(self) -> str | None:
        """Path of the newest checkpoint of this run; None if there is none yet."""
        return self._newest

    def save(self) -> None:
        """Writes a checkpoint of the run as it is."""
        self._before_save()
        self._manager.save(checkpoint_number=self._position.step)
        self._newest = str(self._source / f"{_NAME}-{self._position.step}")

    def restore(self) -> str | None:
        """Puts the run back to its newest checkpoint that is whole.

        Returns:
            Which one that is and why, for the user; None if there is none, which leaves the run as
            it is.

        Raises:
            ValueError: All checkpoints are damaged.
        """
        why = "which the file 'checkpoint' beside it names"
        named = tf.train.latest_checkpoint(str(self._source))
        found = sorted(self._found(), key=_step_of, reverse=True)
        if named is None:
            why = "the newest one there, as no file 'checkpoint' names one that is there"
        else:
            # One after it was not completed, but is better than nothing.
            found.sort(key=lambda path: path != named)
        damaged: list[str] = []
        for path in found:
            if not self._restore(path):
                damaged.append(path)
                continue
            self._newest = path
            if damaged:
                why = f"as {_named(damaged)} damaged: delete the damaged files"
            return f"'{path}', {why}"
        if damaged:
            raise ValueError(
                f"The run can't be resumed, as {_named(damaged)} damaged, and there is no other "
                "checkpoint: put a whole one in its place, or start anew with --overwrite."
            )
        return None

    def _restore(self, path: str) -> bool:
        """Restores a checkpoint; returns whether it was whole."""
        try:
            self._manager.checkpoint.restore(path).assert_consumed()
        except (tf.errors.OpError, AssertionError, IndexError, ValueError):
            return False
        return True

    def _found(self) -> list[str]:
        return [str(file.with_suffix("")) for file in self._source.glob(f"{_NAME}-*.index")]


def _named(paths: list[str]) -> str:
    return f"{' and '.join(map(repr, paths))} {'is' if len(paths) == 1 else 'are'}"


def _step_of(path: str) -> int:
    return int(path.rpartition("-")[2])
