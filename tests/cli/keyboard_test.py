"""Ctrl-C stops a command wherever Python is when it comes."""

import gc
import signal
import threading
import time
import weakref

import pytest
from shimzoo.cli.keyboard import interrupts_kept


def collect_garbage():
    """As with JAX, which has Python call a function of its own then."""

    def called(phase, info):
        if phase == "start":
            signal.raise_signal(signal.SIGINT)

    gc.callbacks.append(called)
    try:
        gc.collect()
    finally:
        gc.callbacks.remove(called)


class Referred:
    pass


class Deleted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


class DeletedBadly:
    def __del__(self):
        raise ValueError


def delete_something():
    del [Deleted()][0]


def finalize_something():
    referred = Referred()
    weakref.finalize(referred, signal.raise_signal, signal.SIGINT)
    del referred


@pytest.mark.parametrize(
    "come",
    [
        lambda: signal.raise_signal(signal.SIGINT),
        collect_garbage,
        delete_something,
        finalize_something,
    ],
)
def test_it_is_raised_in_what_is_to_be_stopped(come):
    def command():
        come()
        for _ in range(200):  # A signal right before a sleep does not end that one.
            time.sleep(0.1)
        raise AssertionError("the command ran to its end")

    with interrupts_kept(), pytest.raises(KeyboardInterrupt):
        command()


def test_it_is_raised_though_it_is_told_again_too_early(monkeypatch):
    """When the system is busy, and Python still in what forgets it."""
    waits = [0.2]

    class SlowlyStarted(threading.Timer):
        def start(self):
            super().start()
            end = time.monotonic() + (waits.pop() if waits else 0.0)
            while time.monotonic() < end:
                pass

    monkeypatch.setattr("threading.Timer", SlowlyStarted)
    test_it_is_raised_in_what_is_to_be_stopped(finalize_something)
    assert not waits


def test_what_else_is_forgotten_is_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda forgotten: told.append(forgotten.exc_type))
    with interrupts_kept():
        del [DeletedBadly()][0]
    assert told == [ValueError]
