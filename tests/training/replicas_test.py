"""Devices and processes take the steps that one device takes, and all of them the same ones."""

import contextlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from . import two_heads
from .processes import DEADLINE_S, free_addresses
from .replicas_job import OVERFLOWING, TEST_LOSS

SETTINGS = {
    "averages": {"optimizer": "rmsprop", "ema_decay": 0.9, "label_smoothing": 0.1},
    "decoupled decay": {"optimizer": "adamw", "decoupled_weight_decay": 0.1},
    "clipping": {"clip_global_norm": 0.05},
    "float16": {"precision": "mixed_float16", "clip_norm": 0.02},
    "overflow": {"precision": "mixed_float16", "ema_decay": 0.9, "momentum": 0.9},
}
# These take a message more in each step, which all processes have to send.
OF_PROCESSES = ("clipping", "overflow")
TWO_DEVICES = {"strategy": "mirrored", "replicas": 2}
TWO_PROCESSES = {"strategy": "multi_worker"}
SCALE = "dynamic_scale"


@contextlib.contextmanager
def started(job, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    process = subprocess.Popen(
        [sys.executable, "-m", "shimzoo.tests.training.replicas_job", json.dumps(job)],
        env={**environment, "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def states(strategy, names, folder):
    """Of each process and replica, by run, step and variable, the state after each step."""
    environments = [{}]
    if strategy == TWO_PROCESSES:
        cluster = {"worker": free_addresses(2)}
        tasks = [{"type": "worker", "index": index} for index in range(2)]
        environments = [
            {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks
        ]
    files = [folder / f"{number}.npz" for number in range(len(environments))]
    runs = {name: SETTINGS[name] for name in names}
    job = {"strategy": strategy, "runs": runs, "overflowing": ["overflow"]}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(started({**job, "out": str(file)}, **environment))
            for file, environment in zip(files, environments, strict=True)
        ]
        for process in processes:
            _, error = process.communicate(timeout=DEADLINE_S)
            assert process.returncode == 0, error
    found = [dict(np.load(file)) for file in files]
    copies = len(next(iter(found[0].values())))
    return [{key: v[i] for key, v in one.items()} for one in found for i in range(copies)]


def of(state, *start):
    """The part of a state whose names start so, without that start."""
    prefix = " ".join(map(str, start)) + " "
    return {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The states of one device."""
    one_device = {"strategy": "one_device"}
    (found,) = states(one_device, SETTINGS, tmp_path_factory.mktemp("alone"))
    return found


@pytest.fixture(scope="module")
def devices(tmp_path_factory):
    """The states of two devices."""
    return states(TWO_DEVICES, SETTINGS, tmp_path_factory.mktemp("devices"))


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """The states of two processes."""
    return states(TWO_PROCESSES, OF_PROCESSES, tmp_path_factory.mktemp("processes"))


def assert_train_as(alone, both, name):
    expected = of(alone, name)
    assert np.isfinite(expected[TEST_LOSS])
    if TEST_LOSS not in of(both[0], name):
        del expected[TEST_LOSS]
    for state in both:
        found = of(state, name)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", SETTINGS)
def test_two_devices_train_as_one_with_decay_counted_once(alone, devices, name):
    assert len(devices) == 2
    assert_train_as(alone, devices, name)


@pytest.mark.parametrize("name", OF_PROCESSES)
def test_two_processes_train_as_one(alone, processes, name):
    assert len(processes) == 2
    assert_train_as(alone, processes, name)


def test_a_step_with_an_overflow_changes_nothing_but_the_scale(alone):
    before, skipped, last = (of(alone, "overflow", OVERFLOWING + i) for i in (-1, 0, 1))
    changed = {name for name, v in before.items() if not np.array_equal(v, skipped[name])}
    # Of its own state the scale, and the number of steps since it was last changed.
    assert {name.rpartition(" ")[2] for name in changed} == {SCALE, "step_counter"}
    (scale,) = (name for name in changed if name.endswith(SCALE))
    assert skipped[scale] == before[scale] / 2
    assert last[scale] == skipped[scale]
    for name in before:
        if name.startswith("weight ") or name.endswith("ExponentialMovingAverage"):
            assert not np.array_equal(skipped[name], last[name]), name


def test_gradients_are_longer_than_they_are_clipped_to(alone):
    steps = [of(alone, "clipping", step) for step in range(2)]
    moved = [steps[1][name] - v for name, v in steps[0].items() if name.startswith("weight ")]
    length = np.sqrt(sum(np.sum(np.square(one)) for one in moved))
    rate, clip = two_heads.CONFIG.learning_rate, SETTINGS["clipping"]["clip_global_norm"]
    assert length == pytest.approx(rate * clip, rel=1e-4)
