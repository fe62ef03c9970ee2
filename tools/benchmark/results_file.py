"""The CSV file that a benchmark writes: a line for each result, with what the numbers depend on."""

from __future__ import annotations

import contextlib
import csv
import datetime
import io
import itertools
import math
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...training import provenance, publishing
from . import machine, measures

# Columns that all files have.
_NEEDED = {
    *("benchmark", "contender", "measure", "unit", "against", "rounds"),
    *("median", "q1", "q3", "low", "high"),
    *("date", "git_commit", "command", "cpu", "cores"),
}
_WHOLE_NUMBERS = ("rounds", "batch_size", "image_size")
_NUMBERS = ("median", "q1", "q3", "low", "high", "images_per_second")


def check_writable(path: Path) -> None:
    """Finds out before the measuring whether its results can be written.

    Raises:
        OSError: they can't.
    """
    existed = path.exists()
    with path.open("a"):
        pass
    if path.is_file():
        publishing.check_writable(path.resolve().parent, path)
    if not existed:
        path.unlink()


def origin() -> dict[str, Any]:
    """What all results of a run share, by column: date, commit, command and machine as of now."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git_commit": provenance.git_revision(),
        "command": shlex.join(["shimzoo", *sys.argv[1:]]),
        "cpu": machine.cpu_model(),
        "cores": machine.available_cores(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", machine.available_cores()),
    }


def write_csv(path: Path, results: Sequence[Mapping[str, Any]], common: Mapping[str, Any]) -> None:
    """Writes a line for each result, with where it is from beside it.

    The file is there as a whole or stays as it was.

    Args:
        path: the file; replaced where it exists.
        results: by column's name what was measured, and the versions and sizes it depends on; one
            that lacks a column of another has it empty.
        common: what `origin` told when the measuring began; what a result says of its columns
            counts.
    """
    columns = list(dict.fromkeys([*itertools.chain.from_iterable(results), *common]))
    is_a_file = path.is_file() or not path.exists()  # And no device, which can't be replaced.
    whole = publishing.published(path.resolve()) if is_a_file else contextlib.nullcontext(path)
    with whole as written, written.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(dict(common) | dict(result) for result in results)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Reads the lines of such a file, by column's name.

    What has a median has one that is finite, above 0 where it is a time, a rate or a ratio of such.

    Raises:
        OSError: it can't be read.
        ValueError: it is none of these files, or damaged; the message says where.
    """
    refusal = f"'{path}' holds no results: give a file that a benchmark's --out wrote."
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        raise ValueError(refusal) from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    lines = []
    try:
        columns = next(reader, [])
        if not _NEEDED.issubset(columns):
            raise ValueError(refusal)
        for fields in filter(None, reader):
            if (damage := _damage(columns, fields)) is not None:
                raise ValueError(f"'{path}', line {reader.line_num}, {damage}.")
            lines.append(dict(zip(columns, fields, strict=True)))
    except csv.Error as error:
        raise ValueError(f"'{path}', line {reader.line_num}: {error}.") from None
    if not lines:
        raise ValueError(refusal)
    if not text.endswith("\n"):
        raise ValueError(
            f"'{path}', line {reader.line_num}, column {columns[-1]}: the file ends within it."
        )
    return lines


def machine_of(line: Mapping[str, str]) -> str:
    """What a line's number was measured on: the GPU, or the CPU with its cores."""
    return line.get("gpu") or f"{line['cpu']}, {line['cores']} core(s)"


def is_complete(lines: Sequence[Mapping[str, str]]) -> bool:
    """Whether a file's run came to its end; one whose file says nothing of it did."""
    return all(line.get("complete") != "False" for line in lines)


def _damage(columns: Sequence[str], fields: Sequence[str]) -> str | None:
    """Says in which column a line of a file has what can't be; None where all is well."""
    if len(fields) < len(columns):
        return f"column {columns[len(fields)]}: the line ends before it"
    if len(fields) > len(columns):
        return f"column {columns[-1]}: the line goes on behind it"
    line = dict(zip(columns, fields, strict=True))
    is_measured = bool(line["median"])
    for name in _WHOLE_NUMBERS:
        least = int(name != "rounds" or is_measured)
        value = line.get(name, "")
        is_missing = not value and name == "rounds" and is_measured
        is_other = value and not (value.isascii() and value.isdecimal() and int(value) >= least)
        if is_missing or is_other:
            return f"column {name}: '{value}' is no whole number of {least} or more"
    must_be_positive = line["unit"] in (*measures.TIMES, *measures.RATES) or (
        line["unit"] == measures.RATIO and line["measure"] not in measures.TAKEN_ONCE
    )
    for name in _NUMBERS:
        value = line.get(name, "")
        if value and not _is_finite(value):
            return f"column {name}: '{value}' is no finite number"
        if value and must_be_positive and float(value) <= 0:
            return f"column {name}: '{value}' is not above 0"
    for name, other in (("q1", "q3"), ("q3", "q1"), ("low", "high"), ("high", "low")):
        if line[other] and not line[name]:
            return f"column {name}: it is empty, and {other} is not"
    return None


def _is_finite(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
