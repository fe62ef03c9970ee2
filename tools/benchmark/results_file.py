"""The CSV file that a benchmark writes: a line for each result, with what the numbers depend on."""

from __future__ import annotations

import contextlib
import csv
import datetime
import itertools
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...training import provenance, publishing
from . import machine


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
    with whole as written, written.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(dict(common) | dict(result) for result in results)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Reads the lines of such a file, by column's name.

    Raises:
        OSError: it can't be read.
        ValueError: it is none of these files.
    """
    try:
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error):
        lines = []
    if not lines or not {"measure", "git_commit"} <= lines[0].keys() or None in lines[0]:
        raise ValueError(f"'{path}' holds no results: give a file that a benchmark's --out wrote.")
    return lines
