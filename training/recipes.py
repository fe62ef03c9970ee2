"""Recipes: training runs with what they take and give, as plain data."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections.abc import Mapping
from typing import Any

from .. import models
from .train_config import TrainConfig
from .unused_settings import check_used

IMAGENET = "imagenet2012"

# Settings that say where and how a run computes, and what it keeps: they should not change what
# it reaches by more than another seed does.
_BESIDE_THE_RESULT = {
    "stage",
    "data_dir",
    "labels_offset",
    "precision",
    "steps_per_execution",
    "jit_compile",
    "max_bad_fraction",
    "keep",
    "profile",
    "seed",
    "save_every",
    "log_every",
    "strategy",
    "replicas",
}

# Two units of one setting: who gives it in one of them has not asked for the recipe's in the other.
_DECAYS = ("decay_examples", "decay_epochs")


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a run is expected to reach.

    Args:
        accuracy: Share of the test images that it gets right, 0 to 1.
        origin: Whose accuracy that is.
    """

    accuracy: float
    origin: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run, and what it takes and gives.

    Args:
        settings: Every number of it, as arguments of `TrainConfig`; `model` is the one it trains
            unless another is asked for. Without `image_size` images have the model's own size.
            Where a dataset is, is the user's to say.
        trains: The models that train by it, a wildcard as in `models.list_models`.
        own_settings: Settings that some of them have otherwise, by model.
        source: Where the numbers stand, and which of them do not stand there.
        accuracies: What models are to reach by it, 0 to 1, where the source says it or it was
            measured here over several seeds. On ImageNet the other models are to reach what the
            published weights do, as their records say, unless it is for any model.
        hardware: What that was measured on.
        minutes: How long it took there, from the command to the closing table; None where it was
            not measured here.
    """

    settings: Mapping[str, Any]
    trains: str
    own_settings: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    source: str
    accuracies: Mapping[str, float] = dataclasses.field(default_factory=dict)
    hardware: str
    minutes: float | None = None

    @property
    def is_of_published_weights(self) -> bool:
        """Whether published weights come of it: those on ImageNet, but one for any model at all."""
        return self.settings["dataset"] == IMAGENET and self.trains != "*"

    @property
    def config(self) -> TrainConfig:
        """The run's settings; raises ValueError if its dataset needs to be told where it is."""
        return self.changed()

    def changed(self, **changes: Any) -> TrainConfig:
        """The run's settings with some changed.

        Args:
            **changes: Arguments of `TrainConfig`; with another `model` come that one's image size
                and own settings, and one unit of the decay takes the place of the other.

        Raises:
            ValueError: As `TrainConfig` does, for a model that the recipe is not for, and for a
                change that has no effect, as of another optimizer.
        """
        model = changes.get("model", self.settings["model"])
        size = models.get_variant(model).input_size
        if not fnmatch.fnmatchcase(model, self.trains):
            raise ValueError(
                f"The recipe is for the models {self.trains}, and {model} is none: take a recipe "
                "of its own, or demo, with settings of your own."
            )
        own = self.own_settings.get(model, {})
        settings = {"image_size": size, **self.settings, **own}
        if any(changes.get(name) is not None for name in _DECAYS):
            settings = {name: value for name, value in settings.items() if name not in _DECAYS}
        config = TrainConfig(**{**settings, **changes})
        check_used(config, changes)
        return config

    def expected(self, model: str | None = None) -> Expected | None:
        """What a model is expected to reach by this recipe, on its dataset.

        Args:
            model: One of the recipe's models; None for that of its settings.

        Returns:
            The accuracy and whose it is; None where nobody has said.
        """
        variant = models.get_variant(model or self.settings["model"])
        if (accuracy := self.accuracies.get(variant.name)) is not None:
            is_measured = self.minutes is not None
            return Expected(
                accuracy,
                f"measured here on {self.hardware}" if is_measured else "as its source says",
            )
        published = variant.published
        if not self.is_of_published_weights or published.top1_percent is None:
            return None
        told = f"as published (`shimzoo show {variant.name}` tells how)"
        return Expected(published.top1_percent / 100, told)

    def expected_of(self, config: TrainConfig) -> str | None:
        """What a run by this recipe is expected to reach, for the user.

        Args:
            config: Its settings, as `changed` gave them.

        Returns:
            The test accuracy in words, with the settings that are not the recipe's; None where
            nobody has said what it should reach, as on another dataset.
        """
        expected = self.expected(config.model)
        if expected is None or config.dataset != self.settings["dataset"]:
            return None
        own = self.changed(model=config.model, data_dir=config.data_dir)
        changed = [
            field.name
            for field in dataclasses.fields(own)
            if field.name not in _BESIDE_THE_RESULT
            and getattr(own, field.name) != getattr(config, field.name)
        ]
        but = f"; not the recipe's: {', '.join(changed)}" if changed else ""
        return f"{expected.accuracy:.4f}, {expected.origin}{but}"


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
    accuracies={"mobilenet_v1_0.25_128": 0.97},
    hardware="2 cores of an Intel Xeon at 2.8 GHz",
    minutes=1.5,
    trains="*",
)
