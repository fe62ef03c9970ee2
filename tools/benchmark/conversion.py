"""`conversion`: what converting a checkpoint costs, against copying and hashing the file."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import rich.console
import rich.progress
import rich.table

from ... import models
from . import results_file
from .driver import Contender
from .summary import Summary

# Format -> what a checkpoint is called here.
FILES = {
    "tf1": "tf1",
    "tf2": "tf2",
    "h5": "model.weights.h5",
    "keras": "model.keras",
    "safetensors": "model.safetensors",
}
# How often a file's copying and hashing a conversion may take, and how often its size of memory.
TIME_TARGET = 3.0
MEMORY_TARGET = 2.2


@dataclasses.dataclass(frozen=True)
class Row:
    """What came out for one pair of formats.

    Args:
        source: format of the file that was read.
        target: format of the one that was written.
        rounds: how often it was measured.
        seconds_median, seconds_q1, seconds_q3: time of the conversion, beyond the interpreter's
            start and TensorFlow's import.
        ratio_median, ratio_low, ratio_high: that time to the one that copying and hashing the
            source took just before, median and its 95 % confidence interval.
        peak_mb: the most memory at any time beyond what was taken before, in 1e6 bytes, the most
            of all rounds.
        peak_share: that to the size of the source.
    """

    source: str
    target: str
    rounds: int
    seconds_median: float
    seconds_q1: float
    seconds_q3: float
    ratio_median: float
    ratio_low: float
    ratio_high: float
    peak_mb: float
    peak_share: float

    @property
    def outcome(self) -> str:
        """Says "ok", or what was missed; "unclear" where the rounds do not tell it apart."""
        missed = ["memory"] if self.peak_share > MEMORY_TARGET else []
        if self.ratio_median > TIME_TARGET:
            missed.insert(0, "time" if self.ratio_low > TIME_TARGET else "time unclear")
        return ", ".join(missed) or "ok"


def run(model: str, rounds: int, out: Path | None = None) -> None:
    """Measures, prints the table, and writes the CSV file.

    Args:
        model: name of the model whose checkpoints are converted.
        rounds: how often each pair of formats is measured, 1 or more.
        out: CSV file for the results, replaced where it exists; None: no file.

    Raises:
        ValueError: `rounds` is less than 1, or there is no such model.
        OSError: `out` can't be written.
        ContenderError: a conversion failed.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be 1 or more.")
    models.get_variant(model)
    if out is not None:
        results_file.check_writable(out)
    with _progress(len(FILES) + rounds * len(FILES) ** 2) as advance:
        rows, facts = measured(model, rounds, advance)
    rich.console.Console().print(table(rows))
    if out is not None:
        lines = [dataclasses.asdict(row) | {"outcome": row.outcome} | facts for row in rows]
        results_file.write_csv(out, lines)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], None]]:
    console = rich.console.Console(stderr=True)
    bar = rich.progress.Progress(
        rich.progress.TextColumn("{task.description:<24}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeRemainingColumn(compact=True),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=total)
        yield lambda what: bar.update(task, description=what, advance=1)


def measured(
    model: str, rounds: int, advance: Callable[[str], None]
) -> tuple[list[Row], dict[str, Any]]:
    """Measures all pairs of formats in turns, each conversion in a new process.

    Args:
        model: name of the model.
        rounds: how often each is measured.
        advance: told what was done, after each conversion.

    Returns:
        A row a pair, and the versions that the numbers depend on.
    """
    pairs = [(source, target) for source in FILES for target in FILES]
    taken: dict[tuple[str, str], list[dict[str, float]]] = {pair: [] for pair in pairs}
    with tempfile.TemporaryDirectory(prefix="shimzoo-benchmark-") as folder:
        sources = {format: Path(folder, "source", file) for format, file in FILES.items()}
        for format, source in sources.items():
            with started(model, source, source) as process:
                process.ask("save")
                facts = process.ask("facts")
            advance(format)
        for number in range(rounds):
            first = number * len(pairs) // rounds
            for pair in (*pairs[first:], *pairs[:first]):
                source, target = sources[pair[0]], Path(folder, "target", FILES[pair[1]])
                files = files_of(source)
                with started(model, source, target) as process:
                    process.wait_until_ready()
                    copying = copy_and_hash(files, Path(folder, "copy"))
                    result = process.ask("convert")
                size = sum(file.stat().st_size for file in files)
                taken[pair].append(result | {"copying": copying, "size": size})
                shutil.rmtree(target.parent)
                advance(" to ".join(pair))
    return [_row(*pair, results) for pair, results in taken.items()], facts


def started(model: str, source: Path, target: Path) -> contextlib.AbstractContextManager[Contender]:
    """Starts a process that can convert; it ends with the context."""
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [sys.executable, "-m", f"{__package__}.conversion_worker"]
    name = f"from {source.name} to {target.name}"
    return Contender.started(name, [*command, model, str(source), str(target)], environment)


def files_of(checkpoint: Path) -> list[Path]:
    """The file, or those with the prefix."""
    return (
        [checkpoint]
        if checkpoint.is_file()
        else sorted(checkpoint.parent.glob(f"{checkpoint.name}.*"))
    )


def copy_and_hash(files: Sequence[Path], folder: Path) -> float:
    """Copies files and hashes the copies (SHA-256), which are removed again.

    Returns:
        The seconds that it took, without the removing.
    """
    folder.mkdir()
    start = time.perf_counter()
    for file in files:
        with open(shutil.copy(file, folder), "rb") as copied:
            hashlib.file_digest(copied, "sha256")
    seconds = time.perf_counter() - start
    shutil.rmtree(folder)
    return seconds


def _row(source: str, target: str, results: Sequence[dict[str, float]]) -> Row:
    seconds = Summary.of([result["seconds"] for result in results])
    ratio = Summary.paired(
        [result["seconds"] for result in results], [result["copying"] for result in results]
    )
    peak = max(result["peak_bytes"] for result in results)
    return Row(
        source,
        target,
        len(results),
        seconds.median,
        seconds.q1,
        seconds.q3,
        ratio.median,
        ratio.low,
        ratio.high,
        peak / 1e6,
        peak / results[0]["size"],
    )


def table(rows: Sequence[Row]) -> rich.table.Table:
    """The rows as a table for the terminal."""
    columns = ("from", "to", "time, s", "ratio", "95 %", "peak, MB", "share", "")
    report = rich.table.Table(box=None, padding=(0, 1, 0, 0), caption_justify="left")
    for number, column in enumerate(columns):
        report.add_column(column, justify="left" if number < 2 else "right", no_wrap=True)
    for row in rows:
        report.add_row(
            row.source,
            row.target,
            f"{row.seconds_median:.2f}",
            f"{row.ratio_median:.2f}",
            f"{row.ratio_low:.2f}..{row.ratio_high:.2f}",
            f"{row.peak_mb:.0f}",
            f"{row.peak_share:.2f}",
            row.outcome,
        )
    report.caption = (
        f"ratio: to copying and hashing the file, at most {TIME_TARGET:g}\n"
        f"share: of the file's size in memory, at most {MEMORY_TARGET:g}"
    )
    return report
