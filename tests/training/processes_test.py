"""Runs of several processes: they train as one, and go on after one of them was killed."""

import contextlib
import dataclasses
import functools
import io
import json
import math
import signal

import pytest
import tensorflow as tf
from shimzoo.training import DEMO, TrainingInterrupted, run, train
from shimzoo.training.run_directory import RunDirectory

from . import processes
from .few_digits import load_few
from .stops import signal_at

MIRRORED = {"strategy": "mirrored", "replicas": 2}
SPREAD = {"strategy": "multi_worker"}
SERVED = {"strategy": "parameter_server"}
SETTINGS = {
    "model": "mobilenet_v1_0.25_128",
    "stage": "native",
    "image_size": 32,
    "batch_size": 20,
    "epochs": 3,
    "warmup_examples": 60,
    "dropout_keep_prob": 0.5,
    "label_smoothing": 0.1,
    "ema_decay": 0.9,
    "max_bad_fraction": 0.1,
}
# Images that have no class, and so weigh nothing. In their places stands the first image of the
# worker's share of the batch, so these are, in all three epochs, in the first worker's share.
BAD = (29, 37, 39)
# Three batches, so that the first of two workers has one more than the second.
TEST_IMAGES = 50
DATA = {"without_label": BAD, "test_images": TEST_IMAGES}
# Sums of the same numbers over processes or devices, in the same order.
TOLERANCE = 1e-6


def job(out, strategy, **more):
    return {"config": SETTINGS | strategy, "out": str(out), **DATA, **more}


