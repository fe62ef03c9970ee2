"""Runs as processes of their own: alone, and as the tasks of a cluster on this machine."""

import atexit
import contextlib
import errno
import fcntl
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
from shimzoo import checkpoints, models

from . import run_records

# Long enough for a machine that does much else at the same time.
DEADLINE_S = 300
# Below those that systems give out by themselves, to whoever asks for any port.
_PORTS = range(20_000, 32_000)


def _reserve(count):
    """The first of so many ports in a row that are free.

    They stay locked as long as this process runs: no other test gets them.
    """
    while True:
        first = random.randrange(_PORTS.start, _PORTS.stop - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    path = pathlib.Path(tempfile.gettempdir()) / f"shimzoo-test-port-{port}"
                    lock = stack.enter_context(open(path, "w"))
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    socket.create_server(("localhost", port)).close()
            except OSError as error:
                if error.errno not in (errno.EWOULDBLOCK, errno.EADDRINUSE):
                    raise
                continue
            atexit.register(stack.pop_all().close)
            return first


def free_addresses(count):
    first = _reserve(count)
    return [f"localhost:{port}" for port in range(first, first + count)]


def free_port_pair():
    """A port that is free, and the next one too."""
    return _reserve(2)


@contextlib.contextmanager
def started(command, environ=None):
    """A process and the file that all its output goes to; killed at the end, if it still runs."""
    # A pipe would fill up and hold the process while this one waits for another.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            command, env=environ, stdout=output, stderr=subprocess.STDOUT, text=True
        )
        try:
            yield process, output
        finally:
            process.kill()
            process.wait()


def results_of(commands, environs, meanwhile=lambda running: None):
    """The exit code and all output of processes that run at the same time.

    `meanwhile` is called with the processes once they have started.
    """
    with contextlib.ExitStack() as stack:
        both = [
            stack.enter_context(started(command, environ))
            for command, environ in zip(commands, environs, strict=True)
        ]
        meanwhile([process for process, _ in both])
        for process, _ in both:
            process.wait(timeout=DEADLINE_S)
        return [(process.returncode, text_of(output)) for process, output in both]


def text_of(file):
    """All that a process has written into a file until now."""
    # The process writes where the file's position is, so that has to stay.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def _job_command(job):
    return [sys.executable, "-m", "shimzoo.tests.training.training_job", json.dumps(job)]


def environ(**variables):
    """A process' environment, without the cluster of the test's own."""
    inherited = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
    return inherited | {"TF_CPP_MIN_LOG_LEVEL": "3"} | variables


def run(job):
    """The exit code and all output of a run in one process."""
    (result,) = results_of([_job_command(job)], [environ()])
    return result


def task_environs(roles):
    """What each task of a new cluster finds in its environment, by TF_CONFIG."""
    cluster = {}
    for role, address in zip(roles, free_addresses(len(roles)), strict=True):
        cluster.setdefault(role, []).append(address)
    tasks = [
        {"type": role, "index": roles[:number].count(role)} for number, role in enumerate(roles)
    ]
    return [environ(TF_CONFIG=json.dumps({"cluster": cluster, "task": task})) for task in tasks]


def run_cluster(jobs, roles, environment=None, meanwhile=lambda running: None):
    """The same of all tasks of a cluster, whose roles and jobs stand in the same order.

    `environment` gives other variables than TF_CONFIG, by the number of the task.
    """
    if environment is None:
        environs = task_environs(roles)
    else:
        environs = [environ(**environment(number)) for number in range(len(roles))]
    return results_of(map(_job_command, jobs), environs, meanwhile)


def wait_until(is_so, running):
    """Waits for what processes will bring about, as long as all of them run."""
    end = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < end
        assert all(process.poll() is None for process in running)
        time.sleep(0.05)


def final_weights(out, config):
    model = models.create(
        config["model"], config["stage"], num_classes=10, input_size=config["image_size"]
    )
    checkpoints.restore(model, out / "final.weights.h5")
    return {checkpoints.tf1_name(weight): weight.numpy() for weight in model.weights}


def assert_same_run(out, expected, config, tolerance):
    """That two runs have the same losses and weights, relative to the largest of each weight."""
    for line, other in zip(run_records.metrics(out), run_records.metrics(expected), strict=True):
        for key, value in other.items():
            np.testing.assert_allclose(
                line[key], value, rtol=tolerance, atol=tolerance, err_msg=key
            )
    for values_of in (lambda path: final_weights(path, config), run_records.last_state):
        ours, theirs = values_of(out), values_of(expected)
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            atol = tolerance * np.abs(value).max()
            np.testing.assert_allclose(ours[name], value, rtol=0, atol=atol, err_msg=name)
