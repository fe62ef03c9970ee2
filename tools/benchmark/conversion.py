"""`conversion`: what converting a checkpoint costs, against copying and hashing the file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from ... import models
from .driver import Contender, ContenderError, orders
from .measuring import Measuring
from .progress import Progress
from .rows import Row

# Format -> what a checkpoint is called here.
FILES = {
    "tf1": "tf1",
    "tf2": "tf2",
    "h5": "model.weights.h5",
    "keras": "model.keras",
    "safetensors": "model.safetensors",
}
TITLES = {
    "conversion": "conversion, s",
    "memory": "most memory beyond that before, MB",
}
# What they are compared with: copying and hashing the source, and its size.
COPYING, SIZE = "copy_and_hash", "file"
_MB = 1e6
# What TensorFlow writes at once, in bytes.
_BLOCK = 8 << 20
# After so many seconds without work the host has what it gets, and gets more two seconds after
# something became free again.
_GIVEN_BACK_S = 3
# How often the source's size is held in memory: for the target, the tensors, and what lies between.
_TOUCHED = 4


class Conversion(Measuring):
    """A run of `conversion`: all pairs of formats, each conversion in a new process.

    Args:
        model: name of the model whose checkpoints are converted.

    Raises:
        ValueError: there is no such model.
    """

    name = "conversion"
    titles = TITLES

    def __init__(self, model: str) -> None:
        models.get_variant(model)
        self._model = model
        # By the name of the pair, the format that is read and the one that is written.
        self._pairs = {f"{a} to {b}": (a, b) for a in FILES for b in FILES}
        self.subjects = list(self._pairs)
        # By pair, what each round told.
        self._results: dict[str, list[dict[str, float]]] = {name: [] for name in self._pairs}
        self._failures: dict[str, str] = {}
        self.facts = {name: {"model": model} for name in self._pairs}

    def measure(self, rounds: int) -> None:
        """As in the base class."""
        with contextlib.ExitStack() as stack:
            self.progress = Progress(len(FILES) + rounds * len(self._pairs))
            progress = stack.enter_context(self.progress.shown())
            folder = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="shimzoo-benchmark-"))
            )
            sources = {format: folder / "source" / file for format, file in FILES.items()}
            progress.now("making the checkpoints")
            for format, source in sources.items():
                self._make(format, source)
                progress.advance()
            numbered = range(1, rounds + 1)
            progress.now(TITLES["conversion"], rounds)
            for number, order in zip(numbered, orders(self.subjects), strict=False):
                progress.begin_round(number)
                for name in order:
                    if name not in self._failures:
                        self._convert(name, sources[self._pairs[name][0]], folder)
                    progress.advance()

    def _make(self, format: str, source: Path) -> None:
        from_it = [name for name, (read, _) in self._pairs.items() if read == format]
        try:
            with started(self._model, source, source) as process:
                process.ask("save")
                facts = process.ask("facts")
        except ContenderError as error:
            self._failures |= dict.fromkeys(from_it, f"making the source: {error.reason}")
            return
        for name in from_it:
            self.facts[name] |= facts

    def _convert(self, name: str, source: Path, folder: Path) -> None:
        target = folder / "target" / FILES[self._pairs[name][1]]
        files = files_of(source)
        size = sum(file.stat().st_size for file in files)
        try:
            with started(self._model, source, target) as process:
                process.wait_until_ready()
                touch_memory(folder / "touched", _TOUCHED * size)
                copying = copy_and_hash(files, folder / "copy")
                result = process.ask("convert")
        except ContenderError as error:
            self._failures[name] = error.reason
            return
        except OSError as error:  # No space for the copy, for instance.
            self._failures[name] = str(error)
            return
        finally:
            shutil.rmtree(target.parent, ignore_errors=True)
        self._results[name].append(result | {"copying": copying, "size": size})

    def rows(self) -> list[Row]:
        """Times and their ratios to copying and hashing, memory and its ratio to the file's size.

        The memory is the most of all rounds.
        """
        found: list[Row] = []
        for name, results in self._results.items():
            note = self._failures.get(name, "")
            if results:
                found += _rows_of(name, results, note)
            elif note:
                found.append(Row(name, "conversion", "s", note=note))
        return sorted(found, key=lambda row: list(TITLES).index(row.measure))

    def notes(self) -> list[str]:
        """As in the base class."""
        return [
            f"checkpoints of {self._model}; {COPYING}: copying and hashing the source just before, "
            f"both after memory was held that the host of a virtual machine may have taken back; "
            f"{SIZE}: the source's size"
        ]


def _rows_of(name: str, results: Sequence[dict[str, float]], note: str) -> list[Row]:
    seconds, copying = ([result[key] for result in results] for key in ("seconds", "copying"))
    peak, size = max(result["peak_bytes"] for result in results), results[0]["size"]
    return [
        Row.of(name, "conversion", "s", seconds, note),
        Row.ratio(name, "conversion", seconds, COPYING, copying),
        Row.of(name, "memory", "MB", [peak / _MB], note),
        Row.ratio(name, "memory", [peak], SIZE, [size]),
    ]


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


def touch_memory(path: Path, size: int) -> None:
    """Makes sure that free memory is there when it is asked for, by holding a file in it before.

    Linux in a virtual machine may give free memory back to the host: blocks of 2 MB and more, two
    seconds after they became free (mm/page_reporting.c). To have them back takes ten times as long
    as to write to them, and falls on who wants memory in such blocks, as writes of 2 MB and more
    do, TensorFlow's for instance; copies find enough in smaller ones.

    Args:
        path: Where the file may be, for a moment.
        size: Its bytes.
    """
    time.sleep(_GIVEN_BACK_S)
    blocks, rest = divmod(size, _BLOCK)
    try:
        with open(path, "wb", buffering=0) as file:
            for count in (*[_BLOCK] * blocks, rest):
                file.write(bytes(count))
    finally:
        path.unlink(missing_ok=True)


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
