"""What an epoch tells of its speed, and of the time that it waited for its input."""

import io
import time
import types

import pytest
import rich.console
from shimzoo.training.checkpointing import Position
from shimzoo.training.measurements import Throughput
from shimzoo.training.progress import ProgressBar

BATCH_SIZE = 8
LOGS = {"loss": 1.0, "accuracy": 0.5, "val_accuracy": 0.25}


class Steps:
    """Steps of two seconds each, of which a part is waiting for input."""

    def __init__(self, monkeypatch, waited_s, is_measured=True):
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        self._waited_s = waited_s
        self._timing = types.SimpleNamespace(waited_s=0.0)
        self._position = Position(steps_per_epoch=4, epochs=2, metrics=[])
        timing = self._timing if is_measured else None
        self.throughput = Throughput(self._position, BATCH_SIZE, timing)
        self._out = io.StringIO()
        console = rich.console.Console(file=self._out, width=200)
        self._bar = ProgressBar(console, self._position, self.throughput, epochs=2)

    def epoch(self, number):
        """Takes the steps of an epoch; returns what is printed at its end."""
        with self._bar:
            for callback in (self.throughput, self._bar):
                callback.on_epoch_begin(number)
            for batch in range(4):
                self._take_one(batch)
            # A test reads other images, and what prefetches those of training goes on.
            self.now += 100.0
            self._timing.waited_s += 50.0
            self._bar.on_epoch_end(number, LOGS)
        return self._out.getvalue().splitlines()[-1]

    def _take_one(self, batch):
        self.now += 2.0
        self._timing.waited_s += self._waited_s
        self._position.step += 1
        for callback in (self.throughput, self._bar):
            callback.on_train_batch_end(batch, LOGS)


@pytest.mark.parametrize(
    ("waited_s", "told"), [(0.02, "input 1 % of the time"), (1.0, "input-bound: input 50 %")]
)
def test_the_steps_but_the_first_count_and_what_is_between_epochs_does_not(
    waited_s, told, monkeypatch
):
    steps = Steps(monkeypatch, waited_s)
    for number, measured in ((0, 3), (1, 4)):
        line = steps.epoch(number)
        assert line.startswith(f"epoch {number + 1}/2  loss 1.000")
        assert "4 images/s" in line
        assert told in line
        assert steps.throughput.seconds == pytest.approx(2.0 * measured)
        assert steps.throughput.input_wait_s == pytest.approx(waited_s * measured)


def test_where_others_read_nothing_is_told_of_the_input(monkeypatch):
    steps = Steps(monkeypatch, 1.0, is_measured=False)
    assert "input" not in steps.epoch(0)
    assert steps.throughput.input_wait_s is None
