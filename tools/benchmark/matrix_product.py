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
        self._run, self._gpu = makers[backend](dtype, size, threads)

    def prepare(self, phase: str) -> float:
        return milliseconds(lambda: self._run(1))

    def run(self, phase: str, count: int) -> None:
        self._run(count)

    def multiply_adds(self) -> int | None:
        return self._size**3

    def facts(self) -> dict[str, Any]:
        return {"jit_compile": False, "gpu": self._gpu}


_Run = Callable[[int], None]


def _on_tensorflow(dtype: str, size: int, threads: int) -> tuple[_Run, str]:
    import tensorflow as tf

    from .keras_steps import tensorflow_gpu

    a, b = (tf.cast(tf.random.stateless_uniform([size, size], [0, seed]), dtype) for seed in (0, 1))
    multiply = tf.function(lambda: tf.matmul(a, b))

    def run(count: int) -> None:
        for _ in range(count):
            multiply()
        tf.test.experimental.sync_devices()

    return run, tensorflow_gpu()


def _on_jax(dtype: str, size: int, threads: int) -> tuple[_Run, str]:
    import jax

    a, b = (jax.random.uniform(jax.random.key(seed), (size, size)).astype(dtype) for seed in (0, 1))
    multiply = jax.jit(jax.numpy.matmul)

    def run(count: int) -> None:
        products = [multiply(a, b) for _ in range(count)]
        jax.block_until_ready(products)

    device = jax.devices()[0]
    return run, "" if device.platform == "cpu" else device.device_kind


def _on_torch(dtype: str, size: int, threads: int) -> tuple[_Run, str]:
    import torch

    from . import torch_device

    torch.set_num_threads(threads)
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

    return run, torch_device.gpu()
