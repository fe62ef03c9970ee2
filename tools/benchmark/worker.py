"""A contender's side: a process that does what the driver asks for over standard input and output.

Both sides write a JSON object a line. The driver asks `{"task": name}`; the answer is
`{"result": value}` or `{"error": message}`. The task "ready" does nothing.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

Task = Callable[[], Any]


def serve(prepare: Callable[[], Mapping[str, Task]]) -> None:
    """Answers the driver until it closes its end.

    Args:
        prepare: makes the tasks, by name; what a task returns can be written as JSON.

    Raises:
        SystemExit: with code 1, after the answer, if `prepare` or a task raises an error.
    """
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
        answer(error=f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


def timed(run: Callable[[], Any]) -> Callable[[], float]:
    """A task that runs once and tells the wall time of that, in milliseconds."""

    def milliseconds() -> float:
        gc.collect()  # What earlier runs left is not this one's to clear.
        start = time.perf_counter()
        run()
        return (time.perf_counter() - start) * 1e3

    return milliseconds
