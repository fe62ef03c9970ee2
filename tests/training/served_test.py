"""Runs on parameter servers: what workers can't read or make, and that lost ones come back."""

import json
import signal
import sys
import time

import pytest
from shimzoo.tests.training import image_files
from shimzoo.training.run_directory import RunDirectory

from . import processes, run_records

# More steps than are given out without that one is done.
MORE = 12
# How long these may take, on a machine that does much else.
HELD_UP_S = 2.0


def command(folder, out, *options):
    """What a task of a run is started with, in a folder of its own."""
    options = ["--strategy", "parameter_server", "--out", str(out), *map(str, options)]
    return ["env", "-C", str(folder), sys.executable, "-m", "shimzoo.cli", "train", *options]


def lines(out):
    """How many lines of metrics a run has written."""
    file = out / "metrics.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


@pytest.mark.large
def test_a_worker_without_the_images_stops_the_run(tmp_path):
    photos = tmp_path / "mounted" / "photos"
    image_files.write_folder(photos / "train", {"ant": 30, "bee": 30})
    image_files.write_folder(photos / "test", {"ant": 4, "bee": 4})
    (tmp_path / "not mounted").mkdir()
    out = tmp_path / "run"
    # A step has ten images, so a single one of that worker's is too much for an epoch of 60.
    some = ["--dataset", "folder:photos", "--batch-size", 10, "--epochs", 6]
    places = ["mounted"] * 3 + ["not mounted"]

    def results(*options):
        commands = [command(tmp_path / place, out, *some, *options) for place in places]
        environs = processes.task_environs(["chief", "ps", "worker", "worker"])
        return processes.results_of(commands, environs)

    (code, output), *_ = results("--max-bad-fraction", 0.1)
    assert code == 1, output
    line = output.splitlines()[-1]
    assert " of 60 training images could not be used by the workers that read them" in line
    assert "more than the 6 that max_bad_fraction=0.1 allows" in line
    # Where that is allowed, each epoch says how many there were.
    resumed = results("--max-bad-fraction", 1.0, "--resume")
    assert [code for code, _ in resumed] == [0] * 4, resumed
    told = [line for line in resumed[0][1].splitlines() if "could not be used by" in line]
    assert told
    for line in told:
        epoch, number = line.removeprefix("epoch ").split()[:2]
        assert int(epoch.rstrip(":")) <= 6
        assert int(number) % 10 == 0 < int(number)


def test_a_worker_that_can_not_make_its_iterator_ends_the_run():
    job = [sys.executable, "-m", "shimzoo.tests.training.iterator_job"]
    addresses = json.dumps(processes.free_addresses(3))
    ((code, output),) = processes.results_of([[*job, addresses]], [processes.environ()])
    assert code == 1, output
    assert "steps: nowhere; No such file or directory. Once that is mended" in output


@pytest.mark.large
def test_a_worker_that_is_started_again_is_taken_up(tmp_path):
    out = tmp_path / "run"
    environs = processes.task_environs(["chief", "ps", "worker", "worker"])
    steps = 1437
    slow = ["--batch-size", 1, "--epochs", 1, "--log-every", 1, "--learning-rate", 1e-5]
    commands = [command(tmp_path, out, *slow)] * len(environs)

    def takes_steps_alone(other, running):
        """Whether the run gets on while that worker is held up, but for what waits for it."""
        other.send_signal(signal.SIGSTOP)
        before, end = lines(out), time.monotonic() + HELD_UP_S
        while time.monotonic() < end and lines(out) < before + MORE:
            assert all(process.poll() is None for process in running)
            time.sleep(0.05)
        other.send_signal(signal.SIGCONT)
        return lines(out) >= before + MORE

    def kill_and_start_again(running):
        chief, server, first, second = running
        processes.wait_until(lambda: lines(out) > MORE, running)
        second.send_signal(signal.SIGKILL)
        second.wait()
        left = [chief, server, first]
        before = lines(out)
        processes.wait_until(lambda: lines(out) > before + MORE, left)  # The other one goes on.
        with processes.started(commands[3], environs[3]) as (again, output):
            processes.wait_until(lambda: takes_steps_alone(first, [*left, again]), left)
            chief.wait(processes.DEADLINE_S)
            assert again.wait(processes.DEADLINE_S) == 0, processes.text_of(output)

    results = processes.results_of(commands, environs, kill_and_start_again)
    assert [code for code, _ in results] == [0, 0, 0, -signal.SIGKILL], results
    assert RunDirectory(out).read_metrics()[-1]["step"] == steps
    # What the killed worker had under way is taken again, of which it may have made the update.
    assert run_records.updates(out) in (steps, steps + 1)
