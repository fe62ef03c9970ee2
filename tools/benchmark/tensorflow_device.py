"""What TensorFlow runs on."""

from __future__ import annotations

import tensorflow as tf


def gpu() -> str:
    """The GPU's name; empty where there is none."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return ""
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")


def synchronize() -> None:
    """Waits for all devices."""
    tf.test.experimental.sync_devices()


def peak_memory_mib() -> float | None:
    """The most of the GPU's memory in use, sessions' included; None where there is none."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20
