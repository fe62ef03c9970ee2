"""The benchmark `throughput`: who takes part, what is written, what is refused. Never a time."""

import csv
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest
from shimzoo import cli
from shimzoo.tools.benchmark import throughput, throughput_settings
from shimzoo.tools.benchmark.driver import Contender

NAME = "mobilenet_v1_0.25_128"
TOY = ["--model", NAME, "--image-size", "32", "--batch-size", "2", "--rounds", "2"]


@pytest.fixture(autouse=True)
def small_matrices(monkeypatch):
    monkeypatch.setattr(throughput_settings, "MATRIX_SIZE", 256)


def measured(capsys, path, *arguments, code=0):
    assert cli.main(["benchmark", "throughput", *TOY, *arguments, "--out", str(path)]) == code
    with path.open() as file:
        lines = list(csv.DictReader(file))
    return lines, capsys.readouterr().out


def values(lines, measure):
    return {
        (line["contender"], line["against"]): float(line["median"])
        for line in lines
        if line["measure"] == measure and line["median"]
    }


def test_a_run_writes_times_ratios_shares_and_what_they_depend_on(capsys, tmp_path):
    lines, out = measured(capsys, tmp_path / "x.csv")
    ours, keras = "native", "keras_applications"
    for measure in ("training", "inference", "training_first", "inference_first"):
        found = values(lines, measure)
        assert {(ours, ""), (keras, ""), (ours, keras)} <= set(found)
        assert all(value > 0 for value in found.values())
    for measure in ("training_share", "inference_share"):
        assert set(values(lines, measure)) == {
            (ours, "matrix_product"),
            (keras, "matrix_product"),
        }
    assert {name for name, _ in values(lines, "memory")} == {ours, keras, "matrix_product"}
    for line in lines:
        assert (line["model"], line["batch_size"], line["image_size"]) == (NAME, "2", "32")
        assert (line["precision"], line["jit_compile"], line["strategy"]) == (
            *("float32", "False", "one_device"),
        )
        assert line["date"]
        assert "command" in line
        assert "git_commit" in line
    first = lines[0]
    assert (first["benchmark"], first["stage"], first["backend"]) == (
        *("throughput", ours, "tensorflow"),
    )
    assert first["tensorflow"].startswith("2.")
    assert float(first["images_per_second"]) == pytest.approx(2e3 / float(first["median"]))
    assert float(first["q1"]) <= float(first["median"]) <= float(first["q3"])
    assert first["low"] == first["high"] == ""  # Of two rounds nobody knows.
    assert "jit_compile: none" in " ".join(out.split())
    # Of each model's two steps, and of nothing else.
    rates = [line.split()[1] for line in out.splitlines() if line.split()[:1] == ["images/s"]]
    written = [line["images_per_second"] for line in lines if line["images_per_second"]]
    assert len(rates) == len(written) == 4
    assert [float(rate) for rate in rates] == pytest.approx([*map(float, written)], rel=0.01)


@pytest.mark.large
def test_two_backends_and_stages_are_compared_with_xla(capsys, tmp_path):
    contenders = ["native:jax", "shimmed", "tf1_session"]
    options = [part for name in contenders for part in ("--contender", name)]
    lines, _ = measured(capsys, tmp_path / "x.csv", *options, "--jit", "--phase", "training")
    found = values(lines, "training")
    zoo = ("native", "native:jax", "shimmed")
    assert {(a, b) for a in zoo for b in zoo if a != b} <= set(found)
    jax = next(line for line in lines if line["contender"] == "native:jax")
    assert (jax["backend"], jax["stage"], jax["jit_compile"]) == ("jax", "native", "True")
    assert jax["jax"]
    shares = values(lines, "training_share")
    assert ("native:jax", "matrix_product") in shares
    [session] = [line for line in lines if line["contender"] == "tf1_session"]
    assert session["note"] == f"tf_slim.nets has no {NAME}"
    assert not values(lines, "inference")


