"""Contenders in processes of their own, driven in turns.

On a machine that others use too, speed drifts. So each round times every contender once, and
contenders are compared round by round. What runs before another leaves it caches and a clock rate,
so each round has an order of its own, drawn at random.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, TypeVar

# What errors for want of memory are called: Python's, TensorFlow's and JAX', PyTorch's.
_OUT_OF_MEMORY = re.compile(
    "MemoryError|ResourceExhausted|RESOURCE_EXHAUSTED|OutOfMemory|out of memory|bad_alloc"
    "|can't allocate memory|OOM when allocating",
    re.IGNORECASE,
)
# What a contender may take to leave once nothing more is asked.
_SECONDS_TO_END = 2.0
_Item = TypeVar("_Item")


class ContenderError(RuntimeError):
    """A contender's process ended, or failed at what it was asked for.

    Args:
        message: the whole sentence.
        reason: why, without who and when.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = f"out of memory: {reason}" if _OUT_OF_MEMORY.search(reason) else reason


class Contender:
    """The driver's side of a process that runs tasks, see `worker.serve`.

    Args:
        name: what it is called in reports.
        process: the process.
        log: what it writes to its standard error.
    """

    def __init__(self, name: str, process: subprocess.Popen, log: IO[str]) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    @contextlib.contextmanager
    def started(
        cls, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> Iterator[Contender]:
        """Starts a contender, and ends it in the end: by itself, or else by force.

        Args:
            name: what it is called in reports.
            command: the command line that starts it.
            environment: its environment variables.
        """
        with (
            tempfile.TemporaryFile("w+", errors="replace") as log,
            subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            ) as process,
        ):
            try:
                yield cls(name, process, log)
            finally:
                # It may hold a request that never went out.
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
                try:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_SECONDS_TO_END)
                finally:
                    process.kill()

    def wait_until_ready(self) -> None:
        """Waits for the contender's preparations.

        Raises:
            ContenderError: they failed.
        """
        self.ask("ready")

    def ask(self, task: str) -> Any:
        """Has the contender run a task once.

        Args:
            task: the task's name.

        Returns:
            What the task returned.

        Raises:
            ContenderError: the task failed, or the process has ended.
        """
        with contextlib.suppress(BrokenPipeError):  # The missing answer tells.
            self._process.stdin.write(json.dumps({"task": task}) + "\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            code, words = self._process.wait(), self._last_words()
            reason = f"ended with exit code {code}: {words}"
            if code == -signal.SIGKILL:
                reason = "killed, as the system does where it runs out of memory"
            raise ContenderError(
                f"Contender {self.name} ended with exit code {code} at {task}. Its last words: "
                f"{words}",
                reason,
            )
        answer = json.loads(line)
        if "error" in answer:
            error = " ".join(answer["error"].split())
            raise ContenderError(f"Contender {self.name} failed at {task}: {error}", error)
        return answer["result"]

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        return lines[-1] if lines else "none"


def ask_unless_failed(contender: Contender, task: str, failures: dict[str, str]) -> Any:
    """Has a contender run a task once, unless it has failed before.

    Args:
        contender: the contender.
        task: the task's name.
        failures: by contender's name why it failed; gets this one's reason.

    Returns:
        What the task returned; None where the contender has failed.
    """
    if contender.name in failures:
        return None
    try:
        return contender.ask(task)
    except ContenderError as error:
        failures[contender.name] = error.reason
        return None


def orders(items: Sequence[_Item]) -> Iterator[list[_Item]]:
    """Orders of some things without end, each drawn at random, and the same in every run."""
    drawn = random.Random(0)
    while True:
        yield drawn.sample(items, len(items))


def interleaved(
    contenders: Sequence[Contender],
    task: str,
    rounds: int,
    warm_up_rounds: int,
    advance: Callable[[], None],
    samples: dict[str, list[float]],
    failures: dict[str, str],
    begin_round: Callable[[int], None] = lambda number: None,
) -> None:
    """Runs a task of all contenders in turns, each round in another order.

    What was measured is in `samples` as soon as it is, so that nothing is lost if the measuring is
    interrupted.

    Args:
        contenders: the contenders.
        task: name of a task that all of them have and that returns a number.
        rounds: how often each runs it.
        warm_up_rounds: how often each runs it before that, without being noted.
        advance: called after each run, warm-up included.
        samples: gets, by contender's name, the numbers, one a round.
        failures: gets, by contender's name, why one that failed is left out from then on; those
            that are in it already are left out from the start.
        begin_round: called before each round with its number, from 1 on behind the warm-up's.
    """
    samples.update({contender.name: [] for contender in contenders})
    numbered = range(1 - warm_up_rounds, rounds + 1)
    for number, order in zip(numbered, orders(contenders), strict=False):
        begin_round(number)
        for contender in order:
            value = ask_unless_failed(contender, task, failures)
            if value is not None and number > 0:
                samples[contender.name].append(value)
            advance()
