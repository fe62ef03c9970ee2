"""Rows of results: how they are judged, written and shown."""

import dataclasses
import os
import pathlib
import sys

import numpy as np
import pytest
import rich.console
from hypothesis import given
from hypothesis import strategies as st
from shimzoo import cli
from shimzoo.tools.benchmark import report, results_file, rows, targets
from shimzoo.tools.benchmark.rows import Row
from shimzoo.tools.benchmark.summary import Summary

AT_MOST, AT_LEAST = targets.Bound(1.02), targets.Bound(0.95, at_least=True)


@pytest.mark.parametrize(
    ("bound", "low", "high", "outcome"),
    [
        (AT_MOST, 0.9, 1.02, "ok"),
        (AT_MOST, 0.9, 1.03, "unclear"),
        (AT_MOST, 1.02, 1.2, "unclear"),
        (AT_MOST, 1.05, 1.2, "missed"),
        (AT_LEAST, 0.95, 1.0, "ok"),
        (AT_LEAST, 0.94, 1.0, "unclear"),
        (AT_LEAST, 0.9, 0.95, "unclear"),
        (AT_LEAST, 0.88, 0.94, "missed"),
        # Counts, which have no interval.
        (targets.Bound(0.0), 0.0, 0.0, "ok"),
        (targets.Bound(0.0), 1.0, 1.0, "missed"),
    ],
)
def test_a_target_is_met_or_missed_where_all_of_the_interval_is(bound, low, high, outcome):
    assert bound.judge(low, high) == outcome


@pytest.mark.parametrize(
    ("measure", "sample", "outcome", "ends"),
    [
        ("training", [0.5] * 4, "unclear", ("", "")),
        ("training", [0.5] * 5, "ok", (0.5, 0.5)),
        ("training", [2.0] * 5, "missed", (2.0, 2.0)),
        # Taken once, and no sample of anything.
        ("memory_growth", [0.5], "ok", ("", "")),
        ("graph_ops", [2.0], "missed", ("", "")),
    ],
)
def test_few_rounds_have_no_interval_and_no_verdict(measure, sample, outcome, ends):
    row = dataclasses.replace(Row.of("x", measure, "", sample), bound=AT_MOST)
    assert row.outcome == outcome
    line = row.line()
    assert (line["low"], line["high"]) == ends


@pytest.mark.parametrize("rounds", [5, 20])
def test_an_interval_covers_the_median_as_often_as_it_says(rounds):
    random = np.random.default_rng(rounds)
    of_all = [Summary.of(random.lognormal(size=rounds)) for _ in range(200)]
    covered = [summary.low <= 1.0 <= summary.high for summary in of_all]
    assert np.mean(covered) > 0.9


@given(
    limit=st.floats(-10, 10),
    ends=st.tuples(st.floats(-10, 10), st.floats(-10, 10)).map(sorted),
    at_least=st.booleans(),
)
def test_more_than_asked_is_judged_as_less_than_allowed(limit, ends, at_least):
    low, high = ends
    outcome = targets.Bound(limit, at_least).judge(low, high)
    assert outcome == targets.Bound(-limit, not at_least).judge(-high, -low)
    if low < limit < high:
        assert outcome == "unclear"


def test_every_target_names_a_row_of_its_own():
    places = {
        (t.benchmark, t.contender, t.measure, t.against, *sorted(map(str, t.conditions.items())))
        for t in targets.TARGETS
    }
    assert len(places) == len(targets.TARGETS) == len({t.title for t in targets.TARGETS})


FOUND = [
    Row.of("ours", "training", "ms", [1.0, 3.0] * 3),
    Row.ratio("ours", "training", [1.0, 3.0] * 3, "theirs", [2.0, 4.0] * 3),
    Row("theirs", "training", "ms", note="not installed: pip install [theirs]"),
]
FACTS = {"ours": {"tensorflow": "1", "batch_size": 2}}


def test_the_csv_file_has_a_line_a_row_with_what_it_depends_on(tmp_path, monkeypatch):
    path = tmp_path / "results.csv"
    monkeypatch.setattr(sys, "argv", ["/somewhere/shimzoo", "benchmark", "x", "--out", "a b.csv"])
    found = rows.lines(FOUND, "throughput", FACTS)
    results_file.write_csv(path, found, results_file.origin())
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


