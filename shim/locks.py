"""A lock for objects that users copy and pickle."""

from __future__ import annotations

import threading
from collections.abc import Callable


class CopyableLock:
    """A `threading.RLock` whose copies are locks of their own."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[Callable, tuple]:
        return CopyableLock, ()
