"""What a machine can refuse a run on its way, told in a line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from .bad_examples import TooManyBadExamples
from .checkpointing import Position
from .interruption import TrainingFailed
from .run_directory import RunDirectory
from .train_config import TrainConfig

# In a line of TensorFlow's: the operation that failed.
_OPERATION = re.compile(r"^\{\{.*?\}\} | \[Op:\w+\].*$")
_OUT_OF_MEMORY = re.compile(r"\bOOM\b|\bout of memory\b|\bfailed to allocate\b", re.IGNORECASE)


@contextlib.contextmanager
def failures_named(
    position: Position, directory: RunDirectory, config: TrainConfig
) -> Iterator[None]:
    """Turns what the machine refuses a run into errors that tell how to go on.

    Args:
        position: How far the run has come.
        directory: Its directory.
        config: Its settings.

    Raises:
        MemoryError: It needs more memory than there is.
        TrainingFailed: The disk is full, another process is lost, or too many images are bad.
    """
    try:
        yield
    except TooManyBadExamples as error:
        raise TrainingFailed(
            str(error), position.step, position.total_steps, directory.path
        ) from error
    except (MemoryError, OSError, tf.errors.OpError) as error:
        # TensorFlow has one error for all that can be exhausted, disks included.
        if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
            raise MemoryError(
                f"The run in '{directory.path}' was out of memory after {position.step} of "
                f"{position.total_steps} steps: start anew with a batch size below "
                f"{config.batch_size}, or --resume it where more is free."
            ) from error
        # TensorFlow tells of the operation before and after the line that says what is wrong.
        lines = str(error).partition("\n\t [[")[0].strip().splitlines()
        line = lines[-1] if lines else type(error).__name__
        reason = _OPERATION.sub("", line).rstrip(".") + "."
        raise TrainingFailed(reason, position.step, position.total_steps, directory.path) from error
