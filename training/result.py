"""What a training run gives."""

from __future__ import annotations

import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The closing table of a run.

    Args:
        model: The model's name.
        stage: One of `models.STAGES`.
        dataset: What it was trained and tested on.
        parameters: Trainable parameters.
        epochs: Passes over the training images.
        test_accuracy: Share of the test images that could be read which the final weights classify
            right, 0 to 1.
        test_loss: Mean loss of the final weights on the test images that could be read, weight
            decay included.
        images_per_second: Training throughput, the median of the run's epochs, without the first
            step of a process, which builds and compiles, and without testing and writing; None
            if that leaves nothing.
        wall_time_s: Seconds from the start of `train` to its end, everything included; of the last
            process, if the run was resumed.
        directory: Where the run's files are.
    """

    model: str
    stage: str
    dataset: str
    parameters: int
    epochs: int
    test_accuracy: float
    test_loss: float
    images_per_second: float | None
    wall_time_s: float
    directory: pathlib.Path
