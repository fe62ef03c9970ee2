"""Runs on parameter servers: what their workers can't do."""

import json
import sys

from . import processes


def test_a_worker_that_can_not_make_its_iterator_ends_the_run():
    job = [sys.executable, "-m", "shimzoo.tests.training.iterator_job"]
    addresses = json.dumps(processes.free_addresses(3))
    ((code, output),) = processes.results_of([[*job, addresses]], [processes.environ()])
    assert code == 1, output
    assert "steps: nowhere; No such file or directory. Once that is mended" in output
