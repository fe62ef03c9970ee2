"""Checkpoints of a run: all that its continuation depends on."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence

import keras
import tensorflow as tf

from .. import checkpoints
from .training_model import TrainingModel

_NAME = "step"
# Where damaged ones are put, below the others.
_DAMAGED = "damaged"
# What TensorFlow says of files that are cut off, changed, or there in part; of most that its reader
# of indexes meets it says no more than `OpError`.
_OF_DAMAGE = (
    tf.errors.OpError,
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.NotFoundError,
    tf.errors.OutOfRangeError,
)
_READ_BYTES = 1 << 24


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
        bad_unnamed: How many more there are of which only the number is known. Those of steps that
            were under way when it was saved are not among them.
    """

    def __init__(
        self, steps_per_epoch: int, epochs: int, metrics: Sequence[keras.metrics.Metric]
    ) -> None:
        super().__init__()
        self.step = 0
        self.total_steps = steps_per_epoch * epochs
        self.awaits_test = False
        self.bad: list[int] = []
        self.bad_unnamed = 0
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
        saved = {"step": self.step, "metrics": values}
        return json.dumps({**saved, "bad": self.bad, "bad_unnamed": self.bad_unnamed})

    def deserialize(self, string_value: str) -> None:
        """Takes over what `serialize` gave."""
        saved = json.loads(string_value)
        self.step = saved["step"]
        self._restored_values = saved["metrics"]
        self.bad = saved["bad"]
        self.bad_unnamed = saved.get("bad_unnamed", 0)

    def _metric_variables(self) -> list[keras.Variable]:
        return [variable for metric in self._metrics for variable in metric.variables]


