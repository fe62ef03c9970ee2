"""Runs of several processes: they train as one, and go on after one of them was killed."""

import json
import math
import signal

import pytest
import tensorflow as tf
from shimzoo.training.run_directory import RunDirectory

from . import processes, run_records

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


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The directory of a run of one process with two replicas."""
    out = tmp_path_factory.mktemp("alone") / "run"
    # Not in this process: TensorFlow sums nothing over replicas twice in one with other shapes.
    code, output = processes.run(job(out, MIRRORED))
    assert code == 0, output
    for number, part in ((100, "training"), (TEST_IMAGES, "test")):
        assert f"{len(BAD)} of {number} {part} images could not be used" in output
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
    code, output = processes.run(job(out, MIRRORED, step=7, signal=signal.SIGTERM))
    assert code == 128 + signal.SIGTERM, output
    code, output = processes.run(job(out, MIRRORED, resume=True))
    assert code == 0, output
    processes.assert_same_run(out, alone, SETTINGS, TOLERANCE)


def test_two_workers_of_which_one_is_killed_end_as_one_process_with_two_replicas(alone, tmp_path):
    out = tmp_path / "run"
    # In the second epoch, of which the checkpoint is the one of the first epoch's test.
    chief = job(out, SPREAD, recipe="demo")
    killed = job(out, SPREAD, recipe="demo", step=7, signal=signal.SIGKILL)
    (code, output), (worker, _) = processes.run_cluster([chief, killed], ["worker"] * 2)
    assert worker == -signal.SIGKILL
    assert code == 1, output
    # What could not be used is told by the one process that tells what goes on.
    assert f"epoch 1: {len(BAD)} of 100 training images could not be used" in output
    assert "error: The run in" in output
    assert "steps: Worker 1 was lost. Once" in output
    assert "--resume continues it" in output
    results = processes.run_cluster([job(out, SPREAD, resume=True)] * 2, ["worker"] * 2)
    assert_ok(results)
    processes.assert_same_run(out, alone, SETTINGS, TOLERANCE)
    # One of them tells what goes on and writes.
    for told in ("resumed  after 5 of 15 steps", "expected test accuracy 0.9700, measured here"):
        assert [told in output for _, output in results] == [True, False]
    record = json.loads((out / "config.json").read_text())["resolved"]
    assert (record["strategy"], record["replicas"]) == ("multi_worker", 2)


@pytest.mark.large
def test_two_workers_that_are_told_to_stop_end_as_one_process_with_two_replicas(alone, tmp_path):
    out = tmp_path / "run"
    # With an epoch's last step, one of them is told to stop: both do, before the test. The other
    # is not left alone with its writing, as schedulers end all where one has ended.
    chief = job(out, SPREAD, list_after_s=10.0)
    preempted = job(out, SPREAD, step=5, signal=signal.SIGTERM)

    def wait_for_the_second(running):
        running[1].wait(processes.DEADLINE_S)
        saved = out / "checkpoints"
        assert tf.train.latest_checkpoint(str(saved)) == str(saved / "step-5")

    results = processes.run_cluster(
        [chief, preempted], ["worker"] * 2, meanwhile=wait_for_the_second
    )
    assert [code for code, _ in results] == [128 + signal.SIGTERM] * 2, results
    assert not (out / "metrics.jsonl").exists()
    # Amid the next epoch's test, the first one is told; that epoch has checkpoints in its midst.
    often = SPREAD | {"save_every": 0.0}
    told = job(out, often, step=10, signal=signal.SIGTERM, in_test=True, resume=True)
    results = processes.run_cluster([told, job(out, often, resume=True)], ["worker"] * 2)
    assert [code for code, _ in results] == [128 + signal.SIGTERM] * 2, results
    assert [line["epoch"] for line in RunDirectory(out).read_metrics()] == [1]
    assert steps_saved(out) == [5, 9, 10]
    results = processes.run_cluster([job(out, SPREAD, resume=True)] * 2, ["worker"] * 2)
    assert_ok(results)
    # What could not be used was read by the processes before.
    assert f"epoch 2: {len(BAD)} of 100 training images could not be used" in results[0][1]
    processes.assert_same_run(out, alone, SETTINGS, TOLERANCE)


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
    # As many images and classes, of which one worker has one otherwise, among those to train on.
    jobs = [job(out, SPREAD), job(out, SPREAD) | {"without_label": (95, *BAD)}]
    results = processes.run_cluster(jobs, ["worker"] * 2)
    for code, output in results:
        assert code == 2, output
        assert "error: The 2 processes don't have the same data: train_fingerprint is " in output
    assert not out.exists()


@pytest.mark.parametrize(
    ("how", "code", "told", "of_all"),
    [
        ("error", 2, "error: There is no such data", "error: Worker 1 could not load its data"),
        ("death", -signal.SIGKILL, "", "error: Worker 1 was lost. That was before the training"),
    ],
)
def test_a_worker_that_fails_before_the_training_ends_all(how, code, told, of_all, tmp_path):
    out = tmp_path / "run"
    jobs = [job(out, SPREAD), job(out, SPREAD, while_loading=how)]
    (chief, output), (worker, of_worker) = processes.run_cluster(jobs, ["worker"] * 2)
    assert (chief, worker) == (2 if how == "error" else 1, code), output
    assert of_all in output
    assert told in of_worker
    assert not out.exists()


def served_run_that_is_stopped(out, stop):
    """The results of a chief, a server and a worker, of which some get signals amid an epoch."""

    def stop_amid_an_epoch(running):
        lines = out / "metrics.jsonl"
        processes.wait_until(lambda: lines.exists() and lines.read_text().count("\n") > 1, running)
        stop(*running)

    long = SERVED | {"epochs": 1000, "log_every": 3, "learning_rate": 1e-3}
    roles = ["chief", "ps", "worker"]
    return processes.run_cluster([job(out, long)] * 3, roles, meanwhile=stop_amid_an_epoch)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_tasks_ends_a_served_run_with_a_checkpoint(number, tmp_path):
    out = tmp_path / "run"

    def stop(*running):
        for process in reversed(running):
            process.send_signal(number)

    results = served_run_that_is_stopped(out, stop)
    # The others die of the signal, which a shell tells as the chief's code.
    assert [code for code, _ in results] == [128 + number, -number, -number], results
    assert (out / "checkpoints" / f"step-{run_records.updates(out)}.index").exists()


def test_a_chief_that_is_told_to_stop_does_not_wait_for_a_lost_worker(tmp_path):
    out = tmp_path / "run"

    def stop(chief, _, worker):
        worker.kill()
        worker.wait()
        chief.send_signal(signal.SIGTERM)

    (code, output), (server, _), _ = served_run_that_is_stopped(out, stop)
    assert code == 1, output
    assert "steps: The worker was lost, with steps under way. Once that is" in output
    assert server == 0


def test_the_loss_of_a_parameter_server_is_told(tmp_path):
    (code, output), *_ = served_run_that_is_stopped(tmp_path / "run", lambda _, ps, __: ps.kill())
    assert code == 1, output
    assert "steps: Parameter server 0 was lost. Once that is" in output


def test_a_worker_with_a_parameter_server_trains_as_one_device(tmp_path):
    # Devices round differently now and then, and each later step multiplies that.
    short = {"epochs": 1}
    assert_ok([processes.run(job(tmp_path / "one", {"strategy": "one_device"} | short))])
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
    assert run_records.updates(out) == 7
    assert (out / "checkpoints" / "step-7.index").exists()


@pytest.mark.large
def test_two_workers_with_two_parameter_servers_take_all_steps_between_them(tmp_path):
    out = tmp_path / "run"
    roles = ["chief", "ps", "ps", "worker", "worker"]
    slow = SERVED | {"learning_rate": 0.01}
    assert_ok(processes.run_cluster([job(out, slow)] * 5, roles))
    assert [line["step"] for line in run_records.metrics(out)] == [5, 10, 15]
    assert all(math.isfinite(line["test_loss"]) for line in run_records.metrics(out))
    assert run_records.updates(out) == 15


@pytest.mark.large
def test_a_worker_goes_on_while_another_is_held_up(tmp_path):
    out = tmp_path / "run"
    long = SERVED | {"epochs": 1000, "batch_size": 1, "log_every": 1, "learning_rate": 1e-5}
    # So many steps are more than are given out without that one is done.
    more, steps = 12, 100

    def logged():
        file = out / "metrics.jsonl"
        return file.read_text().count("\n") if file.exists() else 0

    def hold_one(running):
        chief, _, _, worker = running
        # Not at an epoch's end, which waits for all its steps; an epoch has a line more than steps.
        processes.wait_until(
            lambda: 4 < logged() % (steps + 1) < steps - 4 * more and logged(), running
        )
        worker.send_signal(signal.SIGSTOP)
        before = logged()
        processes.wait_until(lambda: logged() >= before + more, running)
        worker.send_signal(signal.SIGCONT)
        chief.send_signal(signal.SIGTERM)

    roles = ["chief", "ps", "worker", "worker"]
    (code, output), *_ = processes.run_cluster([job(out, long)] * 4, roles, meanwhile=hold_one)
    assert code == 128 + signal.SIGTERM, output


def steps_saved(out):
    names = (path.stem for path in (out / "checkpoints").glob("step-*.index"))
    return sorted(int(name.removeprefix("step-")) for name in names)
