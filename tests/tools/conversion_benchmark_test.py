"""The benchmark `conversion`: what it measures, and how it tells. No test asserts a time."""

import contextlib
import errno
import itertools
import os
import resource
import signal
from pathlib import Path

import pytest
from shimzoo import cli
from shimzoo.tools.benchmark import conversion, results_file, rows
from shimzoo.tools.benchmark.driver import ContenderError

NAME = "mobilenet_v1_0.25_128"


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


def judged(model, results):
    """What is said of rounds, as seconds, seconds of copying, bytes of memory and of the file."""
    made = conversion.Conversion(model)
    names = ("seconds", "copying", "peak_bytes", "size")
    made._results["tf1 to h5"] = [dict(zip(names, result, strict=True)) for result in results]
    found, common = made.rows(), {"threads": 2}
    lines = [common | line for line in made.lines(found)]
    return {
        (row.measure, row.against): (row.summary.median, row.outcome)
        for row in rows.judged(found, lines)
    }


@pytest.mark.parametrize(
    ("results", "ratio", "share"),
    [
        ([(2.9, 1.0, 50, 100), (1.45, 0.5, 220, 100)], (2.9, "ok"), (2.2, "ok")),
        ([(2.0, 1.0, 50, 100), (4.0, 1.0, 60, 100)], (3.0, "unclear"), (0.6, "ok")),
        ([(3.1, 1.0, 50, 100), (6.2, 2.0, 230, 100)], (3.1, "missed"), (2.3, "missed")),
    ],
)
def test_times_and_memory_are_judged(results, ratio, share):
    results = 3 * results  # Fewer than five rounds are not judged.
    found = judged("resnet_v1_152", results)
    assert found["conversion", "copy_and_hash"] == ratio
    assert found["memory", "file"] == share
    # The targets are for the largest model.
    others = judged(NAME, results)
    assert {outcome for _, outcome in others.values()} == {""}


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


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(conversion, "_GIVEN_BACK_S", 0)


@pytest.mark.parametrize("size", [0, 1000, 20 << 20])
def test_memory_is_held_and_let_go(tmp_path, monkeypatch, size):
    sizes = []
    unlink = Path.unlink

    def noting(path, **options):
        sizes.append(path.stat().st_size)
        unlink(path, **options)

    monkeypatch.setattr(Path, "unlink", noting)
    conversion.touch_memory(tmp_path / "touched", size)
    assert sizes == [size]
    assert list(tmp_path.iterdir()) == []


def test_memory_that_can_not_be_held_is_let_go(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
        with pytest.raises(OSError, match="File too large"):
            conversion.touch_memory(tmp_path / "touched", 20 << 20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_note_and_the_others_go_on(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(conversion, "copy_and_hash", full)
    made = conversion.Conversion(NAME)
    source = tmp_path / "model.keras"
    source.touch()
    made._convert("keras to h5", source, tmp_path)
    (row,) = made.rows()
    assert (row.contender, row.note) == ("keras to h5", "[Errno 28] No space left on device")


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
    lines = results_file.read_csv(out)
    pairs = {"tf1 to tf1", "tf1 to tf2", "tf2 to tf1", "tf2 to tf2"}
    measures = {
        ("conversion", ""),
        ("conversion", "copy_and_hash"),
        ("memory", ""),
        ("memory", "file"),
    }
    assert {(line["contender"], line["measure"], line["against"]) for line in lines} == {
        (pair, *measure) for pair in pairs for measure in measures
    }
    for line in lines:
        assert float(line["median"]) > 0
        assert (line["benchmark"], line["model"]) == ("conversion", NAME)
        assert line["safetensors"]
    shown = capsys.readouterr().out
    assert all(pair in shown for pair in pairs)


def fake_worker(monkeypatch, during):
    """Lets a process that answers at once convert; `during(task, name)` is called first."""

    class Process:
        def __init__(self, model, source, target):
            self.name = f"{source.name} to {target.name}"
            self.target = target

        def wait_until_ready(self):
            pass

        def ask(self, task):
            if task == "facts":
                return {"tensorflow": "2"}
            during(task, self.name)
            if task == "save":
                self.target.parent.mkdir(exist_ok=True)
                self.target.write_bytes(bytes(100))
            return {"seconds": 2.0, "peak_bytes": 50}

    monkeypatch.setattr(
        conversion, "started", lambda *arguments: contextlib.nullcontext(Process(*arguments))
    )


def test_a_pair_that_fails_is_a_row_and_the_others_are_measured(capsys, tmp_path, monkeypatch):
    def during(task, name):
        if (task, name) == ("save", "model.keras to model.keras"):
            raise ContenderError("the whole sentence", "no more paper")
        if (task, name) == ("convert", "model.weights.h5 to model.safetensors"):
            raise ContenderError("the whole sentence", "MemoryError: too much")

    fake_worker(monkeypatch, during)
    out = tmp_path / "x.csv"
    arguments = ["--model", NAME, "--rounds", "2", "--out", str(out)]
    assert cli.main(["benchmark", "conversion", *arguments]) == 1
    lines = results_file.read_csv(out)
    notes = {line["contender"]: line["note"] for line in lines if not line["median"]}
    assert notes == {
        **{f"keras to {format}": "making the source: no more paper" for format in conversion.FILES},
        "h5 to safetensors": "out of memory: MemoryError: too much",
    }
    measured = {line["contender"] for line in lines if line["median"]}
    assert len(measured) == 25 - 6
    assert "h5 to safetensors: out of memory" in capsys.readouterr().out


def test_ctrl_c_reports_the_conversions_so_far(capsys, tmp_path, monkeypatch):
    done = []

    def during(task, name):
        if len(done) == 3:
            raise KeyboardInterrupt
        if task == "convert":
            done.append(name)

    fake_worker(monkeypatch, during)
    out = tmp_path / "x.csv"
    assert cli.main(["benchmark", "conversion", "--model", NAME, "--out", str(out)]) == 130
    assert len({line["contender"] for line in results_file.read_csv(out)}) == 3
    assert (
        "interrupted after 0 of 5 rounds of conversion, s: this was measured"
        in capsys.readouterr().out
    )
