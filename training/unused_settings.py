"""Which settings of a training run have no effect beside others of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .train_config import TrainConfig

_MOMENTS = ("adam", "adamw", "lamb")

# Settings that are of some optimizers or schedules alone, by the setting that chooses those.
_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "optimizer": {
        "momentum": ("momentum", "rmsprop"),
        "nesterov": ("momentum",),
        "rho": ("adadelta", "rmsprop"),
        "beta_1": _MOMENTS,
        "beta_2": _MOMENTS,
        "epsilon": ("adadelta", "adagrad", "rmsprop", *_MOMENTS),
        "initial_accumulator_value": ("adagrad", "ftrl"),
        "ftrl_learning_rate_power": ("ftrl",),
        "ftrl_l1": ("ftrl",),
        "ftrl_l2": ("ftrl",),
    },
    "schedule": {
        "decay_examples": ("exponential", "polynomial", "cosine"),
        "decay_epochs": ("exponential", "polynomial", "cosine"),
        "decay_rate": ("exponential",),
        "staircase": ("exponential",),
        "end_learning_rate": ("polynomial", "cosine"),
        "decay_power": ("polynomial",),
    },
}


def check_used(config: TrainConfig, given: Mapping[str, Any]) -> None:
    """Raises ValueError for a setting that somebody asked for and that nothing would heed.

    Args:
        config: The run's settings.
        given: Those of them, by name, that were asked for and do not come from a recipe. One that
            is 0, no or none asks for nothing.
    """
    for chooser, settings in _OF.items():
        chosen = getattr(config, chooser)
        for name, choices in settings.items():
            if given.get(name) and chosen not in choices:
                raise ValueError(
                    f"{name}={given[name]!r} has no effect with {chooser}={chosen!r}: leave it "
                    f"out, or take {' or '.join(choices)} (--{chooser})."
                )
