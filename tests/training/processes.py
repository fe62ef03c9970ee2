"""Runs as processes of their own: alone, and as the tasks of a cluster on this machine."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import numpy as np
import tensorflow as tf
from shimzoo import checkpoints, models
from shimzoo.training.run_directory import RunDirectory

# Long enough for a machine that does much else at the same time.
DEADLINE_S = 300


def free_addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [f"localhost:{one.getsockname()[1]}" for one in sockets]


def free_port_pair():
    """A port that is free, and the next one too."""
    while True:
        (address,) = free_addresses(1)
        port = int(address.rpartition(":")[2])
        with contextlib.suppress(OSError), socket.create_server(("localhost", port + 1)):
            return port


@contextlib.contextmanager
def started(job, **variables):
    """A process that runs `training_job`; killed at the end, should it still be there."""
    environ = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"} | variables
    process = subprocess.Popen(
        [sys.executable, "-m", "shimzoo.tests.training.training_job", json.dumps(job)],
        env=environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(job, **variables):
    """The exit code and all output of a run in one process."""
    with started(job, **variables) as process:
        output, _ = process.communicate(timeout=DEADLINE_S)
    return process.returncode, output


def run_cluster(jobs, roles, environment=None):
    """The same of all tasks of a cluster, whose roles and jobs stand in the same order."""
    addresses = free_addresses(len(roles))
    cluster = {}
    for role, address in zip(roles, addresses, strict=True):
        cluster.setdefault(role, []).append(address)
    with contextlib.ExitStack() as stack:
        processes = []
        for number, (job, role) in enumerate(zip(jobs, roles, strict=True)):
            index = roles[:number].count(role)
            config = {"cluster": cluster, "task": {"type": role, "index": index}}
            variables = environment(number) if environment else {"TF_CONFIG": json.dumps(config)}
            processes.append(stack.enter_context(started(job, **variables)))
        outputs = [process.communicate(timeout=DEADLINE_S)[0] for process in processes]
    return [(p.returncode, output) for p, output in zip(processes, outputs, strict=True)]


def final_weights(out, config):
    model = models.create(
        config["model"], config["stage"], num_classes=10, input_size=config["image_size"]
    )
    checkpoints.restore(model, out / "final.weights.h5")
    return {checkpoints.tf1_name(weight): weight.numpy() for weight in model.weights}


def metrics(out):
    """The lines of `metrics.jsonl`, without what differs from run to run."""
    timed = ("seconds", "images_per_second", "input_wait_s")
    lines = RunDirectory(out).read_metrics()
    return [{k: v for k, v in line.items() if k not in timed} for line in lines]


def last_state(out):
    """All numbers of a run's last checkpoint: weights, averages, and what the optimizer keeps."""
    reader = tf.train.load_checkpoint(str(out / "checkpoints"))
    dtypes = reader.get_variable_to_dtype_map()
    return {name: reader.get_tensor(name) for name in dtypes if dtypes[name].is_floating}


def assert_same_run(out, expected, config, tolerance):
    """That two runs have the same losses and weights, relative to the largest of each weight."""
    for line, other in zip(metrics(out), metrics(expected), strict=True):
        for key, value in other.items():
            np.testing.assert_allclose(
                line[key], value, rtol=tolerance, atol=tolerance, err_msg=key
            )
    for values_of in (lambda path: final_weights(path, config), last_state):
        ours, theirs = values_of(out), values_of(expected)
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            atol = tolerance * np.abs(value).max()
            np.testing.assert_allclose(ours[name], value, rtol=0, atol=atol, err_msg=name)
