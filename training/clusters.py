"""Which cluster this process is a task of: told by TF_CONFIG, SLURM or Kubernetes.

The addresses come from TensorFlow's own cluster resolvers. What is wrong with them is said before
TensorFlow connects to anything, because from then on a wrong address shows as a wait without end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import tensorflow as tf

# The tasks that a strategy's cluster may have, and those that it has to have one or more of.
_ROLES = {
    "multi_worker": (("chief", "worker"), ("worker",)),
    "parameter_server": (("chief", "worker", "ps"), ("chief", "worker", "ps")),
}
_ADDRESS = re.compile(r"(?P<host>[^:\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
_EXAMPLE = """'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", \
"index": 0}}'"""
# No cluster has so many tasks, and Python makes no number of thousands of digits.
_DIGITS = 10
# Where a SLURM job has reserved no ports (srun --resv-ports), that of TensorFlow's resolver.
_SLURM_PORT = 8888


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


def has_several_processes(strategy: str) -> bool:
    """Whether a run is a cluster's, so that not every process may write its directory.

    Args:
        strategy: One of `limits.STRATEGIES`.

    Returns:
        True also where "auto" will be "multi_worker".
    """
    if strategy == "auto":
        return bool(os.environ.get("TF_CONFIG"))
    return strategy in _ROLES


def find(strategy: str) -> Cluster:
    """Looks for the cluster in the environment: TF_CONFIG first, then SLURM, then Kubernetes.

    Args:
        strategy: "multi_worker" or "parameter_server".

    Returns:
        The cluster, with the roles that the strategy needs.

    Raises:
        ValueError: There is none, or what tells of it is broken.
        ModuleNotFoundError: On Kubernetes, its Python client is not installed.
    """
    if text := os.environ.get("TF_CONFIG"):
        cluster = _from_tf_config(text)
    elif "SLURM_STEP_NODELIST" in os.environ:
        cluster = _from_slurm(strategy)
    elif "JOB_COMPLETION_INDEX" in os.environ:
        cluster = _from_kubernetes()
    else:
        raise ValueError(
            f"strategy='{strategy}' needs a cluster: set TF_CONFIG, for instance to {_EXAMPLE}, or "
            "start with srun, or as an indexed Kubernetes job."
        )
    _check_roles(cluster, strategy)
    return cluster


def _from_tf_config(text: str) -> Cluster:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # Of a number without end, and of lists in lists.
        raise _broken(f"is not JSON ({error})") from error
    tasks, task = _part(values, "cluster"), _part(values, "task")
    for role, addresses in tasks.items():
        if not isinstance(addresses, list) or not all(isinstance(a, str) for a in addresses):
            raise _broken(f"has no list of 'host:port' for {role!r} in its 'cluster'")
        for address in addresses:
            match = _ADDRESS.fullmatch(address)
            if match is None or not 0 < int(match["port"]) < 2**16:
                raise _broken(f"has {address!r} for a {role}, which is not 'host:port'")
    every = [address for addresses in tasks.values() for address in addresses]
    if twice := {address for address in every if every.count(address) > 1}:
        raise _broken(f"has {min(twice)!r} twice: every task needs an address of its own")
    role, index = task.get("type"), task.get("index")
    if not isinstance(role, str) or role not in tasks:
        raise _broken(f"says that this is a {role!r}, and its 'cluster' has {', '.join(tasks)}")
    if isinstance(index, str) and index.isdecimal() and len(index) < _DIGITS:
        index = int(index)
    if type(index) is not int or not 0 <= index < len(tasks[role]):
        raise _broken(
            f"says that this is {role} number {index!r}, and its 'cluster' has 0 to "
            f"{len(tasks[role]) - 1}"
        )
    addresses = {role: tuple(addresses) for role, addresses in tasks.items()}
    return Cluster(addresses, role, index, "TF_CONFIG")


def _part(values: Any, name: str) -> dict[str, Any]:
    part = values.get(name) if isinstance(values, dict) else None
    if not isinstance(part, dict) or not part:
        raise _broken(f"has no {name!r}")
    return part


def _broken(how: str) -> ValueError:
    return ValueError(f"TF_CONFIG {how}: it has to look like {_EXAMPLE}, or to be unset.")


def _from_slurm(strategy: str) -> Cluster:
    import tensorflow as tf

    num_tasks = _number("SLURM_STEP_NUM_TASKS") if "SLURM_STEP_NUM_TASKS" in os.environ else 1
    jobs = {"worker": num_tasks}
    if strategy == "parameter_server":
        jobs = {"chief": 1, "ps": 1, "worker": num_tasks - 2}
    ports = re.match(r"\d+", os.environ.get("SLURM_STEP_RESV_PORTS", ""))
    # Without GPUs the resolver divides by their number; told of one a task, it only counts.
    gpus = {} if shutil.which("nvidia-smi") else {"gpus_per_node": num_tasks, "gpus_per_task": 1}
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            jobs=jobs,
            port_base=int(ports[0]) if ports else _SLURM_PORT,
            auto_set_gpu=not gpus,
            **gpus,
        )
        tasks = resolver.cluster_spec().as_dict()
    except (RuntimeError, ValueError, KeyError, IndexError) as error:
        raise ValueError(
            f"SLURM's environment tells of no cluster of {num_tasks} tasks ({error}): start with "
            "srun, or set TF_CONFIG."
        ) from error
    addresses = {role: tuple(addresses) for role, addresses in tasks.items()}
    cluster = Cluster(addresses, resolver.task_type, resolver.task_id, "SLURM")
    host, node = cluster.address.rpartition(":")[0], os.environ.get("SLURMD_NODENAME")
    # The resolver sorts hosts as text, SLURM by number.
    if node not in (None, host):
        raise ValueError(
            f"SLURM runs task {os.environ['SLURM_PROCID']} on {node}, and TensorFlow looks for it "
            f"on {host}, as it sorts hosts by name: set TF_CONFIG in the job's script."
        )
    return cluster


def _from_kubernetes() -> Cluster:
    import tensorflow as tf

    missing = [name for name in ("JOB_NAME", "JOB_COMPLETIONS") if name not in os.environ]
    if missing:
        raise ValueError(
            f"On Kubernetes {' and '.join(missing)} have to be set: the job's name and its number "
            "of completions. Set them in the pod's template, or set TF_CONFIG."
        )
    completions, index = _number("JOB_COMPLETIONS"), _number("JOB_COMPLETION_INDEX")
    try:
        import kubernetes
        import urllib3
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Kubernetes' Python client is not installed: pip install kubernetes, or set TF_CONFIG.",
            name="kubernetes",
        ) from error
    job = f"batch.kubernetes.io/job-name={os.environ['JOB_NAME']}"
    # A selector a pod: by their names alone, pod 10 would come before pod 2.
    pods = [f"{job},batch.kubernetes.io/job-completion-index={i}" for i in range(completions)]
    try:
        kubernetes.config.load_incluster_config()
        resolver = tf.distribute.cluster_resolver.KubernetesClusterResolver(
            {"worker": pods}, override_client=kubernetes.client.CoreV1Api()
        )
        workers = tuple(resolver.cluster_spec().as_dict().get("worker", ()))
    except RuntimeError as error:
        raise ValueError(f"The job's pods are not all running yet ({error}).") from error
    except kubernetes.config.ConfigException as error:
        raise ValueError(
            f"JOB_COMPLETION_INDEX is set, and this is no pod of Kubernetes ({error}): set "
            "TF_CONFIG, or unset it."
        ) from error
    except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError) as error:
        raise ValueError(
            f"Kubernetes does not tell of the job's pods ({getattr(error, 'reason', error)}): let "
            "the pods' account list pods, or set TF_CONFIG."
        ) from error
    if len(workers) != completions or not 0 <= index < completions:
        raise ValueError(
            f"Kubernetes has {len(workers)} pods of job {os.environ['JOB_NAME']!r}, of which this "
            f"is number {index}, and JOB_COMPLETIONS is {completions}: set it as the job has it."
        )
    return Cluster({"worker": workers}, "worker", index, "Kubernetes")


def _number(variable: str) -> int:
    """A number in the environment."""
    text = os.environ[variable]
    if not text.isdecimal():
        raise ValueError(f"{variable} is {text!r}, and has to be a number.")
    return int(text)


def _check_roles(cluster: Cluster, strategy: str) -> None:
    allowed, needed = _ROLES[strategy]
    for role in cluster.tasks:
        if role not in allowed:
            raise ValueError(
                f"{cluster.origin} has a {role!r}, and strategy='{strategy}' has no use for one: "
                f"its tasks are {', '.join(allowed)}."
            )
    missing = [role for role in needed if not cluster.tasks.get(role)]
    if missing and not (strategy == "multi_worker" and cluster.tasks.get("chief")):
        raise ValueError(
            f"{cluster.origin} has no {' and no '.join(missing)}, and strategy='{strategy}' needs "
            f"one or more of each: {', '.join(needed)}."
        )
    if strategy == "parameter_server" and len(cluster.tasks["chief"]) > 1:
        raise ValueError(f"{cluster.origin} has more than one chief: there can be one only.")
