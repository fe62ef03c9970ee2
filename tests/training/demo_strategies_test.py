"""The demo recipe on the command line, in every strategy that runs here and every version."""

import itertools
import json
import sys

import pytest
from shimzoo import models
from shimzoo.training.run_directory import RunDirectory

from . import processes

# An epoch of digits has 1,437 images, and the recipe's batch 64.
STEPS = 22
# The tasks of each strategy; the first one tells what goes on.
TASKS = {
    "one_device": ["alone"],
    "mirrored": ["alone"],
    "multi_worker": ["worker", "worker"],
    "parameter_server": ["chief", "ps", "worker"],
}
OPTIONS = {"mirrored": ["--replicas", "2"]}
# Together these have all strategies and all versions.
EVERYDAY = {
    ("one_device", "shimmed"),
    ("mirrored", "partially_native"),
    ("multi_worker", "native"),
    ("parameter_server", "native"),
}


def case(pair):
    return pytest.param(*pair, marks=[] if pair in EVERYDAY else [pytest.mark.large])


@pytest.mark.parametrize(
    ("strategy", "stage"), [case(pair) for pair in itertools.product(TASKS, models.STAGES)]
)
def test_the_demo_recipe_trains_an_epoch(strategy, stage, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "shimzoo.cli", "train", "--recipe", "demo", "--out", str(out)]
    command += ["--strategy", strategy, "--stage", stage, *OPTIONS.get(strategy, [])]
    command += ["--epochs", "1", "--log-every", "1"]
    tasks = TASKS[strategy]
    environs = processes.task_environs(tasks) if len(tasks) > 1 else [None]
    results = processes.results_of([command] * len(tasks), environs)
    assert [code for code, _ in results] == [0] * len(tasks), results
    assert "test accuracy" in results[0][1]
    resolved = json.loads((out / "config.json").read_text())["resolved"]
    assert resolved["strategy"] == strategy
    lines = RunDirectory(out).read_lines()
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    # Means over the epoch so far: of the first step, and of all.
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[-1]["accuracy"] > lines[0]["accuracy"]


def test_each_strategy_and_each_version_is_among_the_everyday_ones():
    strategies, stages = map(set, zip(*EVERYDAY, strict=True))
    assert strategies == set(TASKS)
    assert stages == set(models.STAGES)
