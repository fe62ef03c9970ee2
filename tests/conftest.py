"""What every test run needs before TensorFlow is imported."""

import os
import signal
import sys
from pathlib import Path

import hypothesis
import pytest

# A process under test that imports TensorFlow, builds and trains a model.
WORKER_MEMORY_BYTES = 2e9

# Of TensorFlow's log, warnings and errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
os.environ.setdefault("MPLBACKEND", "agg")

# A run started in the background is told to ignore Ctrl-C, and so would be all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The time of a first example holds TensorFlow's tracing, so it says nothing.
hypothesis.settings.register_profile("shimzoo", deadline=None, database=None, derandomize=True)
hypothesis.settings.load_profile("shimzoo")


def _available_cores() -> int:
    cores = len(os.sched_getaffinity(0))
    limit = Path("/sys/fs/cgroup/cpu.max")
    if limit.exists():
        quota, period = limit.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


def _available_memory_bytes() -> float:
    fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    memory_bytes = float(fields["MemAvailable"].split()[0]) * 1024
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.exists() and limit.read_text().strip() != "max":
        memory_bytes = min(memory_bytes, float(limit.read_text()))
    return memory_bytes


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Says what `-n auto` means: workers by cores, one each unless told, as far as memory goes."""
    wanted = _available_cores() * float(os.environ.get("SHIMZOO_WORKERS_PER_CORE", "1"))
    return max(1, int(min(wanted, _available_memory_bytes() / WORKER_MEMORY_BYTES)))


# The number of threads decides in which order TensorFlow sums, and so the last digits; in training
# they grow through batch norm to 2e-4 of the logits. So it is the same on every machine.
for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "2")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Makes two devices of the CPU, for tests of strategies with two replicas.

    This must come before TensorFlow's first operation, so it can't wait for such a test.
    """
    if tensorflow := sys.modules.get("tensorflow"):
        cpu = tensorflow.config.list_physical_devices("CPU")[0]
        halves = [tensorflow.config.LogicalDeviceConfiguration() for _ in range(2)]
        tensorflow.config.set_logical_device_configuration(cpu, halves)
