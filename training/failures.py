"""What a machine can refuse a run on its way, told in a line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from . import arrival
from .bad_examples import TooManyBadExamples
from .checkpointing import Position
from .cluster import Cluster
from .image_errors import is_out_of_memory
from .interruption import TrainingFailed
from .run_directory import RunDirectory
from .train_config import TrainConfig

# In a line of TensorFlow's: the operation that failed.
_OPERATION = re.compile(r"^\{\{.*?\}\} | \[Op:\w+\].*$")
# In front of what was wrong with a file, where TensorFlow writes a checkpoint by temporary names.
_TEMPORARY = re.compile(r"^(.+?)/[^/]+(?:_temp/[^/;]+|\.tempstate\d+|\.tmp\w+); ")
# In what TensorFlow says of a process that was lost: which one that is.
_TASK = re.compile(r"/job:(\w+)(?:/replica:\d+)?/task:(\d+)")
# With which a process meets the loss of another.
_OF_LOSSES = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.InternalError)


@contextlib.contextmanager
def failures_named(
    position: Position, directory: RunDirectory, config: TrainConfig, cluster: Cluster | None
) -> Iterator[None]:
    """Turns what the machine refuses a run into errors that tell how to go on.

    Args:
        position: How far the run has come.
        directory: Its directory.
        config: Its settings.
        cluster: Its processes, if they are several.

    Raises:
        MemoryError: It needs more memory than there is.
        TrainingFailed: The disk is full, another process is lost, or too many images are bad.
    """
    try:
        yield
    except TooManyBadExamples as error:
        raise _failed(str(error), position, directory) from error
    except (MemoryError, OSError, tf.errors.OpError) as error:
        # TensorFlow has one error for all that can be exhausted, disks included.
        if is_out_of_memory(error):
            raise MemoryError(
                f"The run in '{directory.path}' was out of memory after {position.step} of "
                f"{position.total_steps} steps: start anew with a batch size below "
                f"{config.batch_size}, or --resume it where more is free."
            ) from error
        reason = _loss(error, cluster) or _line(error)
        raise _failed(reason, position, directory) from error


@contextlib.contextmanager
def restoring_named(directory: RunDirectory, cluster: Cluster | None) -> Iterator[None]:
    """Turns what keeps a run from its checkpoints, which may well be whole, into a line.

    Args:
        directory: The run's directory.
        cluster: Its processes, if they are several.

    Raises:
        MemoryError: There is not enough memory for them.
        TrainingFailed: Files can't be read or written now, or another process is lost.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if is_out_of_memory(error):
            raise MemoryError(_line(error)) from error
        raise TrainingFailed(
            f"The run in '{directory.path}' can't be resumed now: "
            f"{_loss(error, cluster) or _line(error)} The checkpoints are left as they are; "
            "once that is mended, --resume continues it."
        ) from error


@contextlib.contextmanager
def losses_named(cluster: Cluster | None) -> Iterator[None]:
    """Turns the loss of another process into a line, where a run has nothing to continue yet.

    Args:
        cluster: The run's processes, if they are several.

    Raises:
        TrainingFailed: A process is lost.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if (reason := _loss(error, cluster)) is None:
            raise
        raise TrainingFailed(
            f"{reason} That was before the training began: see what that process says, and start "
            "all again."
        ) from error


def _failed(reason: str, position: Position, directory: RunDirectory) -> TrainingFailed:
    return TrainingFailed(
        f"The run in '{directory.path}' failed after {position.step} of {position.total_steps} "
        f"steps: {reason} Once that is mended, --resume continues it."
    )


def _loss(error: Exception, cluster: Cluster | None) -> str | None:
    """Which process was lost, if that is what an error is about."""
    if cluster is None:
        return None
    for role, index in _others_named(error, cluster):
        # What went wrong inside of a process that is still there is no loss.
        if not isinstance(error, tf.errors.InternalError) or not arrival.listens(
            cluster.tasks[role][index]
        ):
            name = {"chief": "The chief", "ps": f"Parameter server {index}"}
            return f"{name.get(role, f'Worker {index}')} was lost."
    # A step whose variables are gone may be cancelled with an error that names no process, such as
    # that its data had come to their end.
    for index, address in enumerate(cluster.tasks.get("ps", ())):
        if not arrival.listens(address):
            return f"Parameter server {index} was lost."
    return None


def _others_named(error: Exception, cluster: Cluster) -> Iterator[tuple[str, int]]:
    """The role and index of each other process of a cluster that such an error tells of."""
    if not isinstance(error, _OF_LOSSES):
        return
    # The operation is named with the task that it ran on.
    for role, number in _TASK.findall(_OPERATION.sub("", str(error))):
        index = int(number)
        is_this = (role, index) == (cluster.role, cluster.index)
        if not is_this and index < len(cluster.tasks.get(role, ())):
            yield role, index


def _line(error: Exception) -> str:
    # TensorFlow tells of the operation before and after the line that says what is wrong.
    lines = str(error).partition("\n\t [[")[0].strip().splitlines()
    line = lines[-1] if lines else type(error).__name__
    line = _OPERATION.sub("", line).rstrip(".")
    return _TEMPORARY.sub(r"'\1': ", line) + "."
