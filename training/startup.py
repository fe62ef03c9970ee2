"""TensorFlow's import without its chatter, and with its warnings and errors."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

# What TensorFlow says at start-up of itself: information ("I0000 ..." in its log's format), and
# the log's own remark about where it writes.
_CHATTER = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog\(\)")


def import_tensorflow() -> None:
    """Imports TensorFlow for a command; `TF_CPP_MIN_LOG_LEVEL=0` in the environment shows all.

    Ctrl-C ends the process meanwhile.

    Raises:
        ModuleNotFoundError: TensorFlow is not installed.
        ValueError: Keras is set to another backend.
    """
    if "tensorflow" in sys.modules:
        return
    # Level 1 is warnings and errors.
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise ValueError(
            f"KERAS_BACKEND is {backend!r}: this command runs on 'tensorflow'. Unset the variable."
        )
    try:
        quiet = contextlib.nullcontext() if level == "0" else _without_chatter()
        with _ended_by_ctrl_c(), quiet:
            import tensorflow  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ModuleNotFoundError(
            "TensorFlow is not installed: install shimzoo with one, as in "
            "pip install 'shimzoo[cpu]' or 'shimzoo[cuda]'.",
            name="tensorflow",
        ) from None


@contextlib.contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Ends the process at SIGINT.

    Amid TensorFlow's import Python's own exception is lost at some places, and then the command
    runs on, and at others ends in a crash.
    """
    before = signal.getsignal(signal.SIGINT)
    # In the background, shells let processes ignore the signal.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end(signal_number: int, frame: object) -> NoReturn:
    # The signal may have come amid a flush, which can't be begun again.
    with contextlib.suppress(RuntimeError):
        sys.stdout.flush()
    os.write(2, b"stopped while TensorFlow was loaded, before anything began\n")
    os._exit(128 + signal_number)


@contextlib.contextmanager
def _without_chatter() -> Iterator[None]:
    """Passes standard error through a process that leaves the chatter out.

    TensorFlow's libraries write some lines while they are loaded, before they read the log level.
    Another process does the reading so that the last words of a crash come through as well.
    """
    if not hasattr(os, "fork"):
        yield
        return
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        _pass_on(reading)
    os.close(reading)
    standard_error = os.dup(2)
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(standard_error, 2)
        os.close(standard_error)
        os.waitpid(child, 0)


def _pass_on(descriptor: int) -> None:
    # Ctrl-C reaches the whole group; this process ends when the one that it reads from does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with open(descriptor, "rb") as lines:
            for line in lines:
                if not _CHATTER.match(line):
                    os.write(2, line)
    finally:
        os._exit(0)
