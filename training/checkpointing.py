"""Checkpoints of a run: all that its continuation depends on."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import keras
import tensorflow as tf

from .. import checkpoints
from .training_model import TrainingModel

_NAME = "step"
# Where damaged ones are put, below the others.
_DAMAGED = "damaged"


class Position(tf.train.experimental.PythonState):
    """How far a run has come.

    Args:
        steps_per_epoch: Training steps in an epoch.
        epochs: Epochs of the whole run.
        metrics: The metrics whose values add up over the steps of an epoch.

    Attributes:
        step: Training steps done.
        total_steps: Training steps of the whole run.
        awaits_test: Whether an epoch has come to its end, and its test and records have not.
        bad: Numbers of the training images that could not be used in the step's epoch until then.
    """

    def __init__(
        self, steps_per_epoch: int, epochs: int, metrics: Sequence[keras.metrics.Metric]
    ) -> None:
        super().__init__()
        self.step = 0
        self.total_steps = steps_per_epoch * epochs
        self.awaits_test = False
        self.bad: list[int] = []
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
        if values is not None and (self.is_mid_epoch or self.awaits_test):
            for variable, value in zip(self._metric_variables(), values, strict=True):
                variable.assign(value)

    def finish_metrics(self) -> dict[str, float]:
        """What the metrics come to, by name; they then start anew.

        Keras itself does not reset those of a model that has not run a step in this process.
        """
        values = {metric.name: float(metric.result()) for metric in self._metrics}
        for metric in self._metrics:
            metric.reset_state()
        return values

    def serialize(self) -> str:
        """As TensorFlow's checkpoint holds it."""
        values = [float(variable.numpy()) for variable in self._metric_variables()]
        return json.dumps({"step": self.step, "metrics": values, "bad": self.bad})

    def deserialize(self, string_value: str) -> None:
        """Takes over what `serialize` gave."""
        saved = json.loads(string_value)
        self.step = saved["step"]
        self._restored_values = saved["metrics"]
        self.bad = saved["bad"]

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
        before_save: Called before each save, to let steps come to their end that are under way, and
            to complete the position.
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
        self._directory = directory
        self._keep = keep
        # Of the newest checkpoint; None while there is none.
        self._step: int | None = None
        net = model.net
        weights = {id(variable) for variable in net.weights}
        averages = model.averages.by_tf1_name() if model.averages is not None else {}
        self._checkpoint = tf.train.Checkpoint(
            **checkpoints.checkpoint_objects(net, averages),
            optimizer=model.optimizer,
            # States of random generators are variables that Keras leaves out of `weights`.
            random_state=[v.value for v in net.variables if id(v) not in weights],
            position=position,
        )
        self._manager = self._new_manager()

    def newest_before(self, step: int) -> str | None:
        """Path of the newest checkpoint from before a training step; None if there is none."""
        earlier = [found for path in self._manager.checkpoints if (found := _step_of(path)) < step]
        return str(self._source / f"{_NAME}-{max(earlier)}") if earlier else None

    def save(self) -> None:
        """Writes a checkpoint of the run as it is, unless it was just saved or restored so."""
        # Not for the files to tell: all processes of a run have to do the same.
        if self._position.step != self._step:
            self._before_save()
            self._manager.save(checkpoint_number=self._position.step)
            self._step = self._position.step

    def discard(self) -> None:
        """Deletes the checkpoint of this very step, which turned out to hold ruined weights."""
        for file in self._directory.glob(f"{_NAME}-{self._position.step}.*"):
            file.unlink()
        left = [_step_of(str(file.with_suffix(""))) for file in _index_files(self._directory)]
        self._list(sorted(left))
        self._step = None

    def restore(self) -> str | None:
        """Puts the run back to its newest checkpoint that is whole.

        Damaged ones are moved out of the way of those that are kept.

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
            self._step = _step_of(path)
            whole = [each for each in found if each not in damaged]
            if self._directory == self._source:
                self._move_away(damaged)
                # Those from after it are of no use any more, and so the first to go.
                step = _step_of(path)
                self._list(sorted(map(_step_of, whole), key=lambda each: (each <= step, each)))
            if damaged:
                why = f"as {_named(damaged)} damaged, and now in '{self._source / _DAMAGED}'"
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
            self._checkpoint.restore(path).assert_consumed()
        except (tf.errors.ResourceExhaustedError, tf.errors.PermissionDeniedError):
            raise  # It may well be whole.
        except (tf.errors.OpError, AssertionError, IndexError, ValueError):
            return False
        return True

    def _move_away(self, damaged: list[str]) -> None:
        for path in damaged:
            (self._source / _DAMAGED).mkdir(exist_ok=True)
            for file in self._source.glob(f"{pathlib.Path(path).name}.*"):
                os.replace(file, self._source / _DAMAGED / file.name)

    def _list(self, steps: list[int]) -> None:
        """Lets the manager keep the checkpoints of these steps, and delete them in this order.

        The last of them counts as the newest.
        """
        file = self._directory / "checkpoint"
        if not steps:
            file.unlink(missing_ok=True)
        else:
            lines = [f'model_checkpoint_path: "{_NAME}-{steps[-1]}"']
            for name in (f"{_NAME}-{step}" for step in steps):
                # Without a time, the manager would neither count nor delete it.
                time_s = (self._directory / f"{name}.index").stat().st_mtime
                lines.append(f'all_model_checkpoint_paths: "{name}"')
                lines.append(f"all_model_checkpoint_timestamps: {time_s}")
            partial = self._directory / "checkpoint.tmp"
            partial.write_text("\n".join(lines) + "\n")
            os.replace(partial, file)
        self._manager = self._new_manager()

    def _new_manager(self) -> tf.train.CheckpointManager:
        """A manager that goes on with the list in the directory's file `checkpoint`."""
        return tf.train.CheckpointManager(
            self._checkpoint, str(self._directory), max_to_keep=self._keep, checkpoint_name=_NAME
        )

    def _found(self) -> list[str]:
        return [str(file.with_suffix("")) for file in _index_files(self._source)]


def _index_files(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    return directory.glob(f"{_NAME}-*.index")


def _named(paths: list[str]) -> str:
    return f"{' and '.join(map(repr, paths))} {'is' if len(paths) == 1 else 'are'}"


def _step_of(path: str) -> int:
    return int(path.rpartition("-")[2])
