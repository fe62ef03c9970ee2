"""The processes of a run, and which of them this is."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The processes of a run, and which of them this is.

    Args:
        tasks: The addresses, `host:port`, by role: "chief", "worker" and "ps".
        role: This process' role.
        index: Its number among those of its role, from 0.
        origin: Where this was read: "TF_CONFIG", "SLURM" or "Kubernetes".
    """

    tasks: Mapping[str, tuple[str, ...]]
    role: str
    index: int
    origin: str

    @property
    def address(self) -> str:
        """This process' own `host:port`."""
        return self.tasks[self.role][self.index]

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files: the chief or, without one, worker 0."""
        return self.role == "chief" or (
            "chief" not in self.tasks and self.role == "worker" and self.index == 0
        )

    @property
    def num_workers(self) -> int:
        """Processes that compute under multi_worker, where a chief does what a worker does."""
        return len(self.tasks.get("worker", ())) + len(self.tasks.get("chief", ()))

    @property
    def worker_index(self) -> int:
        """Which of the `num_workers` this process is, from 0; a chief comes first."""
        chiefs = len(self.tasks.get("chief", ()))
        return self.index + (chiefs if self.role == "worker" else 0)

    def task_name(self, worker_index: int) -> str:
        """What a user calls the process with such a `worker_index`, as in "worker 1"."""
        chiefs = len(self.tasks.get("chief", ()))
        return "the chief" if worker_index < chiefs else f"worker {worker_index - chiefs}"

    @property
    def num_tasks(self) -> int:
        """All processes of the cluster."""
        return sum(len(tasks) for tasks in self.tasks.values())

    def check_port_is_free(self) -> None:
        """Raises OSError if another process listens where this one has to."""
        self.bind().close()

    def bind(self) -> socket.socket:
        """Listens at this process' port.

        Raises:
            OSError: Another process listens there.
        """
        port = int(self.address.rpartition(":")[2])
        try:
            both = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if both else socket.AF_INET
            return socket.create_server(("", port), family=family, dualstack_ipv6=both)
        except OSError as error:
            raise OSError(
                f"Port {port} of {self.role} {self.index} is taken ({error.strerror}): stop the "
                f"process that listens there, or give this task another port in {self.origin}."
            ) from error

    def resolver(self) -> tf.distribute.cluster_resolver.ClusterResolver:
        """As TensorFlow's strategies take it."""
        import tensorflow as tf

        return tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec({role: list(tasks) for role, tasks in self.tasks.items()}),
            task_type=self.role,
            task_id=self.index,
            rpc_layer="grpc",
        )
