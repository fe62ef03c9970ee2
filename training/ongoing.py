"""What the parts of a training run work on together."""

from __future__ import annotations

import dataclasses

from .checkpointing import Position
from .datasets import Dataset
from .placement import Placement
from .run_directory import RunDirectory
from .run_input import RunInput
from .train_config import TrainConfig
from .training_model import TrainingModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class OngoingRun:
    """A run whose processes have met, whose data are loaded and whose model is made.

    Args:
        config: The run's settings.
        placement: Its strategy and this process' place in it.
        dataset: What it is trained and tested on.
        steps_per_epoch: Training steps in an epoch.
        input: What this process reads of that.
        model: The model as it is trained.
        position: How far the run has come.
        directory: The run's directory.
        written: Where this process writes, which is the run's directory for one process only.
    """

    config: TrainConfig
    placement: Placement
    dataset: Dataset
    steps_per_epoch: int
    input: RunInput
    model: TrainingModel
    position: Position
    directory: RunDirectory
    written: RunDirectory
