"""`throughput`: images/s in training and inference, beside other libraries' versions of the net."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import rich.console

from ... import models
from . import report, results_file, rows, throughput_report
from .driver import Contender, ask_unless_failed, interleaved
from .flops import TRAINING_TO_INFERENCE
from .progress import Progress
from .rows import Row
from .throughput_report import NAME, TITLES
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


def run(settings: Settings, entries: Sequence[Entry], rounds: int, out: Path | None = None) -> bool:
    """Measures, prints the table, and writes the CSV file.

    Args:
        settings: what is measured.
        entries: the contenders, that of the zoo first.
        rounds: how often each time is measured, 1 or more.
        out: CSV file for the results, replaced where it exists; None: no file.

    Returns:
        Whether it came to its end; False after Ctrl-C, with what was measured until then.

    Raises:
        ValueError: `rounds` is less than 1, or op determinism is on.
        OSError: `out` can't be written.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be 1 or more.")
    check_not_deterministic()
    if out is not None:
        results_file.check_writable(out)
    measuring = Measuring(settings, entries)
    is_complete = True
    try:
        measuring.measure(rounds)
    except KeyboardInterrupt:
        is_complete = False
    found, facts = measuring.rows(), measuring.facts
    judged = rows.judged(found, NAME, facts)
    console = rich.console.Console()
    notes = throughput_report.notes(settings, facts, is_complete)
    report.show(console, judged, TITLES, notes)
    if out is not None:
        results_file.write_csv(out, throughput_report.lines(judged, facts, settings))
    return is_complete


class Measuring:
    """A run: its contenders, and what was measured so far.

    Args:
        settings: what is measured.
        entries: the contenders.

    Attributes:
        facts: by contender, what the numbers depend on.
    """

    def __init__(self, settings: Settings, entries: Sequence[Entry]) -> None:
        self._settings = settings
        self._entries = entries
        self._hindered = {
            entry.name: why for entry in entries if (why := entry.hindrance(settings)) is not None
        }
        self._failures: dict[str, str] = {}
        # By measure and contender.
        self._samples: dict[str, dict[str, list[float]]] = {}
        self._multiply_adds: dict[str, int] = {}
        known = throughput_report.sizes(settings)
        self.facts: dict[str, dict[str, Any]] = {
            entry.name: {**known, **throughput_report.stage_and_backend(entry)} for entry in entries
        }

    def measure(self, rounds: int) -> None:
        """Measures everything of all contenders.

        Raises:
            KeyboardInterrupt: Ctrl-C; what was measured stays.
        """
        taking_part = [entry for entry in self._entries if entry.name not in self._hindered]
        with contextlib.ExitStack() as stack:
            progress = stack.enter_context(Progress(self._steps(taking_part, rounds)).shown())
            contenders = [
                stack.enter_context(started(entry, self._settings)) for entry in taking_part
            ]
            progress.now("building the models")
            for contender in contenders:
                self._ask_what_it_is(contender)
                progress.advance()
            for measure, times, warm_up in self._plan(rounds):
                progress.now(TITLES[measure])
                interleaved(
                    self._of_measure(measure, contenders),
                    measure,
                    times,
                    warm_up,
                    progress.advance,
                    self._samples.setdefault(measure, {}),
                    self._failures,
                )
            progress.now(TITLES["memory"])
            for contender in contenders:
                if (memory := ask_unless_failed(contender, "memory", self._failures)) is not None:
                    self._samples.setdefault("memory", {})[contender.name] = [memory]
                progress.advance()

    def _plan(self, rounds: int) -> list[tuple[str, int, int]]:
        """Measures, and how often each is taken and warmed up."""
        plan = []
        for phase in self._settings.phases:
            plan += [
                (f"{phase}_first", min(rounds, MOST_FIRST_ROUNDS), 1),
                (phase, rounds, WARM_UP_ROUNDS),
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
        """What was measured so far: times, their ratios, shares of the ceiling, memory."""
        found: list[Row] = []
        for phase in self._settings.phases:
            for measure in (phase, f"{phase}_first", f"{phase}_on_files"):
                found += self._times(measure)
            found += self._shares(phase)
        found += self._times("memory", "MiB")
        measured = {row.contender for row in found}
        for entry in self._entries:
            why = self._hindered.get(entry.name) or self._failures.get(entry.name)
            if why and entry.name not in measured:
                found += [Row(entry.name, phase, "ms", note=why) for phase in self._settings.phases]
        return sorted(found, key=lambda row: list(TITLES).index(row.measure))

    def _times(self, measure: str, unit: str = "ms") -> list[Row]:
        samples = {name: taken for name, taken in self._samples.get(measure, {}).items() if taken}
        found = []
        for name, taken in samples.items():
            note = self._failures.get(name, "")
            row = Row.of(name, measure, unit, taken)
            found.append(rows.noted(row, note))
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
    module = f"{__package__}.throughput_worker"
    arguments = [entry.kind, entry.backend, settings.to_json()]
    return Contender.started(entry.name, [sys.executable, "-m", module, *arguments], environment)
