"""Checkpoints of a run: all that its continuation depends on."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Sequence

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
        directory: Where the checkpoints are.
        keep: How many of them are kept.
    """

    def __init__(
        self, model: TrainingModel, position: Position, directory: pathlib.Path, keep: int
    ) -> None:
        self._position = position
        self._directory = directory
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
        """Path of the newest checkpoint that this process has written or found; None if none."""
        return self._manager.latest_checkpoint

    def save(self) -> None:
        """Writes a checkpoint of the run as it is."""
        self._manager.save(checkpoint_number=self._position.step)

    def restore(self) -> str | None:
        """Puts the run back to its newest checkpoint.

        Returns:
            Which one that is and why, for the user; None if there is none, which leaves the run as
            it is.

        Raises:
            ValueError: The checkpoint is damaged.
        """
        path, why = self._manager.latest_checkpoint, "which the file 'checkpoint' beside it names"
        if path is None:
            path = max(self._found(), key=_step_of, default=None)
            why = "the newest one there, as there is no file 'checkpoint' that names one"
        if path is None:
            return None
        try:
            self._manager.checkpoint.restore(path).assert_consumed()
        except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
            others = [other for other in self._found() if other != path]
            instead = f"name '{max(others, key=_step_of)}' in" if others else "name another one in"
            raise ValueError(
                f"The checkpoint '{path}' is damaged and can't be resumed from: {instead} the file "
                "'checkpoint' beside it, or start anew with --overwrite."
            ) from error
        return f"'{path}', {why}"

    def _found(self) -> list[str]:
        return [str(file.with_suffix("")) for file in self._directory.glob(f"{_NAME}-*.index")]


def _step_of(path: str) -> int:
    return int(path.rpartition("-")[2])
