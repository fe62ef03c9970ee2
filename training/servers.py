"""The tasks of a parameter-server cluster that do what the chief tells them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

import tensorflow as tf

from .clusters import Cluster

# How long a cluster's tasks may take to come: machines and containers start in minutes.
_ARRIVAL_S = 600.0
# How long a chief may be away, for instance while it is restarted.
_PATIENCE_S = 20.0
_INTERVAL_S = 1.0


def serve_until_the_chief_ends(cluster: Cluster) -> None:
    """Computes, or keeps variables, for the chief; returns once the chief is gone for good.

    Args:
        cluster: The processes, of which this is a worker or a parameter server.

    Raises:
        TimeoutError: The chief does not come.
    """
    server = tf.distribute.Server(
        tf.train.ClusterSpec({role: list(tasks) for role, tasks in cluster.tasks.items()}),
        job_name=cluster.role,
        task_index=cluster.index,
        protocol="grpc",
    )
    _wait_for(cluster, ["chief"])
    (chief,) = cluster.tasks["chief"]
    last_seen = time.monotonic()
    while time.monotonic() - last_seen < _PATIENCE_S:
        time.sleep(_INTERVAL_S)
        if _listens(chief):
            last_seen = time.monotonic()
    del server  # Until here it must not be collected.


def wait_for_servers(cluster: Cluster) -> None:
    """Lets the chief wait for the tasks that serve it, and not for ever.

    Args:
        cluster: The processes, of which this is the chief.

    Raises:
        TimeoutError: One of them does not come.
    """
    _wait_for(cluster, ["ps", "worker"])


def _wait_for(cluster: Cluster, roles: Sequence[str]) -> None:
    end = time.monotonic() + _ARRIVAL_S
    for role in roles:
        for index, address in enumerate(cluster.tasks[role]):
            while not _listens(address):
                if time.monotonic() > end:
                    raise TimeoutError(
                        f"The {cluster.role} has waited {_ARRIVAL_S:.0f} s for {role} {index}, and "
                        f"nothing listens at {address}: see what that task says, start it, and "
                        "then all the others again."
                    )
                time.sleep(_INTERVAL_S)


def _listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host.strip("[]"), int(port)), timeout=_INTERVAL_S),
    ):
        return True
    return False
