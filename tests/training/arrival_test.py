"""The tasks of a cluster wait for each other, and not for ever."""

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import sys

import pytest
from shimzoo.training import arrival
from shimzoo.training.cluster import Cluster

from .processes import DEADLINE_S, free_addresses, started, text_of, wait_until

ROLES = ("chief", "ps", "worker")

TRAIN = """
import sys
from shimzoo import cli
from shimzoo.training import arrival
arrival.ARRIVAL_S = float(sys.argv[1])
sys.exit(cli.main(["train", "--strategy", sys.argv[2], "--out", sys.argv[3]]))
"""


@contextlib.contextmanager
def started_alone(strategy, role, tasks, out, patience_s):
    """A task whose others do not come, and what it says."""
    config = {"cluster": tasks, "task": {"type": role, "index": 0}}
    environ = os.environ | {"TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", TRAIN, str(patience_s), strategy, str(out)]
    with started(command, environ) as (process, output):
        yield process, lambda: text_of(output)


# Of each strategy, who waits, and for whom: role and number.
WAITS = [
    ("parameter_server", "worker", ("chief", 0)),
    ("parameter_server", "chief", ("ps", 0)),
    ("multi_worker", "worker", ("worker", 1)),
    ("multi_worker", "chief", ("worker", 0)),
]


def tasks_of(strategy, role):
    roles = ROLES if strategy == "parameter_server" else ("chief", "worker")
    if (strategy, role) == ("multi_worker", "worker"):
        return {"worker": free_addresses(2)}
    return {each: free_addresses(1) for each in roles}


@pytest.mark.parametrize(("strategy", "role", "missing"), WAITS)
def test_a_task_alone_gives_up_with_a_line(strategy, role, missing, tmp_path):
    out = tmp_path / "run"
    tasks = tasks_of(strategy, role)
    with started_alone(strategy, role, tasks, out, 0.5) as (process, said):
        assert process.wait(timeout=DEADLINE_S) == 2, said()
        whom, number = missing
        address = tasks[whom][number]
        told = f"The {role} has waited 0 s for {whom} {number}, and nothing listens at {address}"
        assert told in said().splitlines()[-1]
        count = sum(map(len, tasks.values()))
        assert f"cluster  waiting for the {count} tasks of TF_CONFIG" in said()
    assert not out.exists()


@pytest.mark.parametrize(("strategy", "role"), [wait[:2] for wait in WAITS[1:3]])
def test_a_task_alone_can_be_stopped(strategy, role, tmp_path):
    tasks = tasks_of(strategy, role)
    with started_alone(strategy, role, tasks, tmp_path / "run", 600.0) as (process, said):
        wait_until(lambda: "cluster  waiting" in said(), [process])
        if strategy == "multi_worker":
            wait_until(lambda: arrival.listens(tasks[role][0]), [process])
        process.terminate()
        assert process.wait(timeout=DEADLINE_S) == -signal.SIGTERM, said()


def test_a_task_is_seen_while_it_waits_and_its_port_is_free_once_all_have_met():
    here, there = free_addresses(2)
    cluster = Cluster({"worker": (here, there)}, "worker", 0, "")
    with concurrent.futures.ThreadPoolExecutor() as threads:
        meeting = threads.submit(arrival.meet, cluster)
        while not arrival.listens(here):
            assert not meeting.done()
        with socket.create_server(("localhost", int(there.rpartition(":")[2]))):
            meeting.result(timeout=DEADLINE_S)
    assert not arrival.listens(here)
    cluster.check_port_is_free()


def test_a_chief_goes_on_once_all_that_serve_it_have_come():
    with (
        socket.create_server(("localhost", 0)) as one,
        socket.create_server(("localhost", 0)) as other,
    ):
        ps, worker = (f"localhost:{each.getsockname()[1]}" for each in (one, other))
        cluster = Cluster(
            {"chief": ("localhost:1",), "ps": (ps,), "worker": (worker,)}, "chief", 0, ""
        )
        arrival.wait_for(cluster, ["ps", "worker"])
