"""The tasks of a parameter-server cluster, and the chief that they work for."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import tensorflow as tf

from . import arrival
from .cluster import Cluster
from .interruption import StopRequest, stop_on_signals

# How long a chief may be away, for instance while it is restarted.
_PATIENCE_S = 20.0
# The same for a chief or workers that have been told to stop, as all of a job's tasks are at once.
_LAST_PATIENCE_S = 3.0


def serve_until_the_chief_ends(cluster: Cluster) -> None:
    """Computes, or keeps variables, for the chief; returns once the chief is gone for good.

    The chief needs this task to save a checkpoint where a signal stops the run. So the first SIGINT
    or SIGTERM ends this process only when the chief has ended; the second one at once.

    Args:
        cluster: The processes, of which this is a worker or a parameter server.

    Raises:
        TimeoutError: The chief does not come.
        KeyboardInterrupt: SIGINT came. After a SIGTERM the process dies of it.
        SystemExit: The same, where it can't die of it.
    """
    server = tf.distribute.Server(
        tf.train.ClusterSpec({role: list(tasks) for role, tasks in cluster.tasks.items()}),
        job_name=cluster.role,
        task_index=cluster.index,
        protocol="grpc",
    )
    arrival.wait_for(cluster, ["chief"])
    (chief,) = cluster.tasks["chief"]
    with stop_on_signals() as request:
        last_seen = time.monotonic()
        while time.monotonic() - last_seen < _patience(request, _PATIENCE_S):
            time.sleep(arrival.INTERVAL_S)
            if arrival.listens(chief):
                last_seen = time.monotonic()
    del server  # Until here it must not be collected.
    if request.received is not None:
        signal.raise_signal(request.received)
        # Process 1 of a container does not die of it.
        raise SystemExit(128 + request.received)


def wait_for_steps(
    cluster: Cluster, are_done: Callable[[float], bool], request: StopRequest
) -> None:
    """Lets the chief wait for what workers do, and not for ever where no worker is left.

    Args:
        cluster: The processes, of which this is the chief.
        are_done: Whether the wait is over; called again and again with how long it may take to
            say no, in seconds.
        request: Whether this process has been told to stop, so that no worker will come any more.

    Raises:
        ConnectionError: All workers are gone, for longer than their start may take.
        Exception: What went wrong in a step, if `are_done` raises it.
    """
    workers = cluster.tasks["worker"]
    last_seen = time.monotonic()
    while True:
        with errors_of_workers():
            if are_done(arrival.INTERVAL_S):
                return
        if any(map(arrival.listens, workers)):
            last_seen = time.monotonic()
        elif time.monotonic() - last_seen > _patience(request, arrival.ARRIVAL_S):
            one = "The worker was" if len(workers) == 1 else f"All {len(workers)} workers were"
            raise ConnectionError(f"{one} lost, with steps under way.")


@contextlib.contextmanager
def errors_of_workers() -> Iterator[None]:
    """Raises what went wrong in a worker, out of what TensorFlow's coordinator wraps it in.

    Where a worker can't make its iterator, each step that should read from it fails with an error
    that is none of TensorFlow's classes of errors, and only holds the one that is.
    """
    try:
        yield
    except Exception as error:
        original = getattr(error, "original_exception", None)
        if original is None:
            raise
        raise original from error


def _patience(request: StopRequest, otherwise: float) -> float:
    return otherwise if request.received is None else _LAST_PATIENCE_S
