"""Strategies over several processes: G7 on a cluster of this machine's own processes."""

import contextlib
import json
import os
import socket
import subprocess
import sys

import numpy as np
from shimzoo.tests.shim.strategy_net import (
    NetLayer,
    NetModel,
    NetModule,
    assert_same_values,
    expected_step,
    shards,
)

DEADLINE_S = 240


def free_addresses(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [f"localhost:{one.getsockname()[1]}" for one in sockets]


@contextlib.contextmanager
def process_of(job, out, cluster, task_type, index):
    environ = os.environ | {
        "TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": task_type, "index": index}}),
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "shimzoo.tests.shim.cluster_job", job, out],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def result_of(process, out):
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    return dict(np.load(out))


def assert_one_step_was_taken(values, make, replicas):
    prefix = f"{make.__name__}:"
    of_owner = {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}
    assert_same_values(of_owner, expected_step(make, shards(replicas)))


def test_g07_two_workers_train_as_one(tmp_path):
    cluster = {"worker": free_addresses(2)}
    files = [tmp_path / f"{i}.npz" for i in range(2)]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(process_of("train", files[i], cluster, "worker", i))
            for i in range(2)
        ]
        results = [result_of(process, out) for process, out in zip(processes, files, strict=True)]
    np.testing.assert_array_equal(results[0]["made"], results[1]["made"])
    for values in results:
        # Keras 3.15 itself can fit no model on more than one worker.
        assert values["decorated"] == values["native"]
        for make in (NetLayer, NetModule, NetModel):
            assert_one_step_was_taken(values, make, 2)


def test_g07_a_parameter_server_keeps_the_variables(tmp_path):
    roles = ("chief", "ps", "worker")
    cluster = {role: [address] for role, address in zip(roles, free_addresses(3), strict=True)}
    out = tmp_path / "values.npz"
    with (
        process_of("serve", out, cluster, "ps", 0),
        process_of("serve", out, cluster, "worker", 0),
        process_of("coordinate", out, cluster, "chief", 0) as chief,
    ):
        values = result_of(chief, out)
    # Keras 3.15 itself can fit no model with parameter servers.
    assert values["decorated"] == values["native"]
    assert len(values["devices"]) == 1
    assert "/job:ps/" in values["devices"][0]
    for make in (NetLayer, NetModule):
        assert_one_step_was_taken(values, make, 1)