@pytest.mark.large
def test_replicas_train_on_files_too(capsys, tmp_path):
    options = ["--strategy", "mirrored", "--replicas", "2", "--real-input", "--phase", "training"]
    lines, _ = measured(capsys, tmp_path / "x.csv", *options)
    assert set(values(lines, "training_on_files")) == {("native", "")}
    assert ("native", "keras_applications") in values(lines, "training")
    assert {line["replicas"] for line in lines} == {"2"}


@pytest.mark.large
def test_slims_net_in_a_session_is_a_contender(capsys, tmp_path):
    options = ["--model", "inception_v3", "--image-size", "80", "--contender", "tf1_session"]
    lines, _ = measured(capsys, tmp_path / "x.csv", *options, "--option", "create_aux_logits=False")
    for phase in throughput_settings.PHASES:
        assert ("native", "tf1_session") in values(lines, phase)
    session = next(line for line in lines if line["contender"] == "tf1_session")
    assert session["tf_slim"] == "1.1.0"
    assert session["options"] == "create_aux_logits=False"


@pytest.mark.large
@pytest.mark.parametrize("contender", ["native:torch", "torchvision", "timm"])
def test_contenders_on_pytorch(capsys, tmp_path, contender):
    pytest.importorskip("torch")
    pytest.importorskip("torchvision")
    pytest.importorskip("timm")
    options = ["--model", "mobilenet_v2_1.0_224", "--precision", "mixed_bfloat16"]
    lines, _ = measured(capsys, tmp_path / "x.csv", *options, "--contender", contender)
    for measure in ("training", "inference", "training_share"):
        assert contender in {name for name, _ in values(lines, measure)}


@pytest.mark.large
def test_native_models_are_measured_where_there_is_no_tensorflow(tmp_path):
    pytest.importorskip("jax")
    package = tmp_path / "packages" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ModuleNotFoundError('no', name='tensorflow')")
    path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "shimzoo.cli", "benchmark", "throughput", *TOY]
    options = ["--backend", "jax", "--contender", "keras_applications", "--phase", "training"]
    out = tmp_path / "x.csv"
    subprocess.run(
        [*command, *options, "--out", str(out)],
        env={**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)},
        check=True,
    )
    with out.open() as file:
        lines = list(csv.DictReader(file))
    assert ("native", "keras_applications") in values(lines, "training")
    assert ("native", "matrix_product") in values(lines, "training_share")
    assert {line["tensorflow"] for line in lines} == {""}


@pytest.fixture
def failing_native(monkeypatch):
    """Lets the native model fail as it is built."""
    start = throughput.started

    def started(entry, given):
        if entry.kind != "native":
            return start(entry, given)
        program = "import sys; raise MemoryError('too big a model')"
        return Contender.started(entry.name, [throughput.sys.executable, "-c", program], {})

    monkeypatch.setattr(throughput, "started", started)


@pytest.mark.usefixtures("failing_native")
def test_a_contender_that_fails_is_a_row_and_the_others_are_measured(capsys, tmp_path):
    options = ["--contender", "keras_applications", "--phase", "inference"]
    lines, out = measured(capsys, tmp_path / "x.csv", *options, code=1)
    keras = ("keras_applications", "")
    assert set(values(lines, "inference")) == {keras, ("matrix_product", "")}
    [line] = [line for line in lines if line["contender"] == "native"]
    assert line["note"].startswith("out of memory: ")
    assert "native: out of memory: " in out


@pytest.mark.usefixtures("failing_native")
def test_without_a_model_nothing_is_measured(capsys, tmp_path):
    out = tmp_path / "x.csv"
    arguments = [*TOY, "--contender", "native", "--out", str(out)]
    assert cli.main(["benchmark", "throughput", *arguments]) == 1
    assert not out.exists()
    shown = capsys.readouterr().out
    assert "native: out of memory: " in shown
    assert f"nothing was measured: '{out}' is not written" in shown


