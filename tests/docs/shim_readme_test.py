"""The examples of shim/README.md run, in their order."""

import pathlib
import re

import pytest
from shimzoo import shim

SHIM = pathlib.Path(__file__).resolve().parents[2] / "shim"


@pytest.fixture(autouse=True)
def installed_as_it_was():
    yield
    shim.install()  # The last example uninstalls, and other files' tests run in this process.


def test_examples_run():
    text = (SHIM / "README.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 6
    names = {"__name__": "__main__"}
    for example in examples:
        line = text[: text.index(example)].count("\n")
        exec(compile("\n" * line + example, SHIM / "README.md", "exec"), names)
