"""The table of exceptions from TF-Slim's own tests: complete, with reasons, and told as it is."""

import importlib.util
import re
from collections import Counter
from pathlib import Path

from shimzoo.tests.peer.slim_tests_table import FILES, REASONS

PAGE = Path(__file__).parents[2] / "shim" / "README.md"
TOLD = re.compile(
    r"Of its (\d+) files and (\d+) tests all pass .*? but (\d+): (\d+) .*?, (\d+) .*?, and (\d+) ",
    re.DOTALL,
)


def test_the_table_has_every_file_of_slims_and_a_reason_for_every_exception():
    slim = Path(importlib.util.find_spec("tf_slim").origin).parent
    files = {
        ".".join(file.relative_to(slim.parent).with_suffix("").parts)
        for file in slim.rglob("*_test.py")
    }
    assert files == FILES.keys()
    used = {reason for file in FILES.values() for reason in file.get("exceptions", {}).values()}
    assert used == REASONS.keys()


def test_the_page_tells_the_tables_numbers():
    counts = Counter()
    for file in FILES.values():
        for reason in file.get("exceptions", {}).values():
            counts[REASONS[reason].partition(" ")[0].rstrip(":")] += 1
    told = TOLD.search(PAGE.read_text())
    tests = sum(file["tests"] for file in FILES.values())
    kinds = [counts["NumPy"], counts["TensorFlow"], counts["Fails"]]
    assert [int(n) for n in told.groups()] == [len(FILES), tests, sum(kinds), *kinds]
