"""`shim-overhead`: what the shim costs, against the official shim, Keras' own model and no shim."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from typing import Any

from ... import models
from . import counterparts
from .driver import Contender, ask_unless_failed, interleaved
from .measuring import Measuring
from .progress import Progress
from .rows import Row
from .throughput_settings import TF1_SESSION, Settings, check_not_deterministic

SHIMMED, OFFICIAL_SHIM = "shimmed", "official_shim"
KERAS_APPLICATIONS, PLAIN = "keras_applications", "plain"
CONTENDERS = (*models.STAGES, OFFICIAL_SHIM, KERAS_APPLICATIONS, TF1_SESSION, PLAIN)
WARM_UP_ROUNDS = 2
IMAGE_SIZE = 64
# What the bare ops are written for.
_PLAIN_MODEL = "resnet_v1_50"
TIMES = {
    "eager_inference": "eager inference, ms",
    "eager_training": "eager training, ms",
    "step_inference": "traced inference, ms",
    "step_training": "traced training step, ms",
    "tracing": "tracing, ms",
    "step_xla": "XLA inference, ms",
}
SIZES = {"memory": ("most memory in use, MiB", "MiB"), "graph_ops": ("ops in the graph", "ops")}
GROWTHS = {
    "memory_growth": ("memory growth, MiB", "MiB"),
    "collections_growth": ("collections' growth", "entries"),
    "global_ops_growth": ("global graph's growth, ops", "ops"),
}
TITLES = TIMES | {name: title for name, (title, _) in (SIZES | GROWTHS).items()}
_ONLY_IN_TF2 = ("eager_inference", "eager_training", "step_xla")


def default_image_size(model: str) -> int:
    """64 pixels, or the model's own size where it takes no such small images.

    Raises:
        ValueError: there is no such model.
    """
    is_enough = models.default_options(model).MIN_IMAGE_SIZE <= IMAGE_SIZE
    return IMAGE_SIZE if is_enough else models.get_variant(model).input_size


def hindrance(name: str, model: str) -> str | None:
    """Says why a contender can't take part; None if it can."""
    if name in (OFFICIAL_SHIM, TF1_SESSION) and model not in counterparts.SLIM_NETS:
        return f"tf_slim.nets has no {model}"
    if name == OFFICIAL_SHIM and importlib.util.find_spec("tf_keras") is None:
        return "not installed: pip install tf-keras"
    if name == KERAS_APPLICATIONS and counterparts.keras_application(model) is None:
        return f"keras.applications has no counterpart of {model}"
    if name == PLAIN and model != _PLAIN_MODEL:
        return f"the bare ops are those of {_PLAIN_MODEL}"
    return None


