"""Ctrl-C, also where Python by itself would lose it."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator

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

    def hook(forgotten: sys.UnraisableHookArgs) -> None:
        if not issubclass(forgotten.exc_type, KeyboardInterrupt):
            before(forgotten)
            return
        main = threading.main_thread().ident
        again = threading.Timer(_AGAIN_S, signal.pthread_kill, [main, signal.SIGINT])
        again.daemon = True
        again.start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before
