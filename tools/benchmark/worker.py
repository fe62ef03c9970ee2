"""A contender's side: a process that does what the driver asks for over standard input and output.

Both sides write a JSON object a line. The driver asks `{"task": name}`; the answer is
`{"result": value}` or `{"error": message}`. The task "ready" does nothing.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Task = Callable[[], Any]


def serve(prepare: Callable[[], Mapping[str, Task]]) -> None:
    """Answers the driver until it closes its end.

    Args:
        prepare: makes the tasks, by name; what a task returns can be written as JSON.

    Raises:
        SystemExit: with code 1, after the answer, if `prepare` or a task raises an error.
    """
    # Ctrl-C reaches the whole group, as SIGTERM can, and the driver ends what it started.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    _be_the_first_to_be_killed()
    # What else this process prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**fields: Any) -> None:
        print(json.dumps(fields), file=answers, flush=True)

    try:
        tasks = {"ready": lambda: None, **prepare()}
        gc.collect()
        gc.freeze()
        for line in sys.stdin:
            answer(result=tasks[json.loads(line)["task"]]())
    except Exception as error:
        traceback.print_exc()
        answer(error=f"{type(error).__name__}: {_told_in_a_line(error)}")
        raise SystemExit(1) from None


def _told_in_a_line(error: Exception) -> str:
    """What went wrong, without the places where; TensorFlow's graphs tell those first."""
    lines = [line.strip() for line in str(error).partition("\n\t [[")[0].splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        return "no reason given"
    return lines[-1] if lines[0].endswith(":") else lines[0]


def _be_the_first_to_be_killed() -> None:
    """Lets the system, where memory runs out, end this process and no other; Linux."""
    score = Path("/proc/self/oom_score_adj")
    if score.exists():
        with contextlib.suppress(OSError):
            score.write_text("1000")


def timed(run: Callable[[], Any], begin: Callable[[], Any] = lambda: None) -> Callable[[], float]:
    """A task that runs once and tells the wall time of that, in milliseconds.

    Args:
        run: what is timed.
        begin: what is done just before.
    """

    def milliseconds() -> float:
        gc.collect()  # What earlier runs left is not this one's to clear.
        begin()
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e3

    return milliseconds


def peak_resident_mib() -> float | None:
    """The most memory that this process had at any time, in MiB; None where nothing tells."""
    status = Path("/proc/self/status")  # Linux only.
    if not status.exists():
        return None
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) / 1024