class ShimOverhead(Measuring):
    """A run of `shim-overhead`.

    Args:
        settings: the model, the sizes and the cores.

    Raises:
        ValueError: op determinism is on.
    """

    name = "shim-overhead"
    titles = TITLES
    subjects = (SHIMMED,)

    def __init__(self, settings: Settings) -> None:
        check_not_deterministic()
        self._settings = settings
        reasons = {name: hindrance(name, settings.model) for name in CONTENDERS}
        # Why a contender is left out, from the start or from a failure on.
        self.hindered = {name: why for name, why in reasons.items() if why is not None}
        self._failures = dict(self.hindered)
        self._samples: dict[str, dict[str, list[float]]] = {}
        known = {
            "model": settings.model,
            "batch_size": settings.batch_size,
            "image_size": settings.image_size,
            "precision": "float32",
            "backend": "tensorflow",
            "threads": settings.threads,
        }
        self.facts = {
            name: {**known, "stage": name if name in models.STAGES else ""} for name in CONTENDERS
        }

    def measure(self, rounds: int) -> None:
        """As in the base class."""
        names = [name for name in CONTENDERS if name not in self._failures]
        runs = sum(len(_that_have(measure, names)) for measure in TIMES)
        total = 2 * len(names) + runs * (WARM_UP_ROUNDS + rounds)
        with contextlib.ExitStack() as stack:
            self.progress = Progress(total)
            progress = stack.enter_context(self.progress.shown())
            contenders = [stack.enter_context(started(name, self._settings)) for name in names]
            progress.now("building the models")
            for contender in contenders:
                self.facts[contender.name] |= (
                    ask_unless_failed(contender, "facts", self._failures) or {}
                )
                progress.advance()
            for measure in TIMES:
                # Before the memory holds graphs that were traced again and again, and before XLA,
                # which ends those that do not compile.
                if measure == "tracing":
                    self._measure_sizes(contenders, progress)
                progress.now(TITLES[measure], rounds)
                interleaved(
                    [one for one in contenders if one.name in _that_have(measure, names)],
                    measure,
                    rounds,
                    WARM_UP_ROUNDS,
                    progress.advance,
                    self._samples.setdefault(measure, {}),
                    self._failures,
                    progress.begin_round,
                )

    def _measure_sizes(self, contenders: Sequence[Contender], progress: Progress) -> None:
        progress.now("taking sizes, and calling a small layer often")
        for contender in contenders:
            for measure in SIZES:
                value = ask_unless_failed(contender, measure, self._failures)
                self._note(measure, contender, value)
            if contender.name in (SHIMMED, OFFICIAL_SHIM):
                sizes = ask_unless_failed(contender, "many_calls", self._failures)
                sizes = sizes or {"before": {}, "after": {}}
                for measure, after in sizes["after"].items():
                    before = sizes["before"][measure]
                    growth = None if before is None else after - before
                    self._note(measure, contender, growth)
            progress.advance()

    def _note(self, measure: str, contender: Contender, value: float | None) -> None:
        if value is not None:
            self._samples.setdefault(measure, {})[contender.name] = [value]

    def rows(self) -> list[Row]:
        """Times and sizes, and the ratios of the shimmed model's to the others'."""
        found: list[Row] = []
        units = dict.fromkeys(TIMES, "ms") | {
            name: unit for name, (_, unit) in (SIZES | GROWTHS).items()
        }
        for measure in TITLES:
            samples = {n: taken for n, taken in self._samples.get(measure, {}).items() if taken}
            for name, taken in samples.items():
                note = self._failures.get(name, "")
                found.append(Row.of(name, measure, units[measure], taken, note))
                if name == SHIMMED and measure not in GROWTHS:
                    found += [
                        Row.ratio(name, measure, taken, other, samples[other])
                        for other in samples
                        if other != name and _is_alike(measure, other)
                    ]
        measured = {row.contender for row in found}
        missing = [name for name in self._failures if name not in measured]
        first = next(iter(TIMES))
        found += [Row(name, first, "ms", note=self._failures[name]) for name in missing]
        return sorted(found, key=lambda row: list(TITLES).index(row.measure))

    def notes(self) -> list[str]:
        """As in the base class."""
        given = self._settings
        return [
            f"{given.model}, batch {given.batch_size}, {given.image_size} pixels, float32, "
            f"{given.threads} thread(s)"
        ]

    def lines(self, found: Sequence[Row]) -> list[dict[str, Any]]:
        """With whether XLA compiled what was measured."""
        made = super().lines(found)
        for line in made:
            line["jit_compile"] = line["measure"] == "step_xla"
        return made


def _that_have(measure: str, names: Sequence[str]) -> list[str]:
    """The contenders that a measure is taken of."""
    return [name for name in names if name != TF1_SESSION or measure not in _ONLY_IN_TF2]


def _is_alike(measure: str, other: str) -> bool:
    """Whether another's measure is the same: a session's graph makes its variables, too."""
    return (measure, other) != ("tracing", TF1_SESSION)


def started(name: str, settings: Settings) -> contextlib.AbstractContextManager[Contender]:
    """Starts a contender by its name; it ends with the context."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    environment |= {
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    if name == OFFICIAL_SHIM:
        environment["TF_USE_LEGACY_KERAS"] = "1"
    module = f"{__package__}.shim_overhead_worker"
    command = [sys.executable, "-m", module, name, settings.to_json()]
    return Contender.started(name, command, environment)
