"""Signals that come to a run in one of its steps."""

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
