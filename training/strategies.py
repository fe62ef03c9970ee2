"""How devices and processes share a run's work: `tf.distribute`'s strategies, by name."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

from . import arrival, clusters
from .placement import Placement
from .train_config import TrainConfig

if TYPE_CHECKING:
    from .cluster import Cluster


def resolve(config: TrainConfig) -> TrainConfig:
    """Settles what "auto" means here.

    Args:
        config: A run's settings.

    Returns:
        The settings, with another strategy than "auto".

    Raises:
        ValueError: The strategy doesn't go with another setting.
    """
    if config.strategy != "auto":
        return config
    if clusters.has_several_processes("auto"):
        return dataclasses.replace(config, strategy="multi_worker")
    gpus = len(tf.config.list_physical_devices("GPU"))
    # As many as can share the batch evenly.
    replicas = next((n for n in range(gpus, 1, -1) if config.batch_size % n == 0), None)
    strategy = "one_device" if replicas is None else "mirrored"
    return dataclasses.replace(config, strategy=strategy, replicas=replicas)


def find_cluster(config: TrainConfig) -> Cluster | None:
    """The cluster that a run's strategy needs; connects to nothing yet.

    Args:
        config: A run's settings, resolved.

    Returns:
        The cluster; None where the strategy needs none.

    Raises:
        ValueError: What tells of the cluster is broken, its workers can't share the batch, or they
            would add up gradients of several steps.
        OSError: This process' port is taken.
        ModuleNotFoundError: On Kubernetes, its Python client is not installed.
    """
    if not clusters.has_several_processes(config.strategy):
        return None
    if config.strategy == "parameter_server" and config.gradient_accumulation_steps > 1:
        raise ValueError(
            f"gradient_accumulation_steps={config.gradient_accumulation_steps} does not go with "
            "strategy='parameter_server', whose workers would add to the same sums at any time: "
            "leave it out."
        )
    cluster = clusters.find(config.strategy)
    if config.strategy == "multi_worker":
        _check_divisible(config, cluster.num_workers, "workers")
    cluster.check_port_is_free()
    return cluster


def place(config: TrainConfig, cluster: Cluster | None) -> Placement:
    """Makes a run's strategy, before TensorFlow's first operation.

    With a cluster this waits for its other processes.

    Args:
        config: A run's settings, resolved.
        cluster: What `find_cluster` gave.

    Returns:
        The strategy and this process' place in it.

    Raises:
        ValueError: There are no such devices, or they can't share the batch.
        TimeoutError: Another task that this one needs does not come.
    """
    try:
        strategy = _MAKERS[config.strategy](config, cluster)
    except tf.errors.OpError as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(f"strategy='{config.strategy}' can't start here: {reason}.") from error
    if config.strategy != "parameter_server":
        _check_divisible(config, strategy.num_replicas_in_sync, "replicas")
    return Placement(config.strategy, strategy, cluster)


def _check_divisible(config: TrainConfig, parts: int, what: str) -> None:
    if config.batch_size % parts:
        raise ValueError(
            f"batch_size={config.batch_size} is the global batch, and can't be shared by {parts} "
            f"{what}: take a multiple of {parts}."
        )


def _one_device(config: TrainConfig, cluster: None) -> tf.distribute.Strategy:
    # That of the code around, if it has entered one.
    return tf.distribute.get_strategy()


def _mirrored(config: TrainConfig, cluster: None) -> tf.distribute.Strategy:
    found = len(tf.config.list_physical_devices("GPU"))
    if found == 0:
        count, cores = config.replicas or 1, os.cpu_count() or 1
        if count > max(2, cores):  # Two also on one core, to try a script.
            raise ValueError(
                f"replicas={count}, and this machine has no GPU and {cores} CPU core(s) that they "
                f"would share: take {max(2, cores)} or fewer."
            )
        return tf.distribute.MirroredStrategy(_cpus(count))
    wanted = config.replicas or found
    if wanted > found:
        raise ValueError(f"replicas={wanted}, and this machine has {found} GPU(s).")
    return tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(wanted)])


def _cpus(count: int) -> list[str]:
    """Makes so many logical devices of the CPU; their work is the same as on as many GPUs."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    parts = [tf.config.LogicalDeviceConfiguration()] * count
    try:
        tf.config.set_logical_device_configuration(cpu, parts)
    except RuntimeError:  # TensorFlow has been used, so it has as many as it has.
        found = len(tf.config.list_logical_devices("CPU"))
        if found < count:
            raise ValueError(
                f"replicas={count}, and TensorFlow, which has been used already, has {found} "
                "CPU(s): make devices of the CPU at the start of the program."
            ) from None
    return [f"CPU:{i}" for i in range(count)]


def _multi_worker(config: TrainConfig, cluster: Cluster) -> tf.distribute.Strategy:
    arrival.meet(cluster)
    with arrival.keeping_signals():
        return tf.distribute.MultiWorkerMirroredStrategy(cluster.resolver())


def _parameter_server(config: TrainConfig, cluster: Cluster) -> tf.distribute.Strategy:
    arrival.wait_for(cluster, ["ps", "worker"])
    return tf.distribute.ParameterServerStrategy(cluster.resolver())


def _tpu(config: TrainConfig, cluster: None) -> tf.distribute.Strategy:
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(name)
        if name != "local":
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0].partition(". ")[0].rstrip(".")
        raise ValueError(
            f"strategy='tpu' found no TPU named {name!r} ({reason}): run on a TPU VM with "
            "TensorFlow's TPU build (pip install tensorflow-tpu), or set TPU_NAME."
        ) from error


_MAKERS: dict[str, Callable[..., tf.distribute.Strategy]] = {
    "one_device": _one_device,
    "mirrored": _mirrored,
    "multi_worker": _multi_worker,
    "parameter_server": _parameter_server,
    "tpu": _tpu,
}
