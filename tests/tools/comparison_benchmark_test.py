"""`shimzoo benchmark compare`: what is beyond noise, and what is said of other machines."""

import csv
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shimzoo import cli
from shimzoo.tools.benchmark import results_file, rows
from shimzoo.tools.benchmark.comparison import Change, Value
from shimzoo.tools.benchmark.rows import Row

FACTS = {"model": "resnet_v1_50", "batch_size": 8, "tensorflow": "2.21.0"}


def write(path, samples, unit="ms", **facts):
    """A file of results: by contender its training times."""
    found = [Row.of(name, "training", unit, sample) for name, sample in samples.items()]
    known = {name: {**FACTS, **facts} for name in samples}
    lines = rows.lines(found, "throughput", known)
    results_file.write_csv(path, lines, results_file.origin())


def compared(capsys, tmp_path, *options):
    code = cli.main(["benchmark", "compare", "a.csv", "b.csv", *options])
    return code, [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


STEADY, NOISY = [10.0, 10.1, 10.2, 10.1, 10.1], [8.0, 10.0, 11.0, 12.0, 14.0]
STEADY_SHOWN, NOISY_SHOWN = ("10.1", "(10.1..10.1)"), ("11", "(9.596..12.4)")


def test_what_is_beyond_noise_is_told(capsys, tmp_path):
    before = {"slow": STEADY, "fast": STEADY, "noisy": NOISY, "few": [10.0] * 4}
    after = {
        "slow": [2 * x for x in STEADY],
        "fast": [x / 2 for x in STEADY],
        "noisy": [x + 0.5 for x in NOISY],
        "few": [30.0] * 4,
    }
    write(tmp_path / "a.csv", before)
    write(tmp_path / "b.csv", after)
    code, lines = compared(capsys, tmp_path)
    assert code == 0
    assert lines[1:5] == [
        ["slow:", "training", *STEADY_SHOWN, "20.2", "(20.2..20.2)", "ms", "+100.0", "worse"],
        ["fast:", "training", *STEADY_SHOWN, "5.05", "(5.05..5.05)", "ms", "-50.0", "better"],
        ["noisy:", "training", *NOISY_SHOWN, "11.5", "(10.1..12.9)", "ms", "+4.5", "same"],
        ["few:", "training", "10", "30", "ms", "+200.0", "unclear"],
    ]
    assert compared(capsys, tmp_path, "--fail-above", "120")[0] == 0
    code, lines = compared(capsys, tmp_path, "--fail-above", "99")
    assert code == 1
    assert ["1", "result(s)", "worse", "by", "more", "than", "99", "%,", "0", "lost"] in lines


def test_names_and_units_are_whole_where_they_go_to_no_terminal(capsys, tmp_path):
    name = "a_contender_of_" + 20 * "many_" + "words"
    for path in ("a.csv", "b.csv"):
        write(tmp_path / path, {"x": STEADY, name: STEADY}, unit="images/s")
    _, lines = compared(capsys, tmp_path)
    shown = [f"{name}:", "training", *STEADY_SHOWN, *STEADY_SHOWN, "images/s", "+0.0", "same"]
    assert lines[2] == shown


def test_what_tells_numbers_apart_is_in_their_names(capsys, tmp_path):
    sizes = [{"batch_size": 8}, {"batch_size": 9, "strategy": "mirrored"}]
    for path in ("a.csv", "b.csv"):
        found = [Row.of("x", "training", "ms", STEADY), Row.of("y", "inference", "ms", STEADY)]
        lines = [line | size for size in sizes for line in rows.lines(found[:1], "", {})]
        lines += rows.lines(found[1:], "", {})
        results_file.write_csv(tmp_path / path, lines, results_file.origin())
    _, lines = compared(capsys, tmp_path)
    assert [" ".join(line).partition(" 10.1 ")[0] for line in lines[1:4]] == [
        "x: training (batch_size=8, strategy=none)",
        "x: training (batch_size=9, strategy=mirrored)",
        "y: inference",
    ]


def test_more_images_a_second_are_better(capsys, tmp_path):
    write(tmp_path / "a.csv", {"x": STEADY}, unit="images/s")
    write(tmp_path / "b.csv", {"x": [2 * x for x in STEADY]}, unit="images/s")
    _, lines = compared(capsys, tmp_path)
    assert lines[1] == [
        *("x:", "training", *STEADY_SHOWN, "20.2", "(20.2..20.2)", "images/s", "-50.0", "better")
    ]


def test_other_machines_versions_and_results_are_told(capsys, tmp_path):
    write(tmp_path / "a.csv", {"x": STEADY, "y": STEADY}, tensorflow="2.20.0", cpu="this one")
    write(tmp_path / "b.csv", {"x": STEADY, "z": STEADY}, cpu="that one")
    _, lines = compared(capsys, tmp_path)
    said = [" ".join(line) for line in lines]
    assert "other cpu: this one before, that one after" in said
    assert "other tensorflow: 2.20.0 before, 2.21.0 after" in said
    assert "1 result(s) only in 'a.csv'" in said
    assert "1 result(s) only in 'b.csv'" in said


@pytest.mark.parametrize("complete", [True, False])
def test_a_run_that_was_interrupted_is_told_of(capsys, tmp_path, complete):
    write(tmp_path / "a.csv", {"x": STEADY})
    write(tmp_path / "b.csv", {"x": STEADY}, complete=complete)
    said = [" ".join(line) for line in compared(capsys, tmp_path)[1]]
    assert ("'b.csv' is of a run that was interrupted" in said) is not complete
    assert "'a.csv' is of a run that was interrupted" not in said


def write_rows(path, *found):
    results_file.write_csv(path, rows.lines(found, "throughput", {}), results_file.origin())


def test_ratios_of_both_files_are_compared(capsys, tmp_path):
    def found(factor, share, *others):
        return [
            Row.of("x", "training", "ms", NOISY),
            Row.ratio("x", "training", [factor * time for time in STEADY], "y", STEADY),
            Row.ratio("x", "training_share", [share * time for time in STEADY], "z", STEADY),
            *others,
        ]

    write_rows(
        tmp_path / "a.csv", *found(1.0, 0.9), Row.ratio("x", "training", STEADY, "w", STEADY)
    )
    write_rows(tmp_path / "b.csv", *found(1.5, 0.6))
    code, lines = compared(capsys, tmp_path, "--fail-above", "40")
    assert lines[1:4] == [
        ["x:", "training", *NOISY_SHOWN, *NOISY_SHOWN, "ms", "+0.0", "same"],
        ["x:", "training", "/", "y", "1", "(1..1)", "1.5", "(1.5..1.5)", "ratio", "+50.0", "worse"],
        [
            *("x:", "training_share", "/", "z", "0.9", "(0.9..0.9)", "0.6", "(0.6..0.6)"),
            *("ratio", "+50.0", "worse"),
        ],
    ]
    assert code == 1
    assert ["2", "result(s)", "worse", "by", "more", "than", "40", "%,", "1", "lost"] in lines


def test_a_ratio_that_is_lost_is_too_much(capsys, tmp_path):
    ours = Row.of("x", "training", "ms", STEADY)
    write_rows(tmp_path / "a.csv", ours, Row.ratio("x", "training", STEADY, "y", STEADY))
    write_rows(tmp_path / "b.csv", ours)
    assert compared(capsys, tmp_path)[0] == 0
    code, lines = compared(capsys, tmp_path, "--fail-above", "1000")
    assert code == 1
    assert lines[2] == ["x:", "training", "/", "y", "1", "(1..1)", "-", "ratio", "lost"]
    # What is new is no loss.
    assert cli.main(["benchmark", "compare", "b.csv", "a.csv", "--fail-above", "0"]) == 0


def test_ratios_of_rates_are_better_where_they_are_larger(capsys, tmp_path):
    for name, factor in (("a.csv", 1.0), ("b.csv", 2.0)):
        faster = [factor * rate for rate in STEADY]
        found = (
            Row.of("x", "train", "images/s", faster),
            Row.ratio("x", "train", faster, "y", STEADY),
        )
        write_rows(tmp_path / name, *found)
    _, lines = compared(capsys, tmp_path)
    assert [line[-2:] for line in lines[1:3]] == [["-50.0", "better"]] * 2


def test_a_result_that_is_lost_is_too_much(capsys, tmp_path):
    write(tmp_path / "a.csv", {"x": STEADY, "y": STEADY})
    failed = Row("y", "training", "ms", note="out of memory: no")
    lines = rows.lines(
        [Row.of("x", "training", "ms", STEADY), failed], "throughput", {"x": FACTS, "y": FACTS}
    )
    results_file.write_csv(tmp_path / "b.csv", lines, results_file.origin())
    assert compared(capsys, tmp_path)[0] == 0
    code, lines = compared(capsys, tmp_path, "--fail-above", "1000")
    assert code == 1
    assert lines[2] == ["y:", "training", *STEADY_SHOWN, "-", "ms", "lost"]
    said = [" ".join(line) for line in lines]
    assert "y: out of memory: no" in said
    assert "0 result(s) worse by more than 1000 %, 1 lost" in said


@pytest.mark.parametrize(
    ("unit", "before", "after", "percent", "outcome"),
    [
        ("ops", 730, 731, "+0.1", "worse"),
        ("ops", 731, 730, "-0.1", "better"),
        ("ops", 730, 730, "+0.0", "same"),
        ("entries", 0, 20_000, "+inf", "worse"),
        ("entries", 0, 0, "+0.0", "same"),
        ("entries", 20_000, 0, "-100.0", "better"),
        ("MiB", 1000, 1040, "+4.0", "same"),
        ("MiB", 1000, 1100, "+10.0", "worse"),
        ("MiB", 0, 0.4, "+inf", "same"),
        ("MiB", -0.1, 0.3, "+inf", "same"),
        ("MiB", 0, 17.2, "+inf", "worse"),
        ("MB", 280, 50, "-82.1", "better"),
        ("ms", 10, 30, "+200.0", "unclear"),
    ],
)
def test_what_is_counted_or_weighed_needs_no_more_than_one_round(
    capsys, tmp_path, unit, before, after, percent, outcome
):
    write_rows(tmp_path / "a.csv", Row.of("x", "measure", unit, [before]))
    write_rows(tmp_path / "b.csv", Row.of("x", "measure", unit, [after]))
    code, lines = compared(capsys, tmp_path, "--fail-above", "0")
    assert lines[1][-2:] == [percent, outcome]
    assert code == int(outcome == "worse")


def test_files_that_can_not_be_compared_are_refused(capsys, tmp_path):
    write(tmp_path / "a.csv", {"x": STEADY})
    with (tmp_path / "other.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name"], ["value"]])
    write(tmp_path / "b.csv", {"y": STEADY}, batch_size=9)
    for arguments, words in (
        (["a.csv", "b.csv"], "have no result in common"),
        (["a.csv", "other.csv"], "'other.csv' holds no results"),
        (["a.csv", "absent.csv"], "'absent.csv': No such file"),
        (["a.csv", "a.csv", "--fail-above", "-1"], "fail_above=-1: must be 0 or more"),
        (["a.csv", "a.csv", "--fail-above", "much"], "'much' is not a number"),
    ):
        assert cli.main(["benchmark", "compare", *arguments]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert words in err


# Percents of further changes have too few digits behind -99.9999 to be turned back.
values = st.floats(0.1, 1e4)


@given(before=values, after=values, is_rate=st.booleans())
def test_a_change_back_undoes_a_change(before, after, is_rate):
    first, second = (Value(value, (value, value), "", is_rate) for value in (before, after))
    there, back = Change("x", first, second), Change("x", second, first)
    assert math.isclose((1 + there.percent / 100) * (1 + back.percent / 100), 1, rel_tol=1e-9)
    if before != after:
        assert {there.outcome, back.outcome} == {"better", "worse"}
    else:
        assert there.outcome == "same"
