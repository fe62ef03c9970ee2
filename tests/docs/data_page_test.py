"""Every command of docs/data.md has its data read and its first batch made."""

import pathlib
import re

import numpy as np
import pytest
from shimzoo.tests.training import image_files
from shimzoo.tests.training.prepared_datasets import prepare
from shimzoo.training import datasets, preprocessing
from shimzoo.training.input_check import check_input
from shimzoo.training.input_pipeline import evaluation_batches, training_batches

from .command_lines import arguments_of, options, trained_with

PAGE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text()
COMMANDS = [
    command
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for command in block.splitlines()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data that the page speaks of: 80 images to train on in each format."""
    folder = tmp_path_factory.mktemp("data")
    image_files.write_folder(folder / "photos", {"daisy": 50, "rose": 50}, "jpg")
    train = {f"flowers_train_0000{i}-of-00002.tfrecord": 40 for i in range(2)}
    image_files.write_slim(folder / "slim", {**train, "flowers_validation_00000-of-00001": 8})
    prepare(folder / "prepared", "insects", {"train": 80, "test": 8})
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_data_is_read(command, folder, monkeypatch):
    monkeypatch.chdir(folder)
    config = trained_with(arguments_of(command), monkeypatch)
    dataset = datasets.load_dataset(config.dataset, config.data_dir, config.labels_offset)
    check_input(dataset, config)
    for batches in (
        training_batches(dataset.train, config),
        evaluation_batches(dataset.test, config),
    ):
        images, labels, weights = next(iter(batches))
        assert images.shape[1:] == (config.image_size, config.image_size, 3)
        assert len(images) == len(labels) == len(weights)
        assert np.isfinite(images).all()
        assert (weights.numpy() == 1).all()


def test_options_on_the_page_exist():
    named = set(re.findall(r"`?(--[a-z][a-z-]+)", PAGE))
    assert len(named) > 10
    # TensorFlow Datasets' own program spells its one with an underscore.
    assert named - {"--data"} <= options("train")


def test_the_tables_have_every_dataset_and_preprocessing():
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert set(preprocessing.PREPROCESSINGS) <= set(names)
    assert set(datasets.DATASETS) <= set(names)
