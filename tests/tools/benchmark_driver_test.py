"""What all benchmarks share: contenders in processes of their own, in turns, and their medians.

No test asserts a time.
"""

import collections
import contextlib
import itertools
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shimzoo.tools.benchmark.driver import Contender, ContenderError, interleaved, orders
from shimzoo.tools.benchmark.summary import Summary

TINY = """
import os, sys, time
from shimzoo.tools.benchmark.worker import serve, timed

log = open(sys.argv[1], "a")
ticks = 0

def tick():
    global ticks
    ticks += 1
    print(sys.argv[2], file=log, flush=True)
    print("a library's chatter")
    if len(sys.argv) > 4 and ticks > int(sys.argv[4]):
        raise MemoryError("not so much")
    return float(sys.argv[3])

def die():
    sys.stderr.write("no more paper\\n")
    sys.stderr.flush()
    os._exit(7)

def fail():
    raise ValueError("no such thing")

serve(lambda: {
    "tick": tick,
    "timed": timed(lambda: time.sleep(0.01)),
    "die": die,
    "be_killed": lambda: os.kill(os.getpid(), 9),
    "be_terminated": lambda: os.kill(os.getpid(), 15),
    "fail": fail,
})
"""


@pytest.fixture
def start(tmp_path):
    """Starts tiny contenders: `start(name, value)`, each of which answers "tick" with its value."""
    with contextlib.ExitStack() as stack:

        def start_one(name, value=1.0, *arguments, program=TINY):
            command = [sys.executable, "-c", program, str(tmp_path / "ticks"), name, str(value)]
            command += map(str, arguments)
            contender = stack.enter_context(Contender.started(name, command, os.environ))
            contender.wait_until_ready()
            return contender

        yield start_one


