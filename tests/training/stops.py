"""Signals that come to a run in one of its steps."""

import os
import signal
import threading

from shimzoo.training import callbacks


def signal_at(patch, step, number=signal.SIGINT, delay_s=0.0):
    """Lets a signal come to this process in a training step, or so long after it.

    Args:
        patch: A `pytest.MonkeyPatch`, or what sets attributes as it does.
        step: The step, counted from 1.
        number: The signal's number.
        delay_s: Seconds from then on.
    """
    count = callbacks.CountSteps.on_train_batch_end

    def count_and_signal(self, batch, logs=None):
        count(self, batch, logs)
        if self._position.step != step:
            return
        if delay_s:
            threading.Timer(delay_s, os.kill, (os.getpid(), number)).start()
        else:
            signal.raise_signal(number)

    patch.setattr(callbacks.CountSteps, "on_train_batch_end", count_and_signal)
