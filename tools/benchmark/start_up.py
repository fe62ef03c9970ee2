"""`start-up`: how long `import shimzoo` and `shimzoo --help` take, beside Python alone."""

from __future__ import annotations

import platform
import subprocess
import sys
import time
from pathlib import Path

import rich.console

from . import report, results_file, rows
from .rows import Row

NAME = "start-up"
MEASURE = "start"
PYTHON = "python"
COMMANDS = {
    PYTHON: ("-c", "pass"),
    "import": ("-c", "import shimzoo"),
    "help": ("-m", "shimzoo.cli", "--help"),
}
_WARM_UP_ROUNDS = 2


def run(rounds: int, out: Path | None = None) -> bool:
    """Measures, prints the table, and writes the CSV file.

    Args:
        rounds: how often each process is started, 1 or more.
        out: CSV file for the results, replaced where it exists; None: no file.

    Returns:
        Whether it came to its end; False after Ctrl-C, with what was measured until then.

    Raises:
        ValueError: `rounds` is less than 1.
        OSError: `out` can't be written.
        CalledProcessError: a process failed.
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}: must be 1 or more.")
    if out is not None:
        results_file.check_writable(out)
    samples: dict[str, list[float]] = {name: [] for name in COMMANDS}
    is_complete = True
    try:
        for number in range(-_WARM_UP_ROUNDS, rounds):
            for name, arguments in COMMANDS.items():
                took = _start(arguments)
                if number >= 0:
                    samples[name].append(took)
    except KeyboardInterrupt:
        is_complete = False
    facts = {name: {"python": platform.python_version()} for name in COMMANDS}
    judged = rows.judged(_rows(samples), NAME, facts)
    notes = [] if is_complete else ["interrupted: this was measured so far"]
    report.show(rich.console.Console(), judged, {MEASURE: "start to end, ms"}, notes)
    if out is not None and judged:
        results_file.write_csv(out, rows.lines(judged, NAME, facts))
    return is_complete


def _start(arguments: tuple[str, ...]) -> float:
    """The milliseconds that a Python process takes from its start to its end."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - start) * 1e3


def _rows(samples: dict[str, list[float]]) -> list[Row]:
    found = []
    for name, taken in samples.items():
        if not taken:
            continue
        found.append(Row.of(name, MEASURE, "ms", taken))
        if name != PYTHON:
            found.append(Row.ratio(name, MEASURE, taken, PYTHON, samples[PYTHON]))
    return found
