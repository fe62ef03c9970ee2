"""Every command and snippet of docs/checkpoints.md runs, in its order, on files of these names."""

import pathlib
import re
import tarfile

import numpy as np
import tensorflow as tf
from shimzoo import cli, models, shim
from shimzoo.checkpoints import tf1_name
from shimzoo.tests.checkpoints import formula_checkpoint
from shimzoo.tests.data import goldens

from .command_lines import arguments_of, options

tf1 = tf.compat.v1

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "checkpoints.md").read_text()
NAME = "mobilenet_v1_0.25_128"


def blocks():
    return re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL)


def write_files(folder):
    """The files that the page speaks of, as TF1 wrote them."""
    weights = {tf1_name(weight): weight for weight in models.create(NAME, "native").weights}
    values = {name: goldens.value(name, tuple(weight.shape)) for name, weight in weights.items()}
    published = folder / "published"
    published.mkdir()
    (folder / "training").mkdir()
    formula_checkpoint.write(published / f"{NAME}.ckpt", values)
    with tarfile.open(folder / f"{NAME}.tgz", "w:gz") as archive:
        for file in published.iterdir():
            archive.add(file, file.name)
    averages = {f"{name}/ExponentialMovingAverage": value for name, value in values.items()}
    formula_checkpoint.write(folder / "averaged.ckpt", values | averages)
    detector = {f"FeatureExtractor/{name}": value for name, value in values.items()}
    boxes = {"BoxPredictor/weights": np.zeros([3], "float32")}
    formula_checkpoint.write(folder / "detector.ckpt", detector | boxes)
    slots = {
        f"{name}/{slot}": np.zeros_like(value)
        for name, value in values.items()
        for slot in ("RMSProp", "RMSProp_1")
        if weights[name].trainable
    }
    formula_checkpoint.write(
        folder / "training" / "model.ckpt", values | slots | {"global_step": np.int64(7)}
    )
    write_graphs(folder, values)


def write_graphs(folder, values):
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        variables = [tf1.get_variable(name, initializer=value) for name, value in values.items()]
        outputs = tf.add_n([tf.reduce_sum(variable) for variable in variables], name="outputs")
        session.run(tf1.global_variables_initializer())
        frozen = tf1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), ["outputs"]
        )
        (folder / "frozen_graph.pb").write_bytes(frozen.SerializeToString())
        inputs = {"inputs": tf1.placeholder(tf.float32, [None])}
        tf1.saved_model.simple_save(
            session, str(folder / "saved_model"), inputs, {"outputs": outputs}
        )


def test_nine_questions_are_answered():
    assert re.findall(r"^## (\d)\. ", PAGE, re.MULTILINE) == list("123456789")


def test_every_command_and_snippet(tmp_path, monkeypatch, capsys):
    shim.install()
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    for language, block in blocks():
        if language == "python":
            exec(compile(block, "docs/checkpoints.md", "exec"), {})
            continue
        for command in block.splitlines():
            assert cli.main(arguments_of(command)) == 0, f"{command}: {capsys.readouterr().err}"
    printed = capsys.readouterr().out
    assert "137 variables (moving averages) from averaged.ckpt" in printed
    assert "Took along 166 tensors of the optimizer and the global step." in printed
    for name in ("mobilenet.keras", "flowers.weights.h5", "goes-on.safetensors", "report.json"):
        assert (tmp_path / name).is_file()
    assert (tmp_path / "for-tf1" / "model.ckpt.index").is_file()


def test_options_on_the_page_exist():
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert len(named) > 10
    assert named <= options("convert", "inspect")
