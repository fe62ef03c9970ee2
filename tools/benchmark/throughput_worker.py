"""A contender of `throughput`, in its own process: called with its kind, backend and settings."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ... import models
from .throughput_settings import (
    KERAS_APPLICATIONS,
    MATRIX_PRODUCT,
    TF1_SESSION,
    Settings,
)
from .worker import Task, peak_resident_mib, serve, timed

if TYPE_CHECKING:
    from .steps import Steps

# A run repeats steps until it takes that long, so that the clock's and the call's cost is small.
_RUN_MS = 200.0
_FRAMEWORKS = ("tensorflow", "keras", "jax", "torch", "torchvision", "timm")


def steps_of(kind: str, backend: str, settings: Settings) -> Steps:
    """Makes a contender: imports its framework, builds the model and puts a batch beside it.

    Args:
        kind: one of `throughput_settings.CONTENDERS`.
        backend: what runs it.
        settings: what is measured.
    """
    if kind == MATRIX_PRODUCT:
        from .matrix_product import MatrixProduct

        return MatrixProduct(backend, settings.precision, settings.threads, settings.matrix_size)
    if kind == TF1_SESSION:
        from .slim_session import SlimSteps

        return SlimSteps(settings)
    if kind in models.STAGES or kind == KERAS_APPLICATIONS:
        if backend == "torch":
            from . import torch_device

            torch_device.prepare(settings.threads)
        from . import keras_contenders

        if kind == KERAS_APPLICATIONS:
            return keras_contenders.applications(settings)
        return keras_contenders.zoo(kind, settings)
    from .torch_contenders import TorchSteps

    return TorchSteps(kind, settings)


def tasks_of(kind: str, backend: str, settings: Settings) -> dict[str, Task]:
    """What a contender is asked for, by name; arguments as for `steps_of`."""
    steps = steps_of(kind, backend, settings)
    tasks: dict[str, Task] = {
        "memory": lambda: steps.peak_memory_mib() or peak_resident_mib(),
        "multiply_adds": steps.multiply_adds,
        "facts": lambda: {**_facts(backend), **steps.facts()},
    }
    for phase in settings.phases:
        tasks[f"{phase}_first"] = functools.partial(steps.prepare, phase)
        tasks[phase] = repeated(functools.partial(steps.run, phase))
    if settings.real_input and kind in models.STAGES and backend == "tensorflow":
        tasks["training_on_files"] = repeated(steps.run_on_files, steps.open_files)
    return tasks


def repeated(run: Callable[[int], Any], begin: Callable[[], Any] = lambda: None) -> Task:
    """A task that runs several steps and tells the milliseconds of one.

    How many is found in its first run and stays the same.

    Args:
        run: called with how many.
        begin: called before each run, untimed.
    """
    count = 0

    def milliseconds_of(steps: int) -> float:
        return timed(functools.partial(run, steps), begin)()

    def milliseconds_a_step() -> float:
        nonlocal count
        if not count:
            milliseconds_of(1)  # The first on another kind of input traces.
            count = max(1, round(_RUN_MS / milliseconds_of(1)))
        return milliseconds_of(count) / count

    return milliseconds_a_step


def _facts(backend: str) -> dict[str, Any]:
    imported = {name: sys.modules.get(name) for name in _FRAMEWORKS}
    versions = {name: getattr(module, "__version__", "") for name, module in imported.items()}
    versions["tf_slim"] = importlib.metadata.version("tf-slim") if "tf_slim" in sys.modules else ""
    return {"backend": backend, "python": platform.python_version(), **versions}


def pin(threads: int) -> None:
    """Keeps this process, before it imports a framework, to so many of its cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ[name] = str(threads)


def main(kind: str, backend: str, settings_json: str) -> None:
    """Serves the driver."""
    settings = Settings.from_json(settings_json)
    pin(settings.threads)
    serve(lambda: tasks_of(kind, backend, settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
