"""TFRecord files: found, indexed, read at any place, and damaged."""

import gzip

import hypothesis
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from shimzoo.tests.training import image_files
from shimzoo.tests.training.reading import examples
from shimzoo.training.datasets import load_dataset
from shimzoo.training.datasets.record_files import RecordSplit, index_records


def as_label(record):
    return {"image": record, "label": tf.constant(0)}


def contents(paths):
    """Each record, or None where it can't be read."""
    split = RecordSplit([str(path) for path in paths], as_label, 1)
    found = []
    for index in range(len(split)):
        try:
            found.append(split.read(tf.constant(index))["image"].numpy())
        except tf.errors.OpError:
            found.append(None)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("records")


@hypothesis.settings(max_examples=30)
@hypothesis.given(records=st.lists(st.binary(max_size=40), max_size=6))
def test_every_record_is_read_at_its_place(folder, records):
    path = folder / "some.tfrecord"
    begins = image_files.write_records(path, records)
    assert index_records(str(path))[:, 0].tolist() == begins
    assert contents([path]) == records


@hypothesis.settings(max_examples=30)
@hypothesis.given(data=st.data())
def test_damage_costs_the_record_it_is_in_and_no_other(folder, data):
    records = data.draw(st.lists(st.binary(min_size=1, max_size=20), min_size=2, max_size=5))
    path = folder / "damaged.tfrecord"
    begins = [*image_files.write_records(path, records), path.stat().st_size]
    number = data.draw(st.integers(0, len(records) - 1))
    # Behind the length: a damaged length is another test's.
    place = data.draw(st.integers(begins[number] + 8, begins[number + 1] - 1))
    image_files.flip_bit(path, place)
    expected = [None if i == number else record for i, record in enumerate(records)]
    assert contents([path]) == expected


def test_what_follows_a_damaged_length_is_one_unreadable_record(tmp_path):
    path = tmp_path / "lost.tfrecord"
    begins = image_files.write_records(path, [b"a" * 30] * 5)
    image_files.flip_bit(path, begins[2] + 5)
    assert contents([path]) == [b"a" * 30] * 2 + [None]


@pytest.mark.parametrize("kept", [1, 11, 12, 20, 45])
def test_a_file_cut_off_has_one_unreadable_record_at_its_end(tmp_path, kept):
    path = tmp_path / "cut.tfrecord"
    (_, second) = image_files.write_records(path, [b"a" * 30] * 2)
    path.write_bytes(path.read_bytes()[: second + kept])
    assert contents([path]) == [b"a" * 30, None]


def test_records_of_several_files_are_numbered_through(tmp_path):
    image_files.write_records(tmp_path / "a", [b"1", b"2"])
    image_files.write_records(tmp_path / "b", [])
    image_files.write_records(tmp_path / "c", [b"3"])
    paths = [tmp_path / name for name in "abc"]
    assert contents(paths) == [b"1", b"2", b"3"]
    split = RecordSplit([str(path) for path in paths], as_label, 1)
    assert split.name_of(2) == f"{tmp_path / 'c'}, record 0"


def test_records_have_a_fingerprint_by_their_places(tmp_path):
    def fingerprint(folder, **files):
        (tmp_path / folder).mkdir()
        for name, records in files.items():
            image_files.write_records(tmp_path / folder / name, records)
        paths = [str(tmp_path / folder / name) for name in files]
        return RecordSplit(paths, as_label, 1).fingerprint

    first = fingerprint("first", a=[b"1", b"22"], b=[b"3"])
    assert fingerprint("same", a=[b"1", b"22"], b=[b"3"]) == first
    assert fingerprint("moved", a=[b"22", b"1"], b=[b"3"]) != first
    assert fingerprint("parted", a=[b"1"], b=[b"22", b"3"]) != first
    assert fingerprint("renamed", a=[b"1", b"22"], c=[b"3"]) != first


def test_a_compressed_file_is_named(tmp_path):
    path = tmp_path / "packed.tfrecord"
    image_files.write_records(path, [b"1"])
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(ValueError, match=r"packed\.tfrecord' is compressed: unpack it"):
        index_records(str(path))


# TF-Slim's layout.

LAYOUTS = {
    "flowers": ["flowers_train_0000%d-of-00002.tfrecord", "flowers_validation_00000-of-00001.tf"],
    "cifar10": ["cifar10_train.tfrecord", "cifar10_test.tfrecord"],
    "": ["train-0000%d-of-00002", "validation-00000-of-00001"],
}


def write_layout(folder, name):
    train, test = LAYOUTS[name]
    if "%d" in train:
        image_files.write_slim(folder, {train % 0: 4, train % 1: 3, test: 2})
    else:
        image_files.write_slim(folder, {train: 7, test: 2})


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("way", ["{folder}", "{folder}/{layout}", "{folder}/{layout}*"])
def test_slims_files_are_found(tmp_path, layout, way):
    write_layout(tmp_path, layout)
    dataset = load_dataset("tfrecord:" + way.format(folder=tmp_path, layout=layout))
    assert (len(dataset.train), len(dataset.test)) == (7, 2)
    assert dataset.class_names == ("class 0", "class 1", "class 2")
    labels = [int(example["label"]) for example in examples(dataset.test)]
    assert labels == [7 % 3, 8 % 3]
    image = examples(dataset.test)[0]["image"]
    assert (tf.io.decode_image(image).numpy() == image_files.pixels(7)).all()


def test_files_of_two_datasets_are_not_mixed(tmp_path):
    for layout in ("flowers", "cifar10"):
        write_layout(tmp_path, layout)
    with pytest.raises(ValueError, match=r"several datasets: name one, as tfrecord:.*cifar10\."):
        load_dataset(f"tfrecord:{tmp_path}")
    assert len(load_dataset(f"tfrecord:{tmp_path}/flowers").train) == 7


def test_the_test_files_come_before_the_validation_files(tmp_path):
    image_files.write_slim(tmp_path, {"a_train": 3, "a_validation": 2, "a_test": 1})
    assert len(load_dataset(f"tfrecord:{tmp_path}").test) == 1


def test_files_without_labels_or_a_test_part_are_told(tmp_path):
    image_files.write_slim(tmp_path, {"a_train.tfrecord": 3})
    with pytest.raises(FileNotFoundError, match=r"no test files.*test or validation"):
        load_dataset(f"tfrecord:{tmp_path}")
    image_files.write_slim(tmp_path, {"a_test.tfrecord": 3})
    (tmp_path / "labels.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"labels\.txt.*0:daisy"):
        load_dataset(f"tfrecord:{tmp_path}")
