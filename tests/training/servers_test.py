"""The tasks of a parameter-server cluster wait for each other, and not for ever."""

import json
import os
import socket
import subprocess
import sys

import pytest
from shimzoo.training import servers
from shimzoo.training.clusters import Cluster

from .processes import DEADLINE_S, free_addresses

ROLES = ("chief", "ps", "worker")

SERVE = """
import sys
from shimzoo import cli
from shimzoo.training import servers
servers._ARRIVAL_S = 0.5
sys.exit(cli.main(["train", "--strategy", "parameter_server", "--out", sys.argv[1]]))
"""


@pytest.fixture
def tasks():
    return {role: (address,) for role, address in zip(ROLES, free_addresses(3), strict=True)}


@pytest.mark.parametrize(("role", "missing"), [("worker", "chief"), ("chief", "ps")])
def test_a_task_alone_gives_up_with_a_line(role, missing, tasks, tmp_path):
    config = {"cluster": tasks, "task": {"type": role, "index": 0}}
    result = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "run")],
        env=os.environ | {"TF_CONFIG": json.dumps(config), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert result.returncode == 2, result.stderr
    line = result.stderr.splitlines()[-1]
    address = tasks[missing][0]
    assert f"The {role} has waited 0 s for {missing} 0, and nothing listens at {address}" in line
    assert not (tmp_path / "run").exists()


def test_a_chief_goes_on_once_all_that_serve_it_have_come(monkeypatch):
    with (
        socket.create_server(("localhost", 0)) as one,
        socket.create_server(("localhost", 0)) as other,
    ):
        ps, worker = (f"localhost:{each.getsockname()[1]}" for each in (one, other))
        servers.wait_for_servers(
            Cluster({"chief": ("localhost:1",), "ps": (ps,), "worker": (worker,)}, "chief", 0, "")
        )
