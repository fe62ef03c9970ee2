"""The cluster that SLURM tells the tasks of a step of."""

from __future__ import annotations

import os
import re
import shutil

from .cluster import Cluster
from .environment import number

# Where a SLURM job has reserved no ports (srun --resv-ports), that of TensorFlow's resolver.
_SLURM_PORT = 8888


def read(strategy: str) -> Cluster:
    """Asks TensorFlow's resolver for the step's tasks.

    Args:
        strategy: "multi_worker", where all tasks are workers, or "parameter_server", where the
            first is the chief and the second the parameter server.

    Returns:
        The cluster.

    Raises:
        ValueError: The environment tells of none, or of another task than this.
    """
    import tensorflow as tf

    num_tasks = number("SLURM_STEP_NUM_TASKS") if "SLURM_STEP_NUM_TASKS" in os.environ else 1
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
