"""Ctrl-C, also where Python by itself would lose it."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# Until a Ctrl-C that could not be acted upon is told again: a collection takes about as long.
_AGAIN_S = 0.02


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raises KeyboardInterrupt at Ctrl-C where it reaches the command that is to be stopped.

    Python handles signals wherever it is, and what is raised while it collects garbage (JAX has it
    call a function then, and it is much of the time that a model's making takes) or deletes an
    object is printed and forgotten: the command would run on.
    """
    is_main = threading.current_thread() is threading.main_thread()
    # In the background, shells let processes ignore the signal.
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt(signal_number: int, frame: FrameType | None) -> None:
    if not _is_lost_in(frame):
        raise KeyboardInterrupt
    main = threading.main_thread().ident
    again = threading.Timer(_AGAIN_S, signal.pthread_kill, [main, signal_number])
    again.daemon = True
    again.start()


def _is_lost_in(frame: FrameType | None) -> bool:
    """Whether what is raised now ends in a place where Python can raise nothing."""
    while_collecting = {getattr(callback, "__code__", None) for callback in gc.callbacks}
    while frame is not None:
        if frame.f_code in while_collecting or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