def train_here(out, strategy, **options):
    """A run in this process, which conftest.py has given two devices."""
    config = dataclasses.replace(DEMO.config, **(SETTINGS | strategy))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "load_dataset", functools.partial(load_few, **DATA))
        train(config, out=out, **options)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The directory of a run of one process with two replicas."""
    out = tmp_path_factory.mktemp("alone") / "run"
    with contextlib.redirect_stdout(io.StringIO()) as output:
        train_here(out, MIRRORED)
    for number, part in ((100, "training"), (TEST_IMAGES, "test")):
        assert f"{len(BAD)} of {number} {part} images could not be used" in output.getvalue()
    return out


def assert_ok(results):
    for code, output in results:
        assert code == 0, output


@pytest.mark.large
@pytest.mark.parametrize("origin", ["TF_CONFIG", "SLURM"])
def test_two_workers_train_as_one_process_with_two_replicas(alone, origin, tmp_path):
    out = tmp_path / "run"
    port = processes.free_port_pair()

    def step_of_slurm(number):
        return {
            "SLURM_PROCID": str(number),
            "SLURM_STEP_NUM_TASKS": "2",
            "SLURM_STEP_NODELIST": "localhost",
            "SLURM_STEP_TASKS_PER_NODE": "2",
            "SLURM_STEP_RESV_PORTS": f"{port}-{port + 1}",
        }

    environment = step_of_slurm if origin == "SLURM" else None
    results = processes.run_cluster([job(out, SPREAD)] * 2, ["worker"] * 2, environment)
    assert_ok(results)
    processes.assert_same_run(out, alone, SETTINGS, TOLERANCE)
    record = json.loads((out / "config.json").read_text())["resolved"]
    assert (record["strategy"], record["replicas"]) == ("multi_worker", 2)
    # One of them tells what goes on, writes, and has what the run gave.
    for told in ("3 epochs of 5 steps", "ended with a result"):
        assert [told in output for _, output in results] == [True, False]


def test_a_run_on_two_replicas_goes_on_where_it_was(alone, tmp_path):
    out = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, 7, signal.SIGTERM)
        with pytest.raises(TrainingInterrupted):
            train_here(out, MIRRORED)
    train_here(out, MIRRORED, resume=True)
    processes.assert_same_run(out, alone, SETTINGS, TOLERANCE)


def test_two_workers_that_are_stopped_and_killed_end_as_one_process_with_two_replicas(
    alone, tmp_path
):
    out = tmp_path / "run"
    # With an epoch's last step, one of them is told to stop: both do, before the test.
    chief = job(out, SPREAD, recipe="demo")
    preempted = job(out, SPREAD, recipe="demo", step=5, signal=signal.SIGTERM)
    results = processes.run_cluster([chief, preempted], ["worker"] * 2)
    assert [code for code, _ in results] == [128 + signal.SIGTERM] * 2, results
    assert (out / "checkpoints" / "step-5.index").exists()
    assert not (out / "metrics.jsonl").exists()
    # In that test, the first one is told.
    told = job(out, SPREAD, step=5, signal=signal.SIGTERM, in_test=True, resume=True)
    results = processes.run_cluster([told, job(out, SPREAD, resume=True)], ["worker"] * 2)
    assert [code for code, _ in results] == [128 + signal.SIGTERM] * 2, results
    assert not RunDirectory(out).read_metrics()
    # In mid-epoch, one of them is killed; the last checkpoint is of the epoch before.
    killed = job(out, SPREAD, step=12, signal=signal.SIGKILL, resume=True)
    (chief, output), (worker, _) = processes.run_cluster(
        [job(out, SPREAD, resume=True), killed], ["worker"] * 2
    )
    assert worker == -signal.SIGKILL
    assert chief == 1, output
    # What could not be used was read by the processes before.
    assert f"epoch 1: {len(BAD)} of 100 training images could not be used" in output
    assert "error: The run in" in output
    assert "--resume continues it" in output
    results = processes.run_cluster([job(out, SPREAD, resume=True)] * 2, ["worker"] * 2)
    assert_ok(results)
    processes.assert_same_run(out, alone, SETTINGS, TOLERANCE)
    # One of them tells what goes on and writes.
    for told in ("resumed  after 10 of 15 steps", "expected test accuracy 0.9700, measured here"):
        assert [told in output for _, output in results] == [True, False]
    record = json.loads((out / "config.json").read_text())["resolved"]
    assert (record["strategy"], record["replicas"]) == ("multi_worker", 2)


@pytest.mark.large
def test_workers_with_other_settings_are_told_before_anything_is_written(tmp_path):
    out = tmp_path / "run"
    rates = (0.25, 0.5)
    jobs = [job(out, SPREAD | {"learning_rate": rate}) for rate in rates]
    results = processes.run_cluster(jobs, ["worker"] * 2)
    for (code, output), rate in zip(results, rates, strict=True):
        assert code == 2, output
        assert f"don't have the same settings: learning_rate is {rate} here, and not" in output
    assert not out.exists()


@pytest.mark.large
def test_workers_with_other_data_are_told_before_anything_is_written(tmp_path):
    out = tmp_path / "run"
    # As many images and classes, of which one worker has one otherwise.
    jobs = [job(out, SPREAD), job(out, SPREAD) | {"without_label": (45, *BAD)}]
    results = processes.run_cluster(jobs, ["worker"] * 2)
    for code, output in results:
        assert code == 2, output
        assert "error: The 2 processes don't have the same data: train_fingerprint is " in output
    assert not out.exists()


def test_a_worker_with_a_parameter_server_trains_as_one_device(tmp_path):
    # Devices round differently now and then, and each later step multiplies that.
    short = {"epochs": 1}
    train_here(tmp_path / "one", {"strategy": "one_device"} | short)
    out = tmp_path / "served"
    assert_ok(processes.run_cluster([job(out, SERVED | short)] * 3, ["chief", "ps", "worker"]))
    processes.assert_same_run(out, tmp_path / "one", SETTINGS, TOLERANCE)


@pytest.mark.large
def test_a_checkpoint_has_the_steps_that_workers_had_under_way(tmp_path):
    out = tmp_path / "run"
    chief = job(out, SERVED, step=7, signal=signal.SIGTERM)
    roles = ["chief", "ps", "worker", "worker"]
    results = processes.run_cluster([chief, *[job(out, SERVED)] * 3], roles)
    assert results[0][0] == 128 + signal.SIGTERM, results[0]
    assert updates(out) == 7
    assert (out / "checkpoints" / "step-7.index").exists()


@pytest.mark.large
def test_two_workers_with_two_parameter_servers_take_all_steps_between_them(tmp_path):
    out = tmp_path / "run"
    roles = ["chief", "ps", "ps", "worker", "worker"]
    slow = SERVED | {"learning_rate": 0.01}
    assert_ok(processes.run_cluster([job(out, slow)] * 5, roles))
    assert [line["step"] for line in processes.metrics(out)] == [5, 10, 15]
    assert all(math.isfinite(line["test_loss"]) for line in processes.metrics(out))
    assert updates(out) == 15


def updates(out):
    """Updates of the weights that a run's last checkpoint has."""
    checkpoint = tf.train.load_checkpoint(str(out / "checkpoints"))
    names = checkpoint.get_variable_to_shape_map()
    (iterations,) = (name for name in names if "optimizer/_iterations" in name)
    return checkpoint.get_tensor(iterations)
