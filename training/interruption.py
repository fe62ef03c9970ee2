"""What ends a run before its time: Ctrl-C and SIGTERM, with a checkpoint, and full disks."""

from __future__ import annotations

import contextlib
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator

# What a process can ask all for beside a stop: a checkpoint. No signal has this number.
SAVE = 0


class TrainingInterrupted(Exception):  # noqa: N818, being stopped is no error
    """A signal stopped the run, after its checkpoint was written.

    Args:
        signal_number: `signal.SIGINT` or `signal.SIGTERM`.
        step: Training steps done.
        total_steps: Training steps of the whole run.
        directory: The run's directory, which holds the checkpoint.
    """

    def __init__(
        self, signal_number: int, step: int, total_steps: int, directory: pathlib.Path
    ) -> None:
        name = signal.Signals(signal_number).name
        super().__init__(
            f"Stopped by {name} after {step} of {total_steps} steps; {directory} has a checkpoint."
        )
        self.signal_number = signal_number
        self.step = step
        self.total_steps = total_steps
        self.directory = directory


class TrainingFailed(Exception):  # noqa: N818, like its sibling
    """What a run needs was not to be had: space on the disk, another process, whole images."""


class StopRequest:
    """Whether a signal has asked the run to stop.

    Args:
        agree: Where a run has several processes, what makes of the signal that came to each what
            all of them act on.

    Attributes:
        received: The signal that came to this process, None while none has.
    """

    def __init__(self, agree: Callable[[int | None], int | None] = lambda number: number) -> None:
        self.received: int | None = None
        self._agree = agree

    def signal_number(self, otherwise: int | None = None) -> int | None:
        """The signal to act on; in all processes to be asked for at the same points of the run.

        Args:
            otherwise: `SAVE` where this process would like a checkpoint, if there is no signal.

        Returns:
            A signal's number, `SAVE` if any process would like that, else None.
        """
        return self._agree(otherwise if self.received is None else self.received)


@contextlib.contextmanager
def stop_on_signals(
    request: StopRequest | None = None,
) -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request; the second one kills at once.

    Args:
        request: What gets to know of it; a new one if None.

    Yields:
        The request, to be looked at between steps. Outside of the main thread, where Python
        handles no signals, none will come.
    """
    request = StopRequest() if request is None else request
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    handled = (signal.SIGINT, signal.SIGTERM)

    def on_signal(signal_number: int, frame: object) -> None:
        request.received = signal_number
        for number in handled:
            signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, on_signal) for number in handled}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
