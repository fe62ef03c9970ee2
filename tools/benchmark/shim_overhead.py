"""`shim-overhead`: what the shim costs, against the official shim, Keras' own model and no shim.

All contenders run ResNet v1-50 on the same images: TF-Slim's under the shim and under the official
one, `keras.applications`' (which has biases, and its strides elsewhere), and Slim's ops written
down without Slim or shim.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import rich.console
import rich.progress

from . import results_file
from .driver import Contender, interleaved
from .shim_overhead_report import (
    GROWTH_TARGETS,
    GROWTHS,
    RATIO_TARGETS,
    TIMES,
    Row,
    csv_lines,
    table,
)
from .summary import Ratio, Summary

SHIM = "shim"
OFFICIAL_SHIM = "official_shim"
CONTENDERS = (SHIM, OFFICIAL_SHIM, "keras_applications", "plain")
WITH_A_SMALL_LAYER = (SHIM, OFFICIAL_SHIM)
WARM_UP_ROUNDS = 2


def run(rounds: int, out: Path | None = None) -> None:
    """Measures, prints the table, and writes the CSV file.

    Args:
        rounds: how often each time is measured, 1 or more.
        out: CSV file for the results, replaced where it exists; None: no file.

    Raises:
        ValueError: `rounds` is less than 1.
        OSError: `out` can't be written.
        ContenderError: a contender's process failed.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be 1 or more.")
    if out is not None:
        results_file.check_writable(out)
    left_out = {}
    if importlib.util.find_spec("tf_keras") is None:
        left_out[OFFICIAL_SHIM] = "tf_keras is not installed"
    with contextlib.ExitStack() as stack:
        contenders = [
            stack.enter_context(started(name)) for name in CONTENDERS if name not in left_out
        ]
        rows = _measured_with_progress(contenders, rounds)
        facts = {contender.name: contender.ask("facts") for contender in contenders}
    rich.console.Console().print(table(rows, left_out))
    if out is not None:
        results_file.write_csv(out, csv_lines(rows, facts))


def started(name: str) -> contextlib.AbstractContextManager[Contender]:
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
    return Contender.started(name, [sys.executable, "-m", module, name], environment)


def _measured_with_progress(contenders: Sequence[Contender], rounds: int) -> list[Row]:
    console = rich.console.Console(stderr=True)
    timed_runs = len(TIMES) * len(contenders) * (WARM_UP_ROUNDS + rounds)
    bar = rich.progress.Progress(
        rich.progress.TextColumn("{task.description:<28}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(compact=True),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=len(contenders) + timed_runs + len(WITH_A_SMALL_LAYER))

        def now(what: str) -> None:
            bar.update(task, description=what)
            if not console.is_terminal:
                console.print(what)

        return measured(contenders, rounds, now, lambda: bar.advance(task))


def measured(
    contenders: Sequence[Contender],
    rounds: int,
    now: Callable[[str], None],
    advance: Callable[[], None],
) -> list[Row]:
    """Measures everything of all contenders.

    Args:
        contenders: the contenders; one is named "shim".
        rounds: how often each time is measured.
        now: told what is being done.
        advance: called after each contender's start, timed run, and many calls.

    Returns:
        The rows, those of a measure together.
    """
    now("building the models")
    for contender in contenders:
        contender.wait_until_ready()
        advance()
    rows = []
    for measure, description in TIMES.items():
        now(description)
        rows += time_rows(
            measure, interleaved(contenders, measure, rounds, WARM_UP_ROUNDS, advance)
        )
    now("many calls of a small layer")
    growth: list[Row] = []
    for contender in contenders:
        if contender.name in WITH_A_SMALL_LAYER:
            growth += _growth_rows(contender)
            advance()
    return rows + sorted(growth, key=lambda row: list(GROWTHS).index(row.measure))


def time_rows(measure: str, samples: dict[str, list[float]]) -> list[Row]:
    """Sums up what was timed.

    Args:
        measure: what was.
        samples: by contender's name the times in ms, round by round.

    Returns:
        A row a contender, the shim's without ratio.
    """
    rows = []
    for name, sample in samples.items():
        summary = Summary.of(sample)
        row = Row(name, measure, len(sample), summary.median, summary.q1, summary.q3)
        if name != SHIM:
            ratio = Ratio.paired(samples[SHIM], sample)
            row = dataclasses.replace(
                row,
                ratio_median=ratio.median,
                ratio_low=ratio.low,
                ratio_high=ratio.high,
                target=RATIO_TARGETS.get((measure, name)),
            )
        rows.append(row)
    return rows


def _growth_rows(contender: Contender) -> list[Row]:
    sizes = contender.ask("many_calls")
    rows = []
    for measure in GROWTHS:
        before, after = sizes["before"][measure], sizes["after"][measure]
        growth = None if before is None else after - before
        target = GROWTH_TARGETS[measure] if contender.name == SHIM else None
        rows.append(Row(contender.name, measure, 1, growth, target=target))
    return rows
