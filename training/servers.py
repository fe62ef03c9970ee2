"""The tasks of a parameter-server cluster that do what the chief tells them."""

from __future__ import annotations

import contextlib
import socket
import time

import tensorflow as tf

from .clusters import Cluster

# How long a chief may be away, for instance while it is restarted.
_PATIENCE_S = 20.0
_INTERVAL_S = 1.0


def serve_until_the_chief_ends(cluster: Cluster) -> None:
    """Computes, or keeps variables, for the chief; returns once the chief is gone for good.

    Args:
        cluster: The processes, of which this is a worker or a parameter server.
    """
    server = tf.distribute.Server(
        tf.train.ClusterSpec({role: list(tasks) for role, tasks in cluster.tasks.items()}),
        job_name=cluster.role,
        task_index=cluster.index,
        protocol="grpc",
    )
    host, _, port = cluster.tasks["chief"][0].rpartition(":")
    address = (host.strip("[]"), int(port))
    last_seen = None
    while last_seen is None or time.monotonic() - last_seen < _PATIENCE_S:
        if _listens(address):
            last_seen = time.monotonic()
        time.sleep(_INTERVAL_S)
    del server  # Until here it must not be collected.


def _listens(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=_INTERVAL_S):
        return True
    return False
