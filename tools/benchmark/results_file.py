"""The CSV file that a benchmark writes: a line for each result, with what the numbers depend on."""

from __future__ import annotations

import csv
import datetime
import os
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
    """Writes a line for each result, with date, commit and machine beside it.

    Args:
        path: the file; replaced where it exists.
        results: by column's name what was measured, and the versions and sizes it depends on; the
            same columns in each.
    """
    common = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "git_commit": provenance.git_revision(),
        "cpu": machine.cpu_model(),
        "cores": machine.available_cores(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", machine.available_cores()),
    }
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=[*results[0], *common])
        writer.writeheader()
        writer.writerows(result | common for result in map(dict, results))