def test_each_round_times_every_contender_once(start, tmp_path):
    contenders = [start("a", 1.0), start("b", 2.0), start("c", 3.0)]
    advanced, samples, failures = [], {}, {}
    interleaved(contenders, "tick", 3, 1, lambda: advanced.append(1), samples, failures)
    assert samples == {"a": [1.0] * 3, "b": [2.0] * 3, "c": [3.0] * 3}
    assert not failures
    assert len(advanced) == 12
    order = (tmp_path / "ticks").read_text().split()
    rounds = [order[place : place + 3] for place in range(0, 12, 3)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert rounds == list(itertools.islice(orders(["a", "b", "c"]), 4))


@given(st.lists(st.integers(), unique=True, max_size=8), st.integers(1, 9))
def test_each_round_has_an_order_of_its_own_that_every_run_repeats(items, rounds):
    drawn = list(itertools.islice(orders(items), rounds))
    assert all(sorted(order) == sorted(items) for order in drawn)
    assert drawn == list(itertools.islice(orders(items), rounds))


def test_no_contender_always_follows_the_same_one():
    followed = {name: collections.Counter() for name in "abcdefg"}
    for order in itertools.islice(orders("abcdefg"), 50):
        for before, after in itertools.pairwise(order):
            followed[after][before] += 1
    for name, counts in followed.items():
        assert counts.keys() == set("abcdefg") - {name}
        assert max(counts.values()) < 0.5 * counts.total()


def test_a_contender_that_fails_on_the_way_leaves_the_others_to_go_on(start):
    samples, failures = {}, {}
    contenders = [start("a", 1.0), start("b", 2.0, 3)]
    interleaved(contenders, "tick", 4, 1, lambda: None, samples, failures)
    assert samples == {"a": [1.0] * 4, "b": [2.0] * 2}
    assert failures == {"b": "out of memory: MemoryError: not so much"}
    interleaved(contenders, "tick", 1, 0, lambda: None, samples, failures)
    assert samples == {"a": [1.0], "b": []}


def test_nothing_is_measured_where_nobody_takes_part():
    samples = {}
    interleaved([], "tick", 3, 1, lambda: None, samples, {})
    assert samples == {}


def test_what_was_measured_before_an_interruption_is_there(start):
    samples, failures = {}, {}

    def interrupt():
        if any(samples.values()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interleaved([start("a"), start("b")], "tick", 5, 0, interrupt, samples, failures)
    assert sorted(samples.values()) == [[], [1.0]]


def test_a_timed_task_tells_milliseconds(start):
    assert start("a").ask("timed") >= 10


def test_a_contender_that_dies_is_one_clear_line(start):
    with pytest.raises(ContenderError) as error:
        start("a").ask("die")
    assert str(error.value) == (
        "Contender a ended with exit code 7 at die. Its last words: no more paper"
    )
    assert error.value.reason == "ended with exit code 7: no more paper"


def test_a_contender_that_the_system_kills_ran_out_of_memory(start):
    with pytest.raises(ContenderError) as error:
        start("a").ask("be_killed")
    assert "out of memory" in error.value.reason


@pytest.mark.parametrize(
    ("reason", "is_memory"),
    [
        ("ResourceExhaustedError: OOM when allocating tensor with shape[8,8]", True),
        ("XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.", True),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", True),
        ("RuntimeError: [enforce fail] DefaultCPUAllocator: can't allocate memory", True),
        ("ended with exit code -6: what():  std::bad_alloc", True),
        ("ValueError: images are too small", False),
    ],
)
def test_a_lack_of_memory_is_told_from_other_failures(reason, is_memory):
    assert ContenderError("it failed", reason).reason.startswith("out of memory: ") == is_memory


def test_a_contender_that_is_dead_is_one_clear_line(start):
    contender = start("a")
    for _ in range(2):
        with pytest.raises(ContenderError, match="ended with exit code 7"):
            contender.ask("die")


def test_a_contender_that_fails_is_one_clear_line(start):
    with pytest.raises(ContenderError, match="a failed at fail: ValueError: no such"):
        start("a").ask("fail")


def test_a_contender_that_cannot_start_is_one_clear_line(start):
    with pytest.raises(ContenderError, match=r"exit code 1 at ready\..* No module named 'absent'"):
        start("a", program="import absent")


def test_no_contender_outlives_the_driver():
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with Contender.started("a", command, os.environ) as contender:
        pass
    with pytest.raises(ValueError, match="closed file"):
        contender.ask("anything")


def test_a_contender_that_nothing_more_is_asked_of_ends_by_itself(tmp_path):
    left = tmp_path / "left"
    program = """
import atexit, pathlib, sys
from shimzoo.tools.benchmark.worker import serve
atexit.register(pathlib.Path(sys.argv[1]).touch)
serve(lambda: {"fail": lambda: 1 / 0})
"""
    command = [sys.executable, "-c", program, str(left)]
    with Contender.started("a", command, os.environ) as contender:
        contender.wait_until_ready()
    assert left.exists()


def test_no_contender_outlives_a_second_ctrl_c(monkeypatch):
    def wait(process, seconds=None):
        waited.append(process)
        if seconds is not None:
            raise KeyboardInterrupt
        return really(process)

    waited, really = [], subprocess.Popen.wait
    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(KeyboardInterrupt), Contender.started("a", command, os.environ):
        pass
    assert waited[0].returncode == -signal.SIGKILL


def test_a_contender_leaves_it_to_the_driver_to_end_it(start):
    contender = start("a", 3.0)
    contender.ask("be_terminated")
    assert contender.ask("tick") == 3.0


def test_summaries_are_medians_and_quartiles():
    summary = Summary.of([4.0, 1.0, 3.0, 2.0, 5.0])
    assert (summary.median, summary.q1, summary.q3) == (3.0, 2.0, 4.0)
    assert 1.0 <= summary.low < 3.0 < summary.high <= 5.0
    # Both drift to double; in each round the first takes half of the second's time.
    exact = Summary(0.5, 0.5, 0.5, 0.5, 0.5)
    assert Summary.paired([1.0, 2.0, 1.5], [2.0, 4.0, 3.0]) == exact
    assert Summary.paired([1.0], [2.0]) == exact
    # The second did not come to the last round.
    assert Summary.paired([1.0, 2.0, 9.0], [2.0, 4.0]) == exact


def test_a_medians_interval_narrows_with_the_rounds():
    random = np.random.default_rng(0)
    few, many = (Summary.of(random.normal(1.0, 0.1, rounds)) for rounds in (20, 2000))
    for summary in (few, many):
        assert summary.low < summary.median < summary.high
        assert summary.low < 1.0 < summary.high
    assert many.high - many.low < 0.3 * (few.high - few.low)
