"""What a run was made by: versions, git revision, command."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys

_PACKAGE = pathlib.Path(__file__).resolve().parent.parent


def versions() -> dict[str, str | None]:
    """Versions of python, shimzoo, and of what a run's numbers depend on.

    Returns:
        The versions by name; None for shimzoo where it runs from a checkout uninstalled.
    """
    import keras
    import tensorflow as tf

    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        **{name: importlib.metadata.version(name) for name in ("tf-slim", "numpy", "scikit-learn")},
        "shimzoo": _own_version(),
    }


def _own_version() -> str | None:
    try:
        return importlib.metadata.version("shimzoo")
    except importlib.metadata.PackageNotFoundError:
        return None


def devices() -> list[str]:
    """What there is to compute on: GPUs by their names, the CPU by architecture and cores.

    Returns:
        For instance `["CPU: x86_64, 2 cores", "GPU: NVIDIA H200"]`.
    """
    import tensorflow as tf

    cpu = f"{platform.machine()}, {os.cpu_count()} cores"
    found = []
    for device in tf.config.list_physical_devices():
        details = tf.config.experimental.get_device_details(device)
        name = cpu if device.device_type == "CPU" else details.get("device_name", device.name)
        found.append(f"{device.device_type}: {name}")
    return found


def git_revision() -> str | None:
    """The commit of the checkout that shimzoo runs from, with "-dirty" if files were changed.

    Returns:
        40 hexadecimal digits, or None if shimzoo does not run from a git checkout of its own.
    """
    # An installed package can lie in somebody else's checkout, whose revision says nothing.
    if not (_PACKAGE / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            cwd=_PACKAGE,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def command() -> str:
    """The command line of this process, as a shell would take it."""
    return shlex.join(sys.argv)
