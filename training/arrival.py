"""How the tasks of a cluster wait for each other, before TensorFlow connects them.

TensorFlow would wait without end, and lets no signal stop it meanwhile.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence

from .cluster import Cluster

# How long a cluster's tasks may take to come: machines and containers start in minutes.
ARRIVAL_S = 600.0
# Between two looks at another task, and how long it may take to answer.
INTERVAL_S = 1.0


def wait_for(cluster: Cluster, roles: Sequence[str]) -> None:
    """Returns once something listens at the addresses of all other tasks of some roles.

    Args:
        cluster: The processes, of which this is one.
        roles: "chief", "worker" or "ps".

    Raises:
        TimeoutError: One of them does not come within `ARRIVAL_S`.
    """
    end = time.monotonic() + ARRIVAL_S
    for role in roles:
        for index, address in enumerate(cluster.tasks[role]):
            if address == cluster.address:
                continue
            while not listens(address):
                if time.monotonic() > end:
                    raise TimeoutError(
                        f"The {cluster.role} has waited {ARRIVAL_S:.0f} s for {role} {index}, and "
                        f"nothing listens at {address}: see what that task says, start it, and "
                        "then all the others again."
                    )
                time.sleep(INTERVAL_S)


def meet(cluster: Cluster) -> None:
    """Returns once all tasks have come; each has to call this, and is seen by the others from then.

    Args:
        cluster: The processes, of which this is one.

    Raises:
        TimeoutError: One of them does not come within `ARRIVAL_S`.
        OSError: This process' port is taken.
    """
    with _listening(cluster):
        wait_for(cluster, list(cluster.tasks))


@contextlib.contextmanager
def keeping_signals() -> Iterator[None]:
    """Puts the handling of SIGTERM back, which TensorFlow takes to itself while it connects tasks.

    TensorFlow only notes the signal, which nothing then acts on.
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        # Python handles signals in the main thread alone.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def listens(address: str) -> bool:
    """Whether a process takes connections at `host:port`."""
    host, _, port = address.rpartition(":")
    with (
        contextlib.suppress(OSError),
        socket.create_connection((host.strip("[]"), int(port)), timeout=INTERVAL_S),
    ):
        return True
    return False


@contextlib.contextmanager
def _listening(cluster: Cluster) -> Iterator[None]:
    """Takes connections at this task's port, and lets go of them and of the port at the end."""
    with cluster.bind() as server:
        # Those that no one accepts would fill the queue, and then none would come through.
        accepting = threading.Thread(target=_accept, args=(server,), daemon=True)
        accepting.start()
        try:
            yield
        finally:
            # A thread that waits for a connection keeps the port open.
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            accepting.join()


def _accept(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            server.accept()[0].close()
