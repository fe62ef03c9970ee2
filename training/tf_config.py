"""The cluster that TF_CONFIG tells of, as TensorFlow reads it."""

from __future__ import annotations

import json
import re
from typing import Any

from .cluster import Cluster

# For messages.
EXAMPLE = """'{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", \
"index": 0}}'"""
_ADDRESS = re.compile(r"(?P<host>[^:\s]+|\[[0-9a-fA-F:]+\]):(?P<port>\d{1,5})")
# No cluster has so many tasks, and Python makes no number of thousands of digits.
_DIGITS = 10


def read(text: str) -> Cluster:
    """Reads a cluster.

    Args:
        text: What TF_CONFIG says.

    Returns:
        The cluster, each of whose addresses can be one.

    Raises:
        ValueError: It is broken.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:  # Also of too long numbers and too deep lists.
        raise _broken(f"is not JSON ({error})") from error
    tasks, task = _part(values, "cluster"), _part(values, "task")
    for role, addresses in tasks.items():
        if not isinstance(addresses, list) or not all(isinstance(a, str) for a in addresses):
            raise _broken(f"has no list of 'host:port' for {role!r} in its 'cluster'")
        for address in addresses:
            match = _ADDRESS.fullmatch(address)
            if match is None or not 0 < int(match["port"]) < 2**16:
                raise _broken(f"has {address!r} for a {role}, which is not 'host:port'")
    every = [address for addresses in tasks.values() for address in addresses]
    if twice := {address for address in every if every.count(address) > 1}:
        raise _broken(f"has {min(twice)!r} twice: every task needs an address of its own")
    role, index = task.get("type"), task.get("index")
    if not isinstance(role, str) or role not in tasks:
        raise _broken(f"says that this is a {role!r}, and its 'cluster' has {', '.join(tasks)}")
    if isinstance(index, str) and index.isdecimal() and len(index) < _DIGITS:
        index = int(index)
    if type(index) is not int or not 0 <= index < len(tasks[role]):
        raise _broken(
            f"says that this is {role} number {index!r}, and its 'cluster' has 0 to "
            f"{len(tasks[role]) - 1}"
        )
    addresses = {role: tuple(addresses) for role, addresses in tasks.items()}
    return Cluster(addresses, role, index, "TF_CONFIG")


def _part(values: Any, name: str) -> dict[str, Any]:
    part = values.get(name) if isinstance(values, dict) else None
    if not isinstance(part, dict) or not part:
        raise _broken(f"has no {name!r}")
    return part


def _broken(how: str) -> ValueError:
    return ValueError(f"TF_CONFIG {how}: it has to look like {EXAMPLE}, or to be unset.")
