"""The first signal asks a run to stop, the second one kills it."""

import signal
import subprocess
import sys
import threading

import pytest
from shimzoo.training.interruption import StopRequest, stop_on_signals

TWO_SIGNALS = """
import signal
from shimzoo.training.interruption import stop_on_signals

with stop_on_signals() as request:
    signal.raise_signal(signal.{first})
    print("asked by", request.signal_number(), flush=True)
    signal.raise_signal(signal.{second})
    print("still here", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_a_request_and_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with stop_on_signals() as request:
        assert request.signal_number() is None
        signal.raise_signal(number)
        assert request.signal_number() == number
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("second", ["SIGINT", "SIGTERM"])
def test_the_second_signal_kills_at_once(first, second):
    process = subprocess.run(
        [sys.executable, "-c", TWO_SIGNALS.format(first=first, second=second)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == -getattr(signal, second)
    assert process.stdout == f"asked by {getattr(signal, first).value}\n"


def test_in_another_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with stop_on_signals() as request:
            seen.append((request.signal_number(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, before)]


def test_several_processes_act_on_what_they_agree_on():
    with stop_on_signals(StopRequest(lambda number: number or signal.SIGTERM)) as request:
        assert request.received is None
        assert request.signal_number() == signal.SIGTERM
