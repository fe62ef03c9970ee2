"""Runs one test file with pytest as Bazel's test protocol wants it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


class Sharding:
    """Leaves of the collected tests every n-th one, and the rest to the other shards."""

    def __init__(self, index: int, total: int):
        self.index = index
        self.total = total

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Keeps this shard's items."""
        kept = items[self.index :: self.total]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept


def import_from_runfiles(root: Path) -> None:
    """Makes `shimzoo` the files that the test's target declares, and nothing else.

    An installed shimzoo would hide a dependency that the target forgot.
    """
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if "editable" not in getattr(finder, "__module__", "")
    ]
    packages = Path(os.environ["TEST_TMPDIR"]) / "packages"
    packages.mkdir()
    (packages / "shimzoo").symlink_to(root)
    sys.path.insert(0, str(packages))
    # For the processes that tests start.
    os.environ["PYTHONPATH"] = f"{packages}:{os.environ.get('PYTHONPATH', '')}".rstrip(":")


def give_a_home_of_its_own() -> None:
    """Keeps libraries' caches and settings out of the user's home, which may be read-only."""
    home = Path(os.environ["TEST_TMPDIR"]) / "home"
    home.mkdir()
    os.environ["HOME"] = str(home)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        os.environ.pop(name, None)


def main() -> int:
    """Runs pytest on the file named on the command line and returns Bazel's exit code."""
    root = Path(os.environ["TEST_SRCDIR"]) / os.environ["TEST_WORKSPACE"]
    import_from_runfiles(root)
    give_a_home_of_its_own()
    arguments = [
        f"--rootdir={root}",
        f"--config-file={root / 'pyproject.toml'}",
        f"--basetemp={os.environ['TEST_TMPDIR']}/pytest",
        "-p",
        "no:cacheprovider",
        str(root / sys.argv[1]),
        *sys.argv[2:],
    ]
    if report := os.environ.get("XML_OUTPUT_FILE"):
        arguments.append(f"--junit-xml={report}")
    if names := os.environ.get("TESTBRIDGE_TEST_ONLY"):
        arguments += ["-k", names]
    plugins = []
    if total := int(os.environ.get("TEST_TOTAL_SHARDS", "0")):
        Path(os.environ["TEST_SHARD_STATUS_FILE"]).touch()
        plugins.append(Sharding(int(os.environ["TEST_SHARD_INDEX"]), total))
    code = pytest.main(arguments, plugins=plugins)
    # That a filter or a shard leaves nothing of this file is no failure; a file without tests is.
    if code == pytest.ExitCode.NO_TESTS_COLLECTED and (names or total):
        return 0
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
