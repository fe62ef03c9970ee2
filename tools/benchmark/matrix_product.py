"""The machine's ceiling: a product of two square matrices, on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .steps import Steps, milliseconds

_DTYPES = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


class MatrixProduct(Steps):
    """One product as a step, whatever the phase.

    Args:
        backend: what computes it.
        precision: float32, or mixed_float16 and mixed_bfloat16 for matrices of that type.
        threads: CPU cores for it.
        size: rows and columns of both matrices.
    """

    def __init__(self, backend: str, precision: str, threads: int, size: int) -> None:
        dtype = _DTYPES.get(precision, precision)
        makers = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}
        self._size = size
        self._run, self._device = makers[backend](dtype, size, threads)

    def prepare(self, phase: str) -> float:
        return milliseconds(lambda: self._run(1))

    def run(self, phase: str, count: int) -> None:
        self._run(count)

    def multiply_adds(self) -> int | None:
        return self._size**3

    def facts(self) -> dict[str, Any]:
        return {"jit_compile": False, "gpu": self._device.gpu()}

    def peak_memory_mib(self) -> float | None:
        return self._device.peak_memory_mib()


# What runs so many products, and the module of its device.
_Product = tuple[Callable[[int], None], Any]


def _on_tensorflow(dtype: str, size: int, threads: int) -> _Product:
    import tensorflow as tf

    from . import tensorflow_device

    a, b = (tf.cast(tf.random.stateless_uniform([size, size], [0, seed]), dtype) for seed in (0, 1))
    multiply = tf.function(lambda: tf.matmul(a, b))

    def run(count: int) -> None:
        for _ in range(count):
            multiply()
        tensorflow_device.synchronize()

    return run, tensorflow_device


def _on_jax(dtype: str, size: int, threads: int) -> _Product:
    import jax

    from . import jax_device

    a, b = (jax.random.uniform(jax.random.key(seed), (size, size)).astype(dtype) for seed in (0, 1))
    multiply = jax.jit(jax.numpy.matmul)

    def run(count: int) -> None:
        before = multiply(a, b)
        for _ in range(count - 1):
            # One ahead keeps the device busy; all of them would fill its memory.
            last = multiply(a, b)
            before.block_until_ready()
            before = last
        before.block_until_ready()

    return run, jax_device


def _on_torch(dtype: str, size: int, threads: int) -> _Product:
    import torch

    from . import torch_device

    torch_device.prepare(threads)
    a, b = (
        torch.rand(size, size, device=torch_device.name(), dtype=torch.float32).to(
            getattr(torch, dtype)
        )
        for _ in range(2)
    )

    def run(count: int) -> None:
        for _ in range(count):
            torch.matmul(a, b)
        torch_device.synchronize()

    return run, torch_device
