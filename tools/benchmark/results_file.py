"""The CSV file that a benchmark writes: a line for each result, with what the numbers depend on."""

from __future__ import annotations

import csv
import datetime
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...training import provenance
from . import machine


def check_writable(path: Path) -> None:
    """Finds out before the measuring whether its results can be written.

    Raises:
        OSError: they can't.
    """
    existed = path.exists()
    with path.open("a"):
        pass
    if not existed:
        path.unlink()


def write_csv(path: Path, results: Sequence[Mapping[str, Any]]) -> None:
    """Writes a line for each result, with date, commit, command and machine beside it.

    Args:
        path: the file; replaced where it exists.
        results: by column's name what was measured, and the versions and sizes it depends on; one
            that lacks a column of another has it empty. What a result says of the columns that are
            added here counts.
    """
    common = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git_commit": provenance.git_revision(),
        "command": shlex.join(["shimzoo", *sys.argv[1:]]),
        "cpu": machine.cpu_model(),
        "cores": machine.available_cores(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", machine.available_cores()),
    }
    columns = dict.fromkeys(name for result in results for name in result) | common
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(columns))
        writer.writeheader()
        writer.writerows(common | dict(result) for result in results)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Reads the lines of such a file, by column's name.

    Those of `conversion`, whose columns have other names, are given in the words of the others.

    Raises:
        OSError: it can't be read.
        ValueError: it is none of these files.
    """
    try:
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error):
        lines = []
    if not lines or "git_commit" not in lines[0] or None in lines[0]:
        raise ValueError(f"'{path}' holds no results: give a file that a benchmark's --out wrote.")
    return [_of_conversion(line) if "seconds_median" in line else line for line in lines]


def _of_conversion(line: Mapping[str, str]) -> dict[str, str]:
    times = {name: line[f"seconds_{name}"] for name in ("median", "q1", "q3")}
    pair = f"{line['source']} to {line['target']}"
    told = {"benchmark": "conversion", "contender": pair, "measure": "conversion", "unit": "s"}
    return {**line, **times, **told, "against": ""}
