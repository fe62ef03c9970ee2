"""What PyTorch runs on, and how."""

from __future__ import annotations

import torch


def name() -> str:
    """PyTorch's name of the device: "cuda", or "cpu" where there is no GPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def prepare(threads: int) -> None:
    """Lets it run as the other frameworks do by themselves.

    It uses so many threads, looks for the fastest convolutions, and computes both products and
    convolutions of float32 in TF32, where the GPU has it.
    """
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = True


def gpu() -> str:
    """The GPU's name; empty where there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else ""


def synchronize() -> None:
    """Waits for the GPU; the CPU needs no waiting for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory_mib() -> float | None:
    """The most of the GPU's memory that was in use; None where there is none."""
    return torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
