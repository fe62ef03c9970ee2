"""The benchmark `conversion`: what it measures, and how it tells. No test asserts a time."""

import csv
import dataclasses
import itertools

import pytest
from shimzoo import cli
from shimzoo.tools.benchmark import conversion
from shimzoo.tools.benchmark.driver import ContenderError

NAME = "mobilenet_v1_0.25_128"
ROW = conversion.Row("tf1", "h5", 3, 1.0, 0.9, 1.1, 2.5, 2.4, 2.6, 100.0, 0.4)


def refused(capsys, *arguments):
    assert cli.main(["benchmark", "conversion", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "rounds=0: must be 1 or more"),
        (["--rounds", "few"], "'few' is not a whole number"),
        (["--model", "resnet_v1_51"], "'resnet_v1_51'; did you mean resnet_v1_50"),
        (["--out", "absent/x.csv"], "'absent/x.csv': No such file"),
    ],
)
def test_bad_input_is_refused_in_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in refused(capsys, *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({}, "ok"),
        ({"ratio_median": 3.1, "ratio_low": 2.9}, "time unclear"),
        ({"ratio_median": 3.1, "ratio_low": 3.05}, "time"),
        ({"peak_share": 2.3}, "memory"),
        ({"ratio_median": 3.1, "ratio_low": 3.05, "peak_share": 2.3}, "time, memory"),
    ],
)
def test_what_is_missed_is_told(changes, outcome):
    assert dataclasses.replace(ROW, **changes).outcome == outcome


def test_a_checkpoints_files_are_all_that_its_prefix_has(tmp_path):
    for name in ("tf1.index", "tf1.data-00000-of-00001", "tf10.index", "model.keras"):
        (tmp_path / name).write_text(name)
    files = conversion.files_of(tmp_path / "tf1")
    assert [file.name for file in files] == ["tf1.data-00000-of-00001", "tf1.index"]
    assert conversion.files_of(tmp_path / "model.keras") == [tmp_path / "model.keras"]


def test_copying_leaves_no_copy(tmp_path):
    (tmp_path / "file").write_bytes(bytes(1000))
    assert conversion.copy_and_hash([tmp_path / "file"], tmp_path / "copy") > 0
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_conversion_that_fails_is_one_clear_line(tmp_path):
    with conversion.started(NAME, tmp_path / "absent.keras", tmp_path / "x.keras") as process:
        process.wait_until_ready()
        with pytest.raises(ContenderError, match="FileNotFoundError: There is no checkpoint"):
            process.ask("convert")


def test_every_pair_of_formats_is_measured_and_written(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "FILES", dict(itertools.islice(conversion.FILES.items(), 2)))
    out = tmp_path / "results.csv"
    arguments = ["--model", NAME, "--rounds", "1", "--out", str(out)]
    assert cli.main(["benchmark", "conversion", *arguments]) == 0
    with out.open() as file:
        lines = list(csv.DictReader(file))
    pairs = [("tf1", "tf1"), ("tf1", "tf2"), ("tf2", "tf1"), ("tf2", "tf2")]
    assert [(line["source"], line["target"]) for line in lines] == pairs
    for line in lines:
        assert float(line["seconds_median"]) > 0
        assert float(line["peak_mb"]) > 1
        assert line["model"] == NAME
        assert line["safetensors"]
    table = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert [tuple(line) for line in table[1:5]] == pairs
