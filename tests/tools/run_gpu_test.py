"""`tools/benchmark/run_gpu.sh`: what it runs, in which order, and that it keeps to its time."""

import functools
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest
from shimzoo import cli

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tools" / "benchmark" / "run_gpu.sh"
# Stands for the interpreter: finds the backends that it is told of, and writes down what it is run
# with, and that it was interrupted.
PYTHON = """#!/bin/sh
case "$2" in
*jax*) case "$BACKENDS" in *jax*) exit 0 ;; *) exit 1 ;; esac ;;
*tensorflow*) case "$BACKENDS" in *tensorflow*) exit 0 ;; *) exit 1 ;; esac ;;
*torch*) case "$BACKENDS" in *torch*) exit 0 ;; *) exit 1 ;; esac ;;
"import shimzoo") exit "${INSTALLED:-0}" ;;
esac
trap 'kill $!; echo interrupted >>"$LOG.ended"; exit 130' INT
sleep "${WORK:-0}" &
echo "$KERAS_BACKEND $(readlink "${PYTHONPATH%%:*}/shimzoo") $*" >>"$LOG"
wait $!
"""
# Stands before timeout: writes down the limit, and waits no more than a second.
TIMEOUT = """#!/bin/sh
echo "$4" >>"$LOG.limits"
shift 4
exec {timeout} --foreground --signal=INT --kill-after=30 1 "$@"
"""


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return path


def start(tmp_path, *arguments, backends="jax tensorflow torch", **environment):
    known = {
        "PYTHON": str(executable(tmp_path / "python", PYTHON)),
        "LOG": str(tmp_path / "log"),
        "BACKENDS": backends,
    }
    return subprocess.Popen(
        [SCRIPT, *arguments],
        env={**os.environ, **known, **environment},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # The tests may have been started deaf to it.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def run(tmp_path, *arguments, **options):
    process = start(tmp_path, *arguments, **options)
    out, err = process.communicate()
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    log = tmp_path / "log"
    calls = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    return done, calls


def test_the_most_telling_rows_come_first_on_every_backend(tmp_path):
    done, calls = run(tmp_path, "10", "found")
    assert done.returncode == 0, done.stderr
    for call, backend in zip(calls, ("jax", "tensorflow", "torch"), strict=False):
        options = " ".join(call[call.index("--model") :])
        assert options == (
            "--model resnet_v1_50 --batch-size 256 --precision mixed_bfloat16 --jit "
            f"--phase training --backend {backend} --contender torchvision"
        )
    files = [call[call.index("--out") + 1] for call in calls]
    assert files[0] == "found/resnet50_train_bf16_jax.csv"
    assert len(set(files)) == len(files) == 9
    assert (tmp_path / "found").is_dir()
    assert {call[0] for call in calls} == {"jax"}


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_without_tensorflow_nothing_asks_for_it(tmp_path, backend):
    _, calls = run(tmp_path, "10", backends=backend)
    assert calls
    for call in calls:
        assert call[0] == call[call.index("--backend") + 1] == backend
        assert not {"tensorflow", "tf1_session", "shimmed"} & set(call)


def test_every_command_is_one(tmp_path, capsys):
    _, calls = run(tmp_path, "10")
    for call in calls:
        options = call[call.index("benchmark") :]
        options[options.index("--out") + 1] = str(tmp_path / "x.csv")
        # With no rounds it is refused, once all else is found right.
        assert cli.main([*options, "--rounds", "0"]) == 2
        assert "rounds=0: must be 1 or more" in capsys.readouterr().err


def test_what_there_is_no_time_for_is_left_out(tmp_path):
    # The first takes more than what has to be left for another.
    done, calls = run(tmp_path, "1", WORK="2")
    assert done.returncode == 0
    assert len(calls) == 1
    assert done.stdout.count("no time left for") == 8


def test_a_command_that_outlasts_its_time_is_interrupted_and_the_next_begins(tmp_path):
    folder = tmp_path / "bin"
    folder.mkdir()
    executable(folder / "timeout", TIMEOUT.format(timeout=shutil.which("timeout")))
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    done, calls = run(tmp_path, "20", backends="torch", WORK="60", PATH=path)
    assert done.returncode == 0, done.stderr
    # Each in its turn was told to end, which makes it write what it has, and none was killed.
    assert len(calls) > 3
    ended = (tmp_path / "log.ended").read_text().split()
    assert ended == ["interrupted"] * len(calls)
    # No command takes more than a third of the 20 minutes.
    limits = (tmp_path / "log.limits").read_text().split()
    assert limits == ["400"] * len(calls)
    assert done.stdout.count("ended with code 124") == len(calls)


def test_ctrl_c_ends_all(tmp_path):
    process = start(tmp_path, "20", WORK="60")
    log = tmp_path / "log"
    while not log.exists() and process.poll() is None:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize("arguments", [[], ["0"], ["ten"], ["-5"], ["1.5"]])
def test_minutes_are_a_whole_number(tmp_path, arguments):
    done, calls = run(tmp_path, *arguments)
    assert (done.returncode, calls) == (2, [])
    assert done.stderr.startswith("run_gpu.sh: error: give the minutes")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["python"]


def test_a_machine_without_a_gpu_is_told_so(tmp_path):
    done, calls = run(tmp_path, "1", backends="")
    assert (done.returncode, calls) == (2, [])
    assert "finds a GPU: install one that does" in done.stderr


def test_a_checkout_that_is_not_installed_is_found(tmp_path):
    _, calls = run(tmp_path, "1", INSTALLED="1", PYTHONPATH="/elsewhere", backends="torch")
    links = {call[1] for call in calls}
    assert {pathlib.Path(link) for link in links} == {SCRIPT.parents[2]}
