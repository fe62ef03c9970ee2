"""One conversion of a checkpoint, in a process of its own: how long it takes, and how much memory.

Called with a model's name and the paths of source and target.
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from pathlib import Path
from typing import Any

from ...training import startup
from .worker import Task, serve


def _memory(field: str) -> int:
    """A field of this process' status, in bytes; Linux."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in status if line.startswith(f"{field}:"))


def tasks(model: str, source: str, target: str) -> dict[str, Task]:
    """Imports what a conversion needs; what comes after that counts.

    Args:
        model: a model's name.
        source: a checkpoint of it.
        target: what to write; a prefix without an ending becomes what the name says, `tf1` or
            `tf2`.

    Returns:
        `save` makes the target of fresh values; `convert` tells `seconds` and `peak_bytes`;
        `facts` the versions.
    """
    startup.import_tensorflow()
    import keras
    import tensorflow as tf

    from ... import checkpoints, models

    format = Path(target).name if Path(target).name in checkpoints.FORMATS else None

    def save() -> None:
        checkpoints.save(models.create(model, "native"), target, format)

    def convert() -> dict[str, Any]:
        before = _memory("VmRSS")
        start = time.perf_counter()
        checkpoints.convert(source, target, model=model, format=format)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "peak_bytes": max(0, _memory("VmHWM") - before)}

    def facts() -> dict[str, Any]:
        return {
            "model": model,
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "h5py": importlib.metadata.version("h5py"),
            "safetensors": importlib.metadata.version("safetensors"),
        }

    return {"save": save, "convert": convert, "facts": facts}


if __name__ == "__main__":
    serve(lambda: tasks(*sys.argv[1:]))
