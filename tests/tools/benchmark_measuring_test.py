"""How a run ends: with all, with a part, or with nothing measured. No test asserts a time."""

import itertools
import os
import signal

import pytest
from shimzoo import cli
from shimzoo.tools.benchmark import (
    conversion,
    input_speed,
    measuring,
    progress,
    results_file,
    shim_overhead,
    start_up,
    throughput,
)
from shimzoo.tools.benchmark.rows import Row

BENCHMARKS = {
    "shim-overhead": shim_overhead.ShimOverhead,
    "throughput": throughput.Throughput,
    "input": input_speed.InputSpeed,
    "start-up": start_up.StartUp,
    "conversion": conversion.Conversion,
}


class Fake(measuring.Measuring):
    """Measures what it is told, and then is interrupted if it is told so."""

    name, titles, subjects = "fake", {"time": "time, ms"}, ("ours",)

    def __init__(self, samples, interrupt=False, during=lambda: None, hindered=()):
        self.hindered = dict(hindered)
        self.samples, self.interrupt, self.during = samples, interrupt, during
        self.facts, self.measured = {}, {}

    def measure(self, rounds):
        self.during()
        self.measured = self.samples
        if self.interrupt:
            raise KeyboardInterrupt

    def rows(self):
        return [
            Row.of(name, "time", "ms", taken)
            if taken
            else Row(name, "time", "ms", note="out of memory")
            for name, taken in self.measured.items()
        ]

    def notes(self):
        return ["as it is"]


def contenders(path):
    return [line["contender"] for line in results_file.read_csv(path) if line["median"]]


def test_a_run_is_shown_and_written(capsys, tmp_path):
    out = tmp_path / "x.csv"
    ending = measuring.carry_out(Fake({"ours": [1.0], "theirs": [2.0]}), 1, out)
    assert ending == measuring.Ending(0, is_written=True)
    assert contenders(out) == ["ours", "theirs"]
    assert {line["complete"] for line in results_file.read_csv(out)} == {"True"}
    shown = capsys.readouterr().out
    assert "as it is" in shown
    assert f"written: '{out}'" in shown


def test_ctrl_c_keeps_what_was_measured(capsys, tmp_path):
    out = tmp_path / "x.csv"
    ending = measuring.carry_out(Fake({"theirs": [2.0]}, interrupt=True), 1, out)
    assert ending == measuring.Ending(130, is_written=True)
    assert contenders(out) == ["theirs"]
    assert "interrupted before it began: this was measured so far" in capsys.readouterr().out
    assert {line["complete"] for line in results_file.read_csv(out)} == {"False"}


def test_sigterm_ends_a_run_as_ctrl_c_does(capsys, tmp_path):
    fake = Fake({"ours": [1.0]})
    far = fake.progress = progress.Progress(5)

    def measure(rounds):
        far.now("time, ms", rounds)
        far.begin_round(3)
        fake.measured = fake.samples
        os.kill(os.getpid(), signal.SIGTERM)

    fake.measure = measure
    before, out = signal.getsignal(signal.SIGTERM), tmp_path / "x.csv"
    assert measuring.carry_out(fake, 5, out) == measuring.Ending(143, is_written=True)
    assert signal.getsignal(signal.SIGTERM) == before
    assert {line["complete"] for line in results_file.read_csv(out)} == {"False"}
    assert "interrupted after 2 of 5 rounds of time, ms: this was" in capsys.readouterr().out


def test_a_run_without_a_number_of_what_it_is_about_has_failed(capsys, tmp_path):
    out = tmp_path / "x.csv"
    ending = measuring.carry_out(Fake({"ours": [], "theirs": [2.0]}), 1, out)
    assert ending == measuring.Ending(1, is_written=True)
    assert contenders(out) == ["theirs"]
    assert "ours: out of memory" in capsys.readouterr().out


def test_a_run_without_any_number_leaves_the_file_as_it_was(capsys, tmp_path):
    out = tmp_path / "x.csv"
    out.write_text("old")
    ending = measuring.carry_out(Fake({"ours": []}), 1, out)
    assert ending == measuring.Ending(1, is_written=False)
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]
    assert "nothing was measured: " in capsys.readouterr().out


def test_what_can_not_be_measured_is_known_before(capsys, tmp_path):
    out = tmp_path / "x.csv"
    fake = Fake({"theirs": [1.0]}, hindered={"ours": "not installed"}, during=lambda: 1 / 0)
    with pytest.raises(ValueError, match="ours can't be measured: not installed"):
        measuring.carry_out(fake, 1, out)
    assert not out.exists()
    told = []
    fake = Fake(
        {"ours": [1.0]},
        hindered={"theirs": "not installed: pip install [theirs]"},
        during=lambda: told.append(capsys.readouterr().err),
    )
    assert measuring.carry_out(fake, 1).exit_code == 0
    assert told == ["theirs takes no part: not installed: pip install [theirs]\n"]


def test_results_are_of_the_commit_that_the_run_began_with(tmp_path, monkeypatch):
    commits = iter(["one", "another"])
    monkeypatch.setattr(results_file.provenance, "git_revision", lambda: next(commits))
    fake = Fake({"ours": [1.0]}, during=results_file.origin)
    measuring.carry_out(fake, 1, tmp_path / "x.csv")
    assert results_file.read_csv(tmp_path / "x.csv")[0]["git_commit"] == "one"


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("plot", [False, True])
def test_ctrl_c_before_the_first_number_leaves_the_file_as_it_was(
    capsys, tmp_path, monkeypatch, name, plot
):
    def interrupted(self, rounds):
        raise KeyboardInterrupt

    monkeypatch.setattr(BENCHMARKS[name], "measure", interrupted)
    out = tmp_path / "x.csv"
    out.write_text("old")
    options = ["--plot"] if plot else []
    assert cli.main(["benchmark", name, "--out", str(out), *options]) == 130
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]
    shown = capsys.readouterr().out
    assert "interrupted before it began: nothing was measured so far" in shown
    assert f"nothing was measured: '{out}' is not written" in shown
    assert "quartiles" not in shown


def test_how_far_it_was_is_told_in_whole_rounds(capsys):
    far = progress.Progress(10)
    assert far.reached == "before it began"
    far.now("building the models")
    assert far.reached == "while building the models"
    far.now("training step, ms", 20)
    reached = []
    for number in (-1, 0, 1, 2, 20):
        far.begin_round(number)
        reached.append(far.reached)
    whole = [0, 0, 0, 1, 19]
    assert reached == [f"after {done} of 20 rounds of training step, ms" for done in whole]
    assert capsys.readouterr().err.splitlines() == ["building the models", "training step, ms"]


def test_rounds_are_told_where_there_is_no_bar_and_they_take_long(capsys, monkeypatch):
    clock = itertools.count(step=6)
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    far = progress.Progress(10)
    far.now("decoding", 4)
    for number in range(5):
        far.begin_round(number)
    told = capsys.readouterr().err.splitlines()
    assert told == ["decoding", "decoding: round 1 of 4", "decoding: round 3 of 4"]


def test_nothing_is_cut_where_it_goes_to_no_terminal(capsys):
    name = "a_contender_of_" + 20 * "many_" + "words"
    fake = Fake({"ours": [1.0], name: [2.0] * 5}, hindered={"theirs": 40 * "because " + "of it"})
    measuring.carry_out(fake, 1)
    out, err = capsys.readouterr()
    [line] = [line for line in out.splitlines() if name in line]
    assert line.split() == [name, "2.00", "2.00..2.00", "2.00..2.00", "5"]
    assert len(err.splitlines()) == 1