def test_a_file_that_can_not_be_written_whole_stays_as_it_was(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("old")

    class Unwritable:
        def __str__(self):
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        results_file.write_csv(path, [{"measure": 1}, {"measure": Unwritable()}], {})
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_results_go_to_what_a_link_names_and_to_devices(tmp_path):
    real, link = tmp_path / "real.csv", tmp_path / "link.csv"
    real.write_text("old")
    link.symlink_to(real)
    results_file.check_writable(link)
    results_file.write_csv(link, [{"measure": 1}], {})
    assert link.is_symlink()
    assert real.read_text().split() == ["measure", "1"]
    device = pathlib.Path(os.devnull)
    results_file.check_writable(device)
    results_file.write_csv(device, [{"measure": 1}], {})
    assert device.is_char_device()


@pytest.mark.parametrize(
    "content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", b"measure,git_commit\n1,2\n"]
)
def test_other_files_are_refused(tmp_path, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(ValueError, match="holds no results: give a file"):
        results_file.read_csv(tmp_path / "x.csv")


def written(path, *found):
    results_file.write_csv(path, rows.lines(found, "throughput", FACTS), results_file.origin())
    return path.read_text()


# Of a line of results: the step of "ours", in milliseconds.
@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("median", "nan", "column median: 'nan' is no finite number"),
        ("median", "inf", "column median: 'inf' is no finite number"),
        ("median", "fast", "column median: 'fast' is no finite number"),
        ("median", "0.0", "column median: '0.0' is not above 0"),
        ("median", "-1.0", "column median: '-1.0' is not above 0"),
        ("q1", "", "column q1: it is empty, and q3 is not"),
        ("q3", "1,5", "column q3: '1,5' is no finite number"),
        ("rounds", "", "column rounds: '' is no whole number of 1 or more"),
        ("rounds", "0", "column rounds: '0' is no whole number of 1 or more"),
        ("rounds", "2.5", "column rounds: '2.5' is no whole number of 1 or more"),
        ("batch_size", "two", "column batch_size: 'two' is no whole number of 1 or more"),
    ],
)
@pytest.mark.parametrize("command", [["compare", "x.csv", "x.csv"], ["table", "x.csv"], ["input"]])
def test_a_number_that_is_none_is_refused_with_its_place(
    capsys, tmp_path, monkeypatch, command, column, value, words
):
    monkeypatch.chdir(tmp_path)
    [line] = rows.lines(FOUND[:1], "throughput", FACTS)
    sizes = {"stage": "native", "image_size": 224}
    results_file.write_csv(
        tmp_path / "x.csv", [line | sizes, line | sizes | {column: value}], results_file.origin()
    )
    options = ["--step-of", "x.csv"] if command == ["input"] else []
    assert cli.main(["benchmark", *command, *options]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"'x.csv', line 3, {words}." in err


@given(st.data())
def test_a_file_that_is_cut_is_refused_wherever_that_is(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "x.csv"
    whole = written(path, *FOUND)
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))].encode())
    is_at_the_end_of_a_line = path.read_bytes().endswith(b"\n")
    if is_at_the_end_of_a_line and path.read_bytes().count(b"\n") > 1:
        assert len(results_file.read_csv(path)) < len(FOUND)
        return
    with pytest.raises(ValueError, match=r"line \d, column \w+: |line \d: |holds no results"):
        results_file.read_csv(path)


def test_what_a_line_has_too_many_is_refused(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(written(path, *FOUND).rstrip("\n") + ",1\n")
    with pytest.raises(ValueError, match=r"line 4, column threads: the line goes on behind it"):
        results_file.read_csv(path)


def test_growth_can_be_nothing_or_less(tmp_path):
    path = tmp_path / "x.csv"
    written(path, *(Row.of("x", "memory_growth", "MiB", [value]) for value in (0.0, -0.1)))
    assert [line["median"] for line in results_file.read_csv(path)] == ["0.0", "-0.1"]


def test_the_table_fits_a_terminal_and_says_why_a_number_is_missing():
    console = rich.console.Console(width=80)
    judged = [FOUND[0], dataclasses.replace(FOUND[1], bound=AT_LEAST), FOUND[2]]
    with console.capture() as capture:
        report.show(console, judged, {"training": "training step, ms"}, ["as it is"])
    text = capture.get()
    assert "…" not in text
    assert [line.split() for line in text.splitlines()][1:5] == [
        ["training", "step,", "ms"],
        ["ours", "2.00", "1.00..3.00", "1.00..3.00", "6"],
        ["/", "theirs", "0.625", "0.500..0.750", "0.500..0.750", "6", "≥", "0.95", "missed"],
        ["theirs", "-"],
    ]
    last = [line.strip() for line in text.splitlines()][-2:]
    assert last == ["as it is", "theirs: not installed: pip install [theirs]"]


def test_a_step_is_shown_in_images_a_second_too():
    rows_of_steps = [
        Row.of("ours", "training", "ms", [10.0, 20.0, 20.0, 20.0, 40.0], images=8),
        Row.of("product", "training", "ms", [10.0]),
    ]
    console = rich.console.Console(width=80)
    with console.capture() as capture:
        report.show(console, rows_of_steps, {"training": "training step, ms"})
    shown = [line.split() for line in capture.get().splitlines()]
    assert shown[2:5] == [
        ["ours", "20.0", "20.0..20.0", "10.0..40.0", "5"],
        ["images/s", "400", "400..400"],
        ["product", "10.0", "10.0..10.0", "-", "1"],
    ]


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=4), st.integers(1, 1024))
def test_the_more_time_the_fewer_images_a_second(times, images):
    row = Row.of("x", "training", "ms", times, images=images)
    median, q1, q3 = row.images_per_second
    assert q1 <= median <= q3
    assert median * row.summary.median == pytest.approx(1e3 * images)
    assert Row.of("x", "training", "ms", times).images_per_second is None
