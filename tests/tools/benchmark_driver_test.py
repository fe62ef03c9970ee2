"""What all benchmarks share: contenders in turns, medians, targets, and the files of results.

No test asserts a time.
"""

import collections
import contextlib
import dataclasses
import itertools
import os
import sys

import numpy as np
import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st
from shimzoo.tools.benchmark import report, results_file, rows, targets
from shimzoo.tools.benchmark.driver import Contender, ContenderError, interleaved, orders
from shimzoo.tools.benchmark.rows import Row
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


AT_MOST, AT_LEAST = targets.Bound(1.02), targets.Bound(0.95, at_least=True)


@pytest.mark.parametrize(
    ("bound", "value", "low", "high", "outcome"),
    [
        (AT_MOST, 1.0, 0.9, 1.2, "ok"),
        (AT_MOST, 1.1, 1.0, 1.2, "unclear"),
        (AT_MOST, 1.1, 1.05, 1.2, "missed"),
        (AT_LEAST, 0.96, 0.9, 1.0, "ok"),
        (AT_LEAST, 0.94, 0.9, 1.0, "unclear"),
        (AT_LEAST, 0.90, 0.88, 0.94, "missed"),
    ],
)
def test_a_target_is_missed_where_the_rounds_tell_it_apart(bound, value, low, high, outcome):
    assert bound.judge(value, low, high) == outcome


def test_every_target_names_a_row_of_its_own():
    places = {
        (t.benchmark, t.contender, t.measure, t.against, *sorted(map(str, t.conditions.items())))
        for t in targets.TARGETS
    }
    assert len(places) == len(targets.TARGETS) == len({t.title for t in targets.TARGETS})


FOUND = [
    Row.of("ours", "training", "ms", [1.0, 3.0]),
    Row.ratio("ours", "training", [1.0, 3.0], "theirs", [2.0, 4.0]),
    rows.noted(Row("theirs", "training", "ms"), "not installed: pip install [theirs]"),
]
FACTS = {"ours": {"tensorflow": "1", "batch_size": 2}}


def test_the_csv_file_has_a_line_a_row_with_what_it_depends_on(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    monkeypatch.setattr(sys, "argv", ["/somewhere/shimzoo", "benchmark", "x", "--out", "a b.csv"])
    results_file.write_csv(path, rows.lines(FOUND, "throughput", FACTS))
    lines = results_file.read_csv(path)
    assert list(lines[0]) == [
        *["benchmark", "contender", "measure", "unit", "against", "rounds"],
        *["median", "q1", "q3", "low", "high", "target", "outcome", "note"],
        *["tensorflow", "batch_size", "date", "git_commit", "command", "cpu", "cores", "threads"],
    ]
    assert [(line["median"], line["against"]) for line in lines] == [
        *[("2.0", ""), ("0.625", "theirs"), ("", "")]
    ]
    assert lines[0]["command"] == "shimzoo benchmark x --out 'a b.csv'"
    assert lines[2]["note"].startswith("not installed")
    assert int(lines[0]["cores"]) >= 1
    assert lines[0]["cpu"]


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"git_commit\n1,2,3\n"])
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match="holds no results: give a file"):
        results_file.read_csv(tmp_path / "x.csv")


def test_the_table_fits_a_terminal_and_says_why_a_number_is_missing():
    console = rich.console.Console(width=80)
    judged = [FOUND[0], dataclasses.replace(FOUND[1], bound=AT_LEAST), FOUND[2]]
    with console.capture() as capture:
        report.show(console, judged, {"training": "training step, ms"}, ["as it is"])
    text = capture.get()
    assert "…" not in text
    assert [line.split() for line in text.splitlines()][1:5] == [
        ["training", "step,", "ms"],
        ["ours", "2.00", "1.50..2.50", "1.00..3.00"],
        ["/", "theirs", "0.625", "0.562..0.688", "0.500..0.750", "≥", "0.95", "missed"],
        ["theirs", "-"],
    ]
    last = [line.strip() for line in text.splitlines()][-2:]
    assert last == ["as it is", "theirs: not installed: pip install [theirs]"]
