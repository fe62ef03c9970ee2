"""Recipes: training runs with what they take and give, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .. import models
from .train_config import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run, and what it takes and gives.

    Args:
        settings: Every number of it, as arguments of `TrainConfig`; where a dataset is, is the
            user's to say.
        source: Where the numbers stand, and which of them do not stand there.
        test_accuracy: What it is to reach: measured here over several seeds, or published, which
            the source says; 0 to 1. None where nobody has said.
        hardware: What that was measured on.
        minutes: How long it took there, from the command to the closing table; None where it was
            not measured here.
        is_for_any_model: Whether models of other families train by it too, and not only those of
            its own.
    """

    settings: Mapping[str, Any]
    source: str
    test_accuracy: float | None
    hardware: str
    minutes: float | None = None
    is_for_any_model: bool = False

    @property
    def config(self) -> TrainConfig:
        """The run's settings; raises ValueError if its dataset needs to be told where it is."""
        return self.changed()

    def changed(self, **changes: Any) -> TrainConfig:
        """The run's settings with some changed.

        Raises:
            ValueError: As `TrainConfig` does, and for a model that the recipe is not for.
        """
        if "model" in changes and not self.is_for_any_model:
            own, other = self.settings["model"], changes["model"]
            family = models.get_variant(own).family
            if models.get_variant(other).family != family:
                raise ValueError(
                    f"The recipe of {own} is for models of the family {family}, and {other} is "
                    "none: take a recipe of its family, or demo, with settings of your own."
                )
        return TrainConfig(**{**self.settings, **changes})


DEMO = Recipe(
    settings={
        "model": "mobilenet_v1_0.25_128",
        "dataset": "digits",
        "preprocessing": "resize",
        "image_size": 32,
        "batch_size": 64,
        "epochs": 30,
        "learning_rate": 0.1,
        "warmup_examples": 3_000,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 4e-5,
        "dropout_keep_prob": 1.0,
        "batch_norm_decay": 0.9,
        "max_shift": 0.1,
    },
    source="Settings and accuracy were found here.",
    test_accuracy=0.97,
    hardware="2 cores of an Intel Xeon at 2.8 GHz",
    minutes=1.5,
    is_for_any_model=True,
)
