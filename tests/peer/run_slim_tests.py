"""Runs one of TF-Slim's own test files, as it is installed, after `shim.install()`.

    python tests/peer/run_slim_tests.py tf_slim.layers.layers_test OUTCOMES.xml

A process of its own for each file, because most of them switch eager execution off for good.
"""

import importlib.util
import runpy
import sys
import types

from shimzoo import shim


def supply_nose() -> None:
    """Supplies the one name that a test file wants from `nose`, which no Python from 3.10 runs.

    It marks a function as none of nose's tests, and nose is not what runs them here.
    """
    tools = types.ModuleType("nose.tools")
    tools.nottest = lambda function: function
    sys.modules |= {"nose": types.ModuleType("nose"), "nose.tools": tools}


def main() -> None:
    module, outcomes = sys.argv[1:]
    shim.install()
    supply_nose()
    sys.argv[1:] = [f"--xml_output_file={outcomes}"]
    runpy.run_path(importlib.util.find_spec(module).origin, run_name="__main__")


if __name__ == "__main__":
    main()
