"""Runs on parameter servers: what workers can't read or make."""

import json
import sys

from shimzoo.tests.training import image_files

from . import processes


def command(folder, out, *options):
    """What a task of a run is started with, in a folder of its own."""
    options = ["--strategy", "parameter_server", "--out", str(out), *map(str, options)]
    return ["env", "-C", str(folder), sys.executable, "-m", "shimzoo.cli", "train", *options]


def test_a_worker_without_the_images_stops_the_run(tmp_path):
    photos = tmp_path / "mounted" / "photos"
    image_files.write_folder(photos / "train", {"ant": 30, "bee": 30})
    image_files.write_folder(photos / "test", {"ant": 4, "bee": 4})
    (tmp_path / "not mounted").mkdir()
    out = tmp_path / "run"
    # A step has ten images, so a single one of that worker's is too much for an epoch of 60.
    some = ["--dataset", "folder:photos", "--batch-size", 10, "--epochs", 20]
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
        assert int(epoch.rstrip(":")) <= 20
        assert int(number) % 10 == 0 < int(number)


def test_a_worker_that_can_not_make_its_iterator_ends_the_run():
    job = [sys.executable, "-m", "shimzoo.tests.training.iterator_job"]
    addresses = json.dumps(processes.free_addresses(3))
    ((code, output),) = processes.results_of([[*job, addresses]], [processes.environ()])
    assert code == 1, output
    assert "steps: nowhere; No such file or directory. Once that is mended" in output