class RunCheckpoint:
    """Saves and restores weights, averages, optimizer, random state and position of a run.

    Beside the newest checkpoints the newest one stays that passed its test, which
    `tf.train.CheckpointManager` could not spare: what comes after it may have ruined weights.

    Args:
        model: The model as it is trained.
        position: How far the run has come.
        directory: Where this process saves. If that is not `source`, it only takes its part in
            saving what all processes share: what it writes is deleted at once, and the run's
            checkpoints, the list of them included, are left to the process that they belong to.
        keep: How many of the newest are kept.
        source: Where the run's checkpoints are.
        before_save: Called before each save, to complete the position.
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
        self._owns_files = directory == source
        self._keep = keep
        # Of the newest checkpoint; None while there is none.
        self._step: int | None = None
        # Of all that count, in the order in which they are to go.
        self._steps: list[int] = []
        # Of the newest one that passed its test.
        self._tested_step: int | None = None
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

    @property
    def newest(self) -> str | None:
        """Path of the checkpoint that a resumed run would go on from; None if there is none."""
        return self._path_of(self._steps[-1]) if self._steps else None

    @property
    def newest_tested(self) -> str | None:
        """Path of the newest checkpoint that passed its test; None if there is none."""
        return None if self._tested_step is None else self._path_of(self._tested_step)

    def save(self) -> None:
        """Writes a checkpoint of the run as it is, unless it was just saved or restored so."""
        # Not for the files to tell: all processes of a run have to do the same.
        if self._position.step != self._step:
            step = self._position.step
            self._before_save()
            # What `restore` looks for, and `write` leaves to its caller.
            self._checkpoint.save_counter.assign_add(1)
            self._checkpoint.write(str(self._directory / f"{_NAME}-{step}"))
            self._step = step
            self._steps = [each for each in self._steps if each != step] + [step]
            self._write_list()
            self._delete_old()
            if not self._owns_files:
                self._delete(step)

    def keep_as_tested(self) -> None:
        """Keeps the checkpoint of this very step, which passed its test, until another one has."""
        self._tested_step = self._position.step
        self._delete_old()

    def fall_back(self) -> None:
        """Lets a resumed run go on from before this very step, whose weights are ruined.

        That is from the newest checkpoint that passed its test, if there is one: those after it can
        be ruined as well. If this step has a checkpoint, it is deleted.
        """
        step = self._position.step
        left = [each for each in self._steps if each != step]
        self._steps = left if self._tested_step is None else _up_to(self._tested_step, left)
        self._step = None
        self._write_list()
        self._delete(step)

    def restore(self, tested: Collection[int] = ()) -> str | None:
        """Puts the run back to its newest checkpoint that is whole.

        Damaged ones are moved out of the way of those that are kept, and what killed saves left is
        deleted: no other process may be saving meanwhile.

        Args:
            tested: Training steps after which the run passed a test.

        Returns:
            Which one that is and why, for the user; None if there is none, which leaves the run as
            it is.

        Raises:
            ValueError: All checkpoints are damaged.
            OSError: One can't be read now.
            tf.errors.OpError: One can't be restored, for what is no damage of its files: a process
                was lost, or memory does not suffice.
        """
        if self._owns_files:
            self._delete_leftovers()
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
            self._step = step = _step_of(path)
            whole = [_step_of(each) for each in found if each not in damaged]
            passed = (each for each in whole if each <= step and each in tested)
            self._tested_step = max(passed, default=None)
            # Those from after it are of no use any more, and so the first to go.
            self._steps = _up_to(step, whole)
            if self._owns_files:
                self._move_away(damaged)
            self._write_list()
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
        except (tf.errors.OpError, AssertionError, IndexError, ValueError) as error:
            if isinstance(error, tf.errors.OpError) and type(error) not in _OF_DAMAGE:
                raise  # It may well be whole.
            self._read(path)
            return False
        return True

    def _read(self, path: str) -> None:
        """Raises OSError where files can't be read, which TensorFlow doesn't tell from damage."""
        for file in self._source.glob(f"{pathlib.Path(path).name}.*"):
            # One that another process has moved away meanwhile is no more there for this one.
            with contextlib.suppress(FileNotFoundError), open(file, "rb") as content:
                while content.read(_READ_BYTES):
                    pass

    def _move_away(self, damaged: list[str]) -> None:
        for path in damaged:
            (self._source / _DAMAGED).mkdir(exist_ok=True)
            for file in self._source.glob(f"{pathlib.Path(path).name}.*"):
                os.replace(file, self._source / _DAMAGED / file.name)

    def _delete_leftovers(self) -> None:
        for folder in self._directory.glob(f"{_NAME}-*_temp"):
            shutil.rmtree(folder)
        for file in self._directory.glob(f"{_NAME}-*.tempstate*"):
            file.unlink()

    def _delete_old(self) -> None:
        """Deletes what is too much, but never the newest one that passed its test."""
        old = [step for step in self._steps[: -self._keep] if step != self._tested_step]
        if not old:
            return
        self._steps = [step for step in self._steps if step not in old]
        self._write_list()
        for step in old:
            self._delete(step)

    def _delete(self, step: int) -> None:
        for file in self._directory.glob(f"{_NAME}-{step}.*"):
            file.unlink()

    def _write_list(self) -> None:
        """Writes the file by which TensorFlow knows the checkpoints, and the newest of them."""
        if not self._owns_files:
            return
        file = self._directory / "checkpoint"
        if not self._steps:
            file.unlink(missing_ok=True)
            return
        lines = [f'model_checkpoint_path: "{_NAME}-{self._steps[-1]}"']
        lines += [f'all_model_checkpoint_paths: "{_NAME}-{step}"' for step in self._steps]
        partial = self._directory / "checkpoint.tmp"
        partial.write_text("\n".join(lines) + "\n")
        os.replace(partial, file)

    def _path_of(self, step: int) -> str:
        return str(self._source / f"{_NAME}-{step}")

    def _found(self) -> list[str]:
        return [str(file.with_suffix("")) for file in self._source.glob(f"{_NAME}-*.index")]


def newest_step(directory: pathlib.Path) -> int:
    """Training steps of the newest checkpoint in a directory, 0 if there is none.

    Args:
        directory: Of a run's checkpoints; it need not exist.
    """
    files = directory.glob(f"{_NAME}-*.index")
    return max((_step_of(str(file.with_suffix(""))) for file in files), default=0)


def _up_to(step: int, steps: Iterable[int]) -> list[int]:
    """Steps in their order, but with those from after one of them at the beginning."""
    return sorted(steps, key=lambda each: (each <= step, each))


def _named(paths: list[str]) -> str:
    return f"{' and '.join(map(repr, paths))} {'is' if len(paths) == 1 else 'are'}"


def _step_of(path: str) -> int:
    return int(path.rpartition("-")[2])
