"""Ctrl-C, also where Python by itself would lose it."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

# Until a Ctrl-C that could not be acted upon is told again: a collection takes about as long.
_AGAIN_S = 0.02


@contextlib.contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raises KeyboardInterrupt at Ctrl-C where it reaches the command that is to be stopped.

    Python handles signals wherever it is. What is raised while it collects garbage (JAX has it call
    a function then, and it is much of the time that a model's making takes), deletes an object or
    drops a weak reference is printed and forgotten, and the command would run on.
    """
    before = sys.unraisablehook
    handled = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()

    def hook(forgotten: sys.UnraisableHookArgs) -> None:
        if issubclass(forgotten.exc_type, KeyboardInterrupt):
            _tell_again()
        else:
            before(forgotten)

    def interrupt(signal_number: int, frame: FrameType | None) -> None:
        # What is raised in the hook is forgotten as well.
        while frame is not None and frame.f_code is not hook.__code__:
            frame = frame.f_back
        if frame is None:
            raise KeyboardInterrupt
        _tell_again()

    sys.unraisablehook = hook
    # In the background, shells let processes ignore the signal.
    takes_over = is_main and handled is signal.default_int_handler
    if takes_over:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        sys.unraisablehook = before
        if takes_over:
            signal.signal(signal.SIGINT, handled)


def _tell_again() -> None:
    main = threading.main_thread().ident
    again = threading.Timer(_AGAIN_S, signal.pthread_kill, [main, signal.SIGINT])
    again.daemon = True
    again.start()
