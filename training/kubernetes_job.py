"""The cluster of an indexed Kubernetes job: its pods, all of them workers."""

from __future__ import annotations

import os

from .cluster import Cluster
from .environment import number


def read() -> Cluster:
    """Asks Kubernetes for the job's pods.

    Returns:
        The cluster.

    Raises:
        ValueError: The environment does not name the job, or its pods are not to be had.
        ModuleNotFoundError: Kubernetes' Python client is not installed.
    """
    import tensorflow as tf

    missing = [name for name in ("JOB_NAME", "JOB_COMPLETIONS") if name not in os.environ]
    if missing:
        raise ValueError(
            f"On Kubernetes {' and '.join(missing)} have to be set: the job's name and its number "
            "of completions. Set them in the pod's template, or set TF_CONFIG."
        )
    completions, index = number("JOB_COMPLETIONS"), number("JOB_COMPLETION_INDEX")
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
