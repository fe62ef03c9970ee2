"""A run on images of which some can't be read."""

import dataclasses
import json
import pathlib
import re

import pytest
import tensorflow as tf
from shimzoo import cli
from shimzoo.tests.training import image_files
from shimzoo.training import DEMO, TrainingFailed, TrainingInterrupted, train
from shimzoo.training.datasets import load_dataset
from shimzoo.training.input_order import epoch_seed

from .stops import signal_at


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """12 images a class to train on, of which one file is none."""
    folder = tmp_path_factory.mktemp("photos") / "photos [new]"
    image_files.write_folder(folder / "train", {"ant": 12, "bee": 12}, "jpg")
    image_files.write_folder(folder / "test", {"ant": 4, "bee": 4}, "jpg")
    (folder / "train" / "bee" / "015.jpg").write_bytes(b"no image")
    (folder / "train" / "bee" / "015.tiff").write_bytes(b"an image of another kind")
    return folder


@pytest.fixture
def config(folder):
    return dataclasses.replace(
        DEMO.config, dataset=f"folder:{folder}", batch_size=8, epochs=2, max_bad_fraction=0.05
    )


def test_each_epoch_names_what_could_not_be_read(config, tmp_path, capsys):
    result = train(config, out=tmp_path / "run")
    printed = capsys.readouterr().out
    assert re.search(r"^left out 1 file that ends in none of .*bee/015\.tiff'$", printed, re.M)
    pattern = r"^epoch (\d): 1 of 24 training images could not be used: (.*)$"
    lines = re.findall(pattern, printed, re.MULTILINE)
    assert [number for number, _ in lines] == ["1", "2"]
    for _, text in lines:
        assert "photos [new]/train/bee/015.jpg (Unknown image file format" in text
    assert result.epochs == 2


def test_too_many_stop_the_run_with_a_line(config, tmp_path):
    strict = dataclasses.replace(config, max_bad_fraction=0.0)
    with pytest.raises(TrainingFailed, match=r"015\.jpg .*more than the 0 that max_bad_fraction=0"):
        train(strict, out=tmp_path / "run")


@pytest.fixture
def stopped(config, tmp_path, monkeypatch):
    """A run stopped after the first of three steps, and the one bad image that is read later."""
    folder = tmp_path / "data"
    for part, count in (("train", 12), ("test", 4)):
        image_files.write_folder(folder / part, {"ant": count, "bee": count})
    config = dataclasses.replace(config, dataset=f"folder:{folder}", epochs=1, max_bad_fraction=1.0)
    split = load_dataset(config.dataset).train
    order = split.order(epoch_seed(config.seed, tf.constant(0, tf.int64))).numpy()
    first, last = (pathlib.Path(split.name_of(order[place])) for place in (0, -1))
    mended = last.read_bytes()
    for file in (first, last):
        file.write_bytes(b"no image")
    signal_at(monkeypatch, 1)
    with pytest.raises(TrainingInterrupted):
        train(config, out=tmp_path / "run")
    return dataclasses.replace(config, max_bad_fraction=0.05), lambda: last.write_bytes(mended)


def test_what_could_not_be_read_before_a_stop_counts_after_it(stopped, tmp_path):
    config, _ = stopped
    with pytest.raises(TrainingFailed, match=r": 2 of 24 training images .*more than the 1 that"):
        train(config, out=tmp_path / "run", resume=True)


def test_what_was_only_read_ahead_of_a_stop_can_be_mended(stopped, tmp_path, capsys):
    config, mend = stopped
    mend()
    train(config, out=tmp_path / "run", resume=True)
    assert "epoch 1: 1 of 24 training images could not be used: " in capsys.readouterr().out


def test_the_weights_do_not_depend_on_what_the_bad_file_holds(config, folder, tmp_path):
    first = train(config, out=tmp_path / "first")
    file = folder / "train" / "bee" / "015.jpg"
    file.write_bytes(image_files.encoded(3, "jpg")[:-40])
    second = train(config, out=tmp_path / "second")
    lines = [
        json.loads(line)
        for result in (first, second)
        for line in (result.directory / "metrics.jsonl").read_text().splitlines()
    ]
    assert len(lines) == 4
    for one, other in zip(lines[:2], lines[2:], strict=True):
        assert (one["loss"], one["test_loss"]) == (other["loss"], other["test_loss"])


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("folder:nowhere", "There is no folder 'nowhere'"),
        ("tfrecord:nowhere", "finds no train files"),
        ("mnist", "There is no dataset 'mnist'"),
        ("imagenet2012", "imagenet2012 needs --data-dir"),
    ],
)
def test_a_dataset_that_is_not_there_is_one_line_and_code_2(dataset, message, tmp_path, capsys):
    out = tmp_path / "run"
    assert cli.main(["train", "--dataset", dataset, "--out", str(out)]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert message in errors[0]
    assert not out.exists()


def test_a_class_that_the_offset_leaves_out_stops_the_run_with_a_line(tmp_path):
    image_files.write_slim(tmp_path / "data", {"a_test": 0})
    for name, labels in (("a_train", [1, 2] * 7 + [0, 1]), ("a_test", [1, 2])):
        images = [image_files.example(image_files.encoded(i), k) for i, k in enumerate(labels)]
        image_files.write_records(tmp_path / "data" / name, images)
    config = dataclasses.replace(
        DEMO.config,
        dataset=f"tfrecord:{tmp_path / 'data'}",
        labels_offset=1,
        batch_size=8,
        epochs=1,
        max_bad_fraction=1.0,
    )
    with pytest.raises(ValueError, match=r"a_train, record 14 is of class 0 \(class 0\)"):
        train(config, out=tmp_path / "run")


def test_labels_that_begin_at_1_are_for_no_resuming(tmp_path, capsys):
    image_files.write_slim(tmp_path / "data", {"a_test": 0})
    for name, count in (("a_train", 15), ("a_test", 3)):
        images = [image_files.example(image_files.encoded(i), 1 + i % 3) for i in range(count)]
        image_files.write_records(tmp_path / "data" / name, images)
    arguments = ["train", "--dataset", f"tfrecord:{tmp_path / 'data'}", "--batch-size", "5"]
    more = ["--preprocessing", "resize", "--epochs", "1", "--out", str(tmp_path / "run")]
    assert cli.main([*arguments, *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "(label 3, where 0 to 2 are classes)" in line
    assert "labels seem to begin at 1" in line
    assert "--resume" not in line
