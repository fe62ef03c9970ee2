"""TF-Slim's own tests, the installed files, under the shim: all pass but those in the table.

`slim_tests.json` names every exception and why it is one. These take minutes: `./zoo test -m peer`.
"""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from shimzoo.tests.peer.slim_tests_table import FILES

RUNNER = Path(__file__).with_name("run_slim_tests.py")


def outcomes(xml):
    """`Class.test` -> "passed", "failed" or "skipped"."""
    found = {}
    for case in ElementTree.parse(xml).getroot().iter("testcase"):
        name = f"{case.get('classname').rpartition('.')[2]}.{case.get('name')}"
        tags = {child.tag for child in case}
        found[name] = "failed" if tags & {"failure", "error"} else "passed"
        if "skipped" in tags:
            found[name] = "skipped"
    return found


@pytest.mark.peer
@pytest.mark.parametrize("module", FILES)
def test_slims_own_tests_pass(module, tmp_path):
    xml = tmp_path / "outcomes.xml"
    run = subprocess.run(
        [sys.executable, RUNNER, module, xml],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert xml.exists(), run.stderr[-3000:]
    found = outcomes(xml)
    assert len(found) == FILES[module]["tests"]
    exceptions = FILES[module].get("exceptions", {})
    failed = {name for name, outcome in found.items() if outcome == "failed"}
    assert failed - exceptions.keys() == set(), run.stderr[-3000:]
    assert exceptions.keys() - failed == set(), "These pass now: take them out of the table."
