"""What JAX runs on."""

from __future__ import annotations

import jax


def gpu() -> str:
    """The GPU's name; empty where there is none."""
    device = jax.devices()[0]
    return "" if device.platform == "cpu" else device.device_kind


def peak_memory_mib() -> float | None:
    """The most of the GPU's memory that was in use; None where there is none."""
    statistics = jax.devices()[0].memory_stats()
    return statistics["peak_bytes_in_use"] / 2**20 if statistics else None
