"""A run that is killed or told to stop again and again ends as one that nothing interrupted."""

import random
import signal

import pytest

from . import processes

SETTINGS = {
    "model": "mobilenet_v1_0.25_128",
    "stage": "native",
    "image_size": 32,
    "batch_size": 10,
    "epochs": 3,
    "warmup_examples": 60,
    "dropout_keep_prob": 0.5,
}
STEPS = 30
# A step takes a few hundredths of a second, and so does a checkpoint.
LONGEST_DELAY_S = 0.2


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "run"
    code, output = processes.run({"config": SETTINGS, "out": str(out)})
    assert code == 0, output
    return out


def chain(number, times, seed):
    large = [pytest.mark.large] if times > 2 else []
    name = signal.Signals(number).name
    return pytest.param(number, times, seed, marks=large, id=f"{name}-{times}-{seed}")


@pytest.mark.parametrize(
    ("number", "times", "seed"),
    [
        chain(number, times, seed)
        for number in (signal.SIGKILL, signal.SIGTERM)
        for times, seed in ((2, 0), (10, 1), (10, 2))
    ],
)
def test_stopped_at_random_steps_a_run_ends_with_the_same_weights(
    whole, tmp_path, number, times, seed
):
    chance = random.Random(seed)
    out = tmp_path / "run"
    codes = []
    for step in sorted(chance.sample(range(1, STEPS), times)):
        # Of a signal that leaves no time to react, the moment counts: amid a step, or a checkpoint.
        delay_s = chance.uniform(0, LONGEST_DELAY_S) if number == signal.SIGKILL else 0
        stopped = {"signal": number, "step": step, "delay_s": delay_s}
        resume = (out / "config.json").exists()
        code, output = processes.run(
            {"config": SETTINGS, "out": str(out), "resume": resume, **stopped}
        )
        expected = -number if number == signal.SIGKILL else 128 + number
        assert code in (expected, 0), output
        codes.append(code)
    # A late signal may find the run at its end.
    assert codes[0] != 0
    code, output = processes.run({"config": SETTINGS, "out": str(out), "resume": True})
    assert code == 0, output
    processes.assert_same_run(out, whole, SETTINGS, tolerance=0.0)
