"""`shimzoo train` as real processes: what is printed, Ctrl-C, resuming."""

import json
import os
import pathlib
import pty
import re
import shlex
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest

README = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text()
SHIMZOO = [sys.executable, "-m", "shimzoo.cli"]
# 64 steps of 22 images.
SETTINGS = ["--batch-size", "22", "--epochs", "2"]
PATIENCE_S = 300


def run(*arguments, cwd):
    return subprocess.run(
        [*SHIMZOO, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run, in `run` below a directory of its own, and its process."""
    directory = tmp_path_factory.mktemp("whole")
    return run("train", *SETTINGS, "--out", "run", cwd=directory), directory / "run"


def final_weights(directory):
    values = {}
    with h5py.File(directory / "final.weights.h5") as file:
        file.visititems(
            lambda name, entry: (
                values.update({name: entry[()]}) if isinstance(entry, h5py.Dataset) else None
            )
        )
    return values


def test_a_run_prints_what_it_is_and_gives_and_nothing_like_an_error(whole):
    process, directory = whole
    assert (process.returncode, process.stderr) == (0, "")
    out = process.stdout
    assert "mobilenet_v1_0.25_128, native, 215,642 parameters" in out
    assert "1,437 training and 360 test images" in out
    assert "2 epochs of 65 steps, global batch 22" in out
    assert "float32, jit_compile False" in out
    # The recipe's accuracy stands at both ends, with what of its settings was changed.
    expected = json.loads((directory / "config.json").read_text())["recipe"]["expected"]
    assert expected.startswith("0.9700, measured here")
    assert expected.endswith("; not the recipe's: batch_size, epochs")
    assert told_as_expected(out) == [f"test accuracy {expected}", expected]
    result = json.loads((directory / "result.json").read_text())
    assert re.search(rf"test accuracy +{result['test_accuracy']:.4f}", out)
    for words in ("stage +native", "images/s +[1-9]", "wall time +[1-9]", "run/curve.png"):
        assert re.search(words, out)


def told_as_expected(out):
    return re.findall("^expected +(.*)$", out, re.MULTILINE)


def test_the_readme_shows_the_closing_table(whole):
    def names(table):
        return [re.split("  +", line)[0] for line in table.strip().splitlines()]

    shown = re.search("```text\n(stage .*?)```", README, re.DOTALL)[1]
    assert names(shown) == names(whole[0].stdout.rpartition("\n\n")[2])


def test_away_from_a_terminal_there_is_a_line_an_epoch_and_no_control_code(whole):
    out = whole[0].stdout
    lines = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]
    for line in lines:
        for word in ("loss", "accuracy", "test", "images/s", "ETA"):
            assert word in line
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out)


def test_a_second_run_of_the_same_directory_is_refused(whole):
    before = {path: path.stat().st_mtime_ns for path in whole[1].rglob("*")}
    process = run("train", *SETTINGS, "--out", "run", cwd=whole[1].parent)
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    assert "--overwrite" in process.stderr
    assert {path: path.stat().st_mtime_ns for path in whole[1].rglob("*")} == before


@pytest.mark.large
def test_of_two_commands_with_one_new_directory_one_trains(tmp_path):
    processes = [
        subprocess.Popen(
            [*SHIMZOO, "train", *SETTINGS, "--out", "run"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=PATIENCE_S) for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 2]
    _, error = outputs[codes.index(2)]
    assert error.count("\n") == 1
    assert "is in use by another process" in error or "has a run already" in error
    assert (tmp_path / "run" / "result.json").exists()


def test_ctrl_c_and_the_command_it_prints_lead_to_the_same_weights(whole, tmp_path):
    process = subprocess.Popen(
        [*SHIMZOO, "train", *SETTINGS, "--out", "a run"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    directory = tmp_path / "a run"
    wait_for(directory / "metrics.jsonl", process)  # Written after the first of two epochs.
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, err) == (130, "")
    assert not (directory / "result.json").exists()
    line = out.splitlines()[-1]
    stopped, command = re.fullmatch(r"stopped after (\d+) of 130 steps.*: (.*)", line).groups()
    assert 65 <= int(stopped) < 130

    different = run("train", "--resume", "--out", "a run", "--epochs", "3", cwd=tmp_path)
    assert different.returncode == 2
    assert "epochs is 3 now and was 2" in different.stderr

    resumed = subprocess.run(
        shlex.split(command), cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert (resumed.returncode, resumed.stderr) == (0, "")
    assert f"after {stopped} of 130 steps" in resumed.stdout
    assert told_as_expected(resumed.stdout) == told_as_expected(whole[0].stdout)
    expected, weights = final_weights(whole[1]), final_weights(directory)
    assert weights.keys() == expected.keys()
    for name, value in weights.items():
        # As the page promises for one CPU device: bit for bit.
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def wait_for(path, process):
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_on_a_terminal_there_is_a_bar_with_figures(tmp_path):
    main_end, terminal = pty.openpty()
    process = subprocess.Popen(
        [*SHIMZOO, "train", *SETTINGS, "--out", "run"],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    shown = read_until(main_end, rb"epoch 1/2.*loss \d.*accuracy \d.*images/s.*ETA")
    assert b"\x1b[" in shown
    process.send_signal(signal.SIGTERM)
    read_until(main_end, rb"continue with: .* train --resume --out run")
    assert process.wait(timeout=PATIENCE_S) == 128 + signal.SIGTERM


def read_until(descriptor, pattern):
    shown = b""
    while not re.search(pattern, shown):
        shown += os.read(descriptor, 65536)
    return shown
