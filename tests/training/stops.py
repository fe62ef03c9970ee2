"""Signals that come to a run in one of its steps or tests."""

import os
import signal
import threading

from shimzoo.training import callbacks


def signal_at(patch, step, number=signal.SIGINT, delay_s=0.0):
    """Lets a signal come to this process in a training step, or so long after it.

    Args:
        patch: A `pytest.MonkeyPatch`, or what sets attributes as it does.
        step: The step, counted from 1; where the process begins after it, its first one.
        number: The signal's number.
        delay_s: Seconds from then on. The run waits for the signal before its last step ends.
    """
    count = callbacks.CountSteps.on_train_batch_end
    sending = []

    def count_and_signal(self, batch, logs=None):
        count(self, batch, logs)
        if self._position.step >= step and not sending:
            sending.append(threading.Timer(delay_s, os.kill, (os.getpid(), number)))
            if delay_s:
                sending[0].start()
            else:
                signal.raise_signal(number)
        if delay_s and sending and self._position.step == self._position.total_steps:
            sending[0].join()

    patch.setattr(callbacks.CountSteps, "on_train_batch_end", count_and_signal)


def signal_in_test(patch, step, number=signal.SIGINT):
    """Lets a signal come to this process with the first batch of a test.

    Args:
        patch: As for `signal_at`.
        step: After which training step the test is, counted from 1.
        number: The signal's number.

    Returns:
        The batches that were tested after that step, a list that grows.
    """
    tested = []

    def signal_once(self, batch, logs=None):
        if self._position.step == step:
            tested.append(batch)
            if len(tested) == 1:
                signal.raise_signal(number)

    patch.setattr(callbacks.CountSteps, "on_test_batch_end", signal_once, raising=False)
    return tested
