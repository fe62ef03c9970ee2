"""`throughput`: images/s in training and inference, beside other libraries' versions of the net."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from ... import models
from . import throughput_report
from .driver import Contender, ask_unless_failed, interleaved
from .flops import TRAINING_TO_INFERENCE
from .measuring import Measuring
from .progress import Progress
from .rows import Row
from .throughput_settings import (
    MATRIX_PRODUCT,
    Entry,
    Settings,
    check_not_deterministic,
)

WARM_UP_ROUNDS = 2
# Tracing and compiling take long, and are repeated no more often than that.
MOST_FIRST_ROUNDS = 5
_SHARES = {"training": TRAINING_TO_INFERENCE, "inference": 1}


class Throughput(Measuring):
    """A run of `throughput`.

    Args:
        settings: what is measured.
        entries: the contenders, that of the zoo first.

    Raises:
        ValueError: op determinism is on.
    """

    name = throughput_report.NAME
    titles = throughput_report.TITLES

    def __init__(self, settings: Settings, entries: Sequence[Entry]) -> None:
        check_not_deterministic()
        self.subjects = [entries[0].name]
        self._settings = settings
        self._entries = entries
        self.hindered = {
            entry.name: why for entry in entries if (why := entry.hindrance(settings)) is not None
        }
        self._failures: dict[str, str] = {}
        # By measure and contender.
        self._samples: dict[str, dict[str, list[float]]] = {}
        self._multiply_adds: dict[str, int] = {}
        known = throughput_report.sizes(settings)
        self.facts = {
            entry.name: {**known, **throughput_report.stage_and_backend(entry, settings)}
            for entry in entries
        }

    def measure(self, rounds: int) -> None:
        """As in the base class."""
        taking_part = [entry for entry in self._entries if entry.name not in self.hindered]
        with contextlib.ExitStack() as stack:
            self.progress = Progress(self._steps(taking_part, rounds))
            progress = stack.enter_context(self.progress.shown())
            settings = self._settings
            if settings.real_input:
                from . import photographs

                # Made here, as a process that is ended by force would leave it behind.
                folder = tempfile.TemporaryDirectory(prefix="shimzoo-benchmark-")
                settings = dataclasses.replace(settings, files=stack.enter_context(folder))
                photographs.write(settings.files, photographs.enough_for(settings.batch_size))
            contenders = [stack.enter_context(started(entry, settings)) for entry in taking_part]
            progress.now("building the models")
            for contender in contenders:
                self._ask_what_it_is(contender)
                progress.advance()
            for measure, times, warm_up in self._plan(rounds):
                if not self._is_a_model_left(contenders):
                    return  # And no time for the matrix product alone.
                progress.now(self.titles[measure], times)
                interleaved(
                    self._of_measure(measure, contenders),
                    measure,
                    times,
                    warm_up,
                    progress.advance,
                    self._samples.setdefault(measure, {}),
                    self._failures,
                    progress.begin_round,
                )
            progress.now("reading how much memory was in use")
            for contender in contenders:
                if (memory := ask_unless_failed(contender, "memory", self._failures)) is not None:
                    self._samples.setdefault("memory", {})[contender.name] = [memory]
                progress.advance()

    def _is_a_model_left(self, contenders: Sequence[Contender]) -> bool:
        return any(
            one.name != MATRIX_PRODUCT and one.name not in self._failures for one in contenders
        )

    def _plan(self, rounds: int) -> list[tuple[str, int, int]]:
        """Measures, and how often each is taken and warmed up.

        The steps come before what prepares them anew, as they tell more if the time runs out.
        """
        plan = []
        for phase in self._settings.phases:
            plan += [
                (f"{phase}_first", 0, 1),
                (phase, rounds, WARM_UP_ROUNDS),
                (f"{phase}_first", min(rounds, MOST_FIRST_ROUNDS), 0),
            ]
        if self._settings.real_input:
            plan.append(("training_on_files", rounds, WARM_UP_ROUNDS))
        return plan

    def _steps(self, taking_part: Sequence[Entry], rounds: int) -> int:
        runs = sum(
            (times + warm_up) * len(self._of_measure(measure, taking_part))
            for measure, times, warm_up in self._plan(rounds)
        )
        return runs + 2 * len(taking_part)

    def _of_measure(self, measure: str, contenders: Sequence[Any]) -> list[Any]:
        """Those that have it; the matrix product has nothing to trace."""
        if measure.endswith("_first"):
            return [one for one in contenders if one.name != MATRIX_PRODUCT]
        if measure == "training_on_files":
            on_files = [
                entry.name
                for entry in self._entries
                if entry.kind in models.STAGES and entry.backend == "tensorflow"
            ]
            return [one for one in contenders if one.name in on_files]
        return list(contenders)

    def _ask_what_it_is(self, contender: Contender) -> None:
        if (facts := ask_unless_failed(contender, "facts", self._failures)) is not None:
            self.facts[contender.name] |= facts
        if (count := ask_unless_failed(contender, "multiply_adds", self._failures)) is not None:
            self._multiply_adds[contender.name] = count

    def rows(self) -> list[Row]:
        """Times, their ratios, shares of the ceiling, memory."""
        found: list[Row] = []
        for phase in self._settings.phases:
            for measure in (phase, f"{phase}_first", f"{phase}_on_files"):
                found += self._times(measure)
            found += self._shares(phase)
        found += self._times("memory", "MiB")
        measured = {row.contender for row in found}
        for entry in self._entries:
            why = self.hindered.get(entry.name) or self._failures.get(entry.name)
            if why and entry.name not in measured:
                found += [Row(entry.name, phase, "ms", note=why) for phase in self._settings.phases]
        return sorted(found, key=lambda row: list(self.titles).index(row.measure))

    def notes(self) -> list[str]:
        """As in the base class."""
        measured = {name for taken in self._samples.values() for name in taken if taken[name]}
        facts = {name: fact for name, fact in self.facts.items() if name in measured}
        return throughput_report.notes(self._settings, facts)

    def lines(self, found: Sequence[Row]) -> list[dict[str, Any]]:
        """With images/s beside the time of a step."""
        return throughput_report.lines(found, self.facts)

    def _times(self, measure: str, unit: str = "ms") -> list[Row]:
        samples = {name: taken for name, taken in self._samples.get(measure, {}).items() if taken}
        found = []
        for name, taken in samples.items():
            is_step = unit == "ms" and not measure.endswith("_first") and name != MATRIX_PRODUCT
            images = self._settings.batch_size if is_step else 0
            note = self._failures.get(name, "")
            found.append(Row.of(name, measure, unit, taken, note, images))
            if unit != "ms" or not self._is_of_the_zoo(name):
                continue
            found += [
                Row.ratio(name, measure, taken, other, samples[other])
                for other in samples
                if other not in (name, MATRIX_PRODUCT)
            ]
        return found

    def _shares(self, phase: str) -> list[Row]:
        samples = self._samples.get(phase, {})
        ceiling, product = self._multiply_adds.get(MATRIX_PRODUCT), samples.get(MATRIX_PRODUCT)
        if not (ceiling and product):
            return []
        images = self._settings.batch_size * _SHARES[phase]
        return [
            Row.ratio(
                name,
                f"{phase}_share",
                [images * self._multiply_adds[name] / time for time in taken],
                MATRIX_PRODUCT,
                [ceiling / time for time in product],
            )
            for name, taken in samples.items()
            if taken and name != MATRIX_PRODUCT and name in self._multiply_adds
        ]

    def _is_of_the_zoo(self, name: str) -> bool:
        return any(entry.name == name and entry.kind in models.STAGES for entry in self._entries)


def started(entry: Entry, settings: Settings) -> contextlib.AbstractContextManager[Contender]:
    """Starts a contender; it ends with the context."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    environment |= {
        "KERAS_BACKEND": entry.backend,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Several contenders share the GPU's memory.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
    settings = dataclasses.replace(settings, jit_compile=entry.compiles(settings))
    module = f"{__package__}.throughput_worker"
    arguments = [entry.kind, entry.backend, settings.to_json()]
    return Contender.started(entry.name, [sys.executable, "-m", module, *arguments], environment)
