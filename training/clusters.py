"""Which cluster this process is a task of: told by TF_CONFIG, SLURM or Kubernetes.

The addresses come from TensorFlow's own cluster resolvers. What is wrong with them is said before
TensorFlow connects to anything, because from then on a wrong address shows as a wait without end.
"""

from __future__ import annotations

import os

from . import kubernetes_job, slurm, tf_config
from .cluster import Cluster

# The tasks that a strategy's cluster may have, and those that it has to have one or more of.
_ROLES = {
    "multi_worker": (("chief", "worker"), ("worker",)),
    "parameter_server": (("chief", "worker", "ps"), ("chief", "worker", "ps")),
}


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
        cluster = tf_config.read(text)
    elif "SLURM_STEP_NODELIST" in os.environ:
        cluster = slurm.read(strategy)
    elif "JOB_COMPLETION_INDEX" in os.environ:
        cluster = kubernetes_job.read()
    else:
        raise ValueError(
            f"strategy='{strategy}' needs a cluster: set TF_CONFIG, for instance to "
            f"{tf_config.EXAMPLE}, or start with srun, or as an indexed Kubernetes job."
        )
    _check_roles(cluster, strategy)
    return cluster


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
