"""Every command and snippet of docs/after_training.md runs, in its order."""

import json
import pathlib
import re

import numpy as np
import tensorflow as tf
from shimzoo import checkpoints, cli
from shimzoo.tests.training import formula_model
from shimzoo.training import DEMO

from .command_lines import arguments_of, options

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "after_training.md").read_text()


def write_files(folder):
    """The files that the page speaks of."""
    checkpoints.save(formula_model.create(), folder / "published" / "model.ckpt", format="tf1")
    (folder / "photographs").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), np.uint8)
    for name, image in zip(("digit", "photographs/1", "photographs/2"), pixels, strict=True):
        (folder / f"{name}.png").write_bytes(tf.io.encode_png(image).numpy())
    (folder / "labels.txt").write_text("".join(f"name {i}\n" for i in range(10)))


def test_every_command_and_snippet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", PAGE, re.DOTALL):
        if language == "python":
            exec(compile(block, "docs/after_training.md", "exec"), {})
            continue
        for command in block.splitlines():
            assert cli.main(arguments_of(command)) == 0, f"{command}: {capsys.readouterr().err}"
    printed = capsys.readouterr().out
    assert "name " in printed
    names = {path.name for path in (tmp_path / "exported").iterdir()}
    assert names == {"digits", "digits.tflite", "digits.onnx"}
    results = (tmp_path / "evaluations").glob(f"{DEMO.config.model}-native-digits-*/results.json")
    assert [json.loads(file.read_text())["images"] for file in results] == [360, 360]


def test_options_on_the_page_exist():
    named = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    assert len(named) > 15
    assert named <= options("evaluate", "predict", "export") | {"--epochs"}
