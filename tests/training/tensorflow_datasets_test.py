"""Datasets that TensorFlow Datasets has prepared, made here as it makes them."""

import dataclasses
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from shimzoo.tests.training import image_files
from shimzoo.tests.training.prepared_datasets import prepare
from shimzoo.tests.training.reading import examples
from shimzoo.training import DEMO
from shimzoo.training.datasets import load_dataset
from shimzoo.training.input_check import check_input


def test_a_prepared_dataset_is_read_with_its_images_encoded(tmp_path):
    prepare(tmp_path, "insects", {"train": 7, "test": 3, "validation": 2})
    dataset = load_dataset("insects", str(tmp_path))
    assert (len(dataset.train), len(dataset.test)) == (7, 3)
    assert dataset.class_names == ("ant", "bee", "cat")
    seen = set()
    for example in examples(dataset.train):
        assert example["image"].dtype == tf.string
        image = tf.io.decode_image(example["image"]).numpy()
        (number,) = [i for i in range(10) if (image == image_files.pixels(i)).all()]
        assert int(example["label"]) == number % 3
        seen.add(number)
    assert seen == set(range(7))


def test_imagenet_is_tested_on_its_validation_part(tmp_path):
    # Of its test part there are no labels.
    prepare(tmp_path, "imagenet2012", {"train": 4, "validation": 3, "test": 2})
    dataset = load_dataset("imagenet2012", str(tmp_path), labels_offset=-1)
    assert len(dataset.test) == 3
    assert dataset.class_names[:2] == ("background", "ant")
    labels = {int(example["label"]) for example in examples(dataset.test)}
    assert labels == {1, 2, 3}


@pytest.mark.parametrize(("offset", "more"), [(0, ""), (-1, " with labels_offset=-1")])
def test_a_part_without_labels_is_told_whatever_the_offset(tmp_path, offset, more):
    prepare(tmp_path, "insects", {"train": 9, "test": 9}, unlabelled=range(9, 18))
    dataset = load_dataset("insects", str(tmp_path), labels_offset=offset)
    message = rf"first 8 test images .*label -1, where 0 to 2 are classes{more}\.$"
    with pytest.raises(ValueError, match=message):
        check_input(dataset, dataclasses.replace(DEMO.config, batch_size=8))


def test_every_fifth_image_is_the_test_part_where_there_is_none(tmp_path):
    prepare(tmp_path, "only_train", {"train": 11})
    dataset = load_dataset("only_train", str(tmp_path))
    assert (len(dataset.train), len(dataset.test)) == (8, 3)
    images = [
        tf.io.decode_image(example["image"]).numpy().tobytes()
        for split in (dataset.train, dataset.test)
        for example in examples(split)
    ]
    assert len(set(images)) == 11


def test_fashion_mnist_may_be_in_its_format(tmp_path):
    prepare(tmp_path, "fashion_mnist", {"train": 4, "test": 2})
    assert len(load_dataset("fashion_mnist", str(tmp_path)).train) == 4


def test_the_newest_version_there_is_is_read(tmp_path):
    # Neither is the one that the library would prepare.
    prepare(tmp_path, "imagenet2012", {"train": 4, "validation": 3}, version="1.9.0")
    prepare(tmp_path, "imagenet2012", {"train": 5, "validation": 3}, version="1.10.0")
    assert len(load_dataset("imagenet2012", str(tmp_path)).train) == 5


def test_a_dataset_that_is_not_prepared_is_told_with_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tfds build cifar10 --data_dir .*downloads"):
        load_dataset("cifar10", str(tmp_path))


def test_a_name_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="has no 'no_such_thing_at_all'"):
        load_dataset("no_such_thing_at_all", str(tmp_path))


def test_a_dataset_without_labelled_images_is_refused(tmp_path):
    prepare(tmp_path, "texts", {"train": 2}, {"file_name": tfds.features.Text()})
    with pytest.raises(ValueError, match=r"no labelled images.*this one has file_name"):
        load_dataset("texts", str(tmp_path))


def test_a_dataset_without_a_training_part_is_refused(tmp_path):
    prepare(tmp_path, "untrained", {"test": 2})
    with pytest.raises(ValueError, match="no part train: it has test"):
        load_dataset("untrained", str(tmp_path))


def test_another_file_format_is_refused(tmp_path):
    prepare(tmp_path, "arrays", {"train": 2}, file_format="array_record")
    with pytest.raises(ValueError, match=r"array_record files: .*--file_format tfrecord"):
        load_dataset("arrays", str(tmp_path))


def test_a_missing_file_is_named(tmp_path):
    prepare(tmp_path, "torn", {"train": 2, "test": 2})
    (file,) = tmp_path.rglob("*train.tfrecord*")
    file.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{file.name}' is missing"):
        load_dataset("torn", str(tmp_path))


def test_without_the_library_there_is_a_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'shimzoo\[data\]'"):
        load_dataset("cifar10", str(tmp_path))


def test_labels_reach_the_pipeline_as_int32(tmp_path):
    prepare(tmp_path, "insects", {"train": 5})
    example = examples(load_dataset("insects", str(tmp_path)).train)[0]
    assert example["label"].dtype == np.int32
