"""A run that is killed or told to stop again and again ends as one that nothing interrupted.

Each kind of signal stops a run 20 times at random moments: twice here, and the rest in what is
marked `large`.
"""

import random
import signal

import pytest

from . import processes

SETTINGS = {
    "model": "mobilenet_v1_0.25_128",
    "stage": "native",
    "image_size": 32,
    "batch_size": 10,
    "epochs": 6,
    "warmup_examples": 60,
    "dropout_keep_prob": 0.5,
    "log_every": 3,
}
STEPS = 60
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
STOPS_OF_EACH_SIGNAL = 20
# A step takes a few hundredths of a second, and so does a checkpoint.
LONGEST_DELAY_S = 0.2
# How often each signal comes, and settings; a run that saves after each step is mostly saving.
FEW = (2, {"ema_decay": 0.9, "save_every": 0.1})
MANY = ((9, {"save_every": None}), (9, {"save_every": 0.0}))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Gives the directory of a run that nothing interrupted, with or without averages."""
    made = {}

    def of(ema_decay):
        if ema_decay not in made:
            out = tmp_path_factory.mktemp("whole") / "run"
            config = SETTINGS | {"ema_decay": ema_decay}
            code, output = processes.run({"config": config, "out": str(out)})
            assert code == 0, output
            made[ema_decay] = out
        return made[ema_decay]

    return of


def test_the_signals_are_as_many_as_this_file_says():
    assert sum(times for times, _ in (FEW, *MANY)) == STOPS_OF_EACH_SIGNAL


@pytest.mark.parametrize(
    ("times", "settings"),
    [FEW, *(pytest.param(*chain, marks=pytest.mark.large) for chain in MANY)],
)
def test_stopped_at_random_moments_a_run_ends_with_the_same_weights(
    whole, tmp_path, times, settings
):
    chance = random.Random(times)
    job = {"config": SETTINGS | settings, "out": str(tmp_path / "run")}
    numbers = list(SIGNALS) * times
    chance.shuffle(numbers)
    # Of a signal the moment counts: amid a step, a checkpoint, or a test.
    steps = sorted(chance.sample(range(1, 2 * STEPS // 3), len(numbers)))
    for position, (step, number) in enumerate(zip(steps, numbers, strict=True)):
        stop = {"step": step, "signal": number, "delay_s": chance.uniform(0, LONGEST_DELAY_S)}
        code, output = processes.run({**job, **stop, "resume": position > 0})
        assert code == (-number if number == signal.SIGKILL else 128 + number), output
    code, output = processes.run({**job, "resume": True})
    assert code == 0, output
    expected = whole(settings.get("ema_decay"))
    processes.assert_same_run(tmp_path / "run", expected, SETTINGS, tolerance=0.0)
