"""Ctrl-C stops a command wherever Python is when it comes."""

import gc
import signal
import threading
import time

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


class Deleted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)


def delete_something():
    del [Deleted()][0]


@pytest.mark.parametrize(
    "come", [lambda: signal.raise_signal(signal.SIGINT), collect_garbage, delete_something]
)
def test_it_is_raised_in_what_is_to_be_stopped(come):
    def command():
        come()
        time.sleep(20)
        raise AssertionError("the command ran to its end")

    with interrupts_kept(), pytest.raises(KeyboardInterrupt):
        command()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_who_has_seen_to_the_signal_is_left_alone(handler):
    before = signal.signal(signal.SIGINT, handler)
    try:
        with interrupts_kept():
            assert signal.getsignal(signal.SIGINT) is handler
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_may_run_commands():
    ended = []

    def run():
        with interrupts_kept():
            ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ended