@pytest.mark.large
def test_ctrl_c_reports_what_was_measured(capsys, tmp_path, monkeypatch):
    real = throughput.interleaved

    def interrupted(contenders, measure, rounds, *rest):
        if measure == "inference_first" and rounds:
            raise KeyboardInterrupt
        real(contenders, measure, rounds, *rest)

    monkeypatch.setattr(throughput, "interleaved", interrupted)
    path = tmp_path / "x.csv"
    arguments = [*TOY, "--contender", "native", "--phase", "inference", "--out", str(path)]
    assert cli.main(["benchmark", "throughput", *arguments]) == 130
    with path.open() as file:
        lines = list(csv.DictReader(file))
    # Steps come first.
    assert ("native", "") in values(lines, "inference")
    assert not values(lines, "inference_first")
    assert {line["tensorflow"] for line in lines} != {""}
    out = capsys.readouterr().out
    assert "after 0 of 2 rounds of tracing + first, inference, ms: this was measured" in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "rounds=0: must be 1 or more"),
        (["--batch-size", "0"], "batch_size=0: must be 1 or more"),
        (["--threads", "-1"], "threads=-1: must be 1 or more"),
        (["--model", "resnet_v1_51"], "'resnet_v1_51'; did you mean resnet_v1_50"),
        (["--stage", "naive"], "There is no stage 'naive'"),
        (["--contender", "keras"], "There is no contender 'keras'"),
        (["--contender", "tf1_session:jax"], "runs on no backend of Keras"),
        (["--backend", "mxnet"], "backend='mxnet' is none of tensorflow, jax, torch"),
        (["--precision", "float16"], "precision='float16' is none of float32"),
        (["--phase", "both"], "phase='both' is none of training, inference"),
        (["--strategy", "tpu"], "strategy='tpu' is none of one_device, mirrored"),
        (["--replicas", "2"], "replicas=2 is of strategy='mirrored'"),
        (["--strategy", "mirrored", "--replicas", "3"], "do not share a batch of 8 evenly"),
        (["--real-input", "--phase", "inference"], "real input is for training"),
        (["--option", "classes"], "'classes' is not of the form NAME=VALUE"),
        (["--option", "classes=10"], "has no option 'classes'"),
        (["--option", "num_classes=10"], "leave the option num_classes out"),
        (["--image-size", "31"], "image_size=31: resnet_v1_50 takes images of 32 pixels or more"),
        (["--threads", "9999"], "threads=9999, and this process may use"),
        (
            ["--stage", "shimmed", "--backend", "jax"],
            "shimmed can't be measured: runs on TensorFlow",
        ),
        (["--out", "absent/x.csv"], "'absent/x.csv': No such file"),
    ],
)
def test_bad_input_is_refused_in_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["benchmark", "throughput", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert not list(tmp_path.iterdir())


def test_the_example_of_an_option_is_one(capsys):
    assert cli.main(["benchmark", "throughput", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    [example] = re.findall(r"An option of the model, such as (\S+)\. ", shown)
    options = ["--model", "inception_v3", "--option", example, "--rounds", "0"]
    assert cli.main(["benchmark", "throughput", *options]) == 2
    assert "rounds=0: must be 1 or more" in capsys.readouterr().err


def test_nothing_is_timed_under_op_determinism(capsys, monkeypatch):
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    assert cli.main(["benchmark", "throughput", *TOY]) == 2
    assert "TF_DETERMINISTIC_OPS is set" in capsys.readouterr().err


def test_files_to_train_on_are_the_drivers_and_do_not_outlive_it(monkeypatch, tmp_path):
    def started(entry, given):
        folders.append(pathlib.Path(given.files))
        assert len(list(folders[-1].rglob("*.jpg"))) > given.batch_size
        raise KeyboardInterrupt

    folders = []
    monkeypatch.setattr(throughput, "started", started)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert cli.main(["benchmark", "throughput", *TOY, "--real-input"]) == 130
    assert folders[0].parent == tmp_path
    assert list(tmp_path.iterdir()) == []
