"""What `throughput` asks of a contender: training and inference, step by step."""

from __future__ import annotations

import abc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .throughput_settings import NUM_CLASSES

# Of the batch that all contenders run on.
_SEED = 0
# What every contender trains with: SGD with momentum, as the papers of these nets mostly did.
LEARNING_RATE = 0.01
MOMENTUM = 0.9


class Steps(abc.ABC):
    """A model in one framework, with a batch of images and labels on its device.

    A phase is "training" or "inference", as in `throughput_settings.PHASES`.
    """

    @abc.abstractmethod
    def prepare(self, phase: str) -> float:
        """Traces and compiles a phase's step anew, and runs it for the first time.

        Returns:
            The milliseconds that it took.
        """

    @abc.abstractmethod
    def run(self, phase: str, count: int) -> None:
        """Runs so many steps of a phase that was prepared, until the device is done with them."""

    @abc.abstractmethod
    def multiply_adds(self) -> int | None:
        """Multiplications with weights of one image's inference; None where they can't be told."""

    @abc.abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the numbers depend on: device, and `jit_compile` as it was resolved."""

    def peak_memory_mib(self) -> float | None:
        """The most memory that the device had in use; None where it is the process' own."""
        return None

    def open_files(self) -> None:
        """Begins to read images anew, and leaves the first batch out, for which all waits.

        What is prepared while nobody asks for it would count for nothing.
        """
        raise NotImplementedError("This contender trains on synthetic images alone.")

    def run_on_files(self, count: int) -> None:
        """Trains so many steps on images of opened files, read and distorted meanwhile."""
        raise NotImplementedError("This contender trains on synthetic images alone.")


def milliseconds(run: Callable[[], Any]) -> float:
    """The wall time of a call."""
    start = time.perf_counter()
    run()
    return (time.perf_counter() - start) * 1e3


def synthetic_batch(batch_size: int, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with values in [-1, 1], float32 `[B, H, W, 3]`, and labels, int32 `[B]`."""
    random = np.random.default_rng(_SEED)
    images = random.random((batch_size, image_size, image_size, 3), dtype=np.float32) * 2 - 1
    return images, random.integers(0, NUM_CLASSES, batch_size, dtype=np.int32)
