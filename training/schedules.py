"""The learning rate over a run: Keras' schedules, counted in training images."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras

from .train_config import TrainConfig


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that depends on the training images seen before a step.

    In the warm-up it rises in a line from zero to the peak. Exponential and piecewise schedules
    count from the run's start, cosine and polynomial ones from the warm-up's end to their own.

    In float16, images of steps whose gradients overflow, which are skipped, do not count.

    Args:
        config: The run's settings.
        total_examples: Training images of the whole run.
    """

    def __init__(self, config: TrainConfig, total_examples: int) -> None:
        super().__init__()
        self._config, self._total_examples = config, total_examples
        # Steps, not images, are counted: float32 has every step, and not every image of a long run.
        self._warmup_steps = config.warmup_examples / config.batch_size
        self._peak = config.learning_rate
        self._after, self._counts_from_warmup = _after_warmup(config, total_examples)

    def __call__(self, step: Any) -> Any:
        """The rate of a step, a float32 scalar; `step` is the number of steps before it."""
        step = keras.ops.cast(step, "float32")
        start = self._warmup_steps if self._counts_from_warmup else 0.0
        rate = self._after(keras.ops.maximum(step - start, 0.0))
        if not self._warmup_steps:
            return rate
        rising = self._peak * step / self._warmup_steps
        return keras.ops.where(step < self._warmup_steps, rising, rate)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, as JSON has them."""
        return {"config": dataclasses.asdict(self._config), "total_examples": self._total_examples}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Schedule:
        """A schedule from what `get_config` gave."""
        return cls(TrainConfig(**config["config"]), config["total_examples"])


def _after_warmup(config: TrainConfig, total_examples: int) -> tuple[Any, bool]:
    """The schedule as a function of steps, and whether it counts from the warm-up's end."""
    schedules = keras.optimizers.schedules
    peak, batch_size = config.learning_rate, config.batch_size
    decay_examples: float = config.decay_examples or total_examples
    if config.decay_epochs is not None:
        decay_examples = config.decay_epochs * total_examples / config.epochs
    steps = max(decay_examples - config.warmup_examples, 1) / batch_size
    if config.schedule == "fixed":
        return lambda step: keras.ops.full_like(step, peak), False
    if config.schedule == "exponential":
        decay = schedules.ExponentialDecay(
            peak, decay_examples / batch_size, config.decay_rate, config.staircase
        )
        return decay, False
    if config.schedule == "polynomial":
        return (
            schedules.PolynomialDecay(peak, steps, config.end_learning_rate, config.decay_power),
            True,
        )
    if config.schedule == "cosine":
        return schedules.CosineDecay(peak, steps, alpha=config.end_learning_rate / peak), True
    boundaries = [boundary / batch_size for boundary in config.boundaries]
    return (
        schedules.PiecewiseConstantDecay(boundaries, [peak, *(peak * f for f in config.factors)]),
        False,
    )
