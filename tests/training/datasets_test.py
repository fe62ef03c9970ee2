"""Datasets by name: what is in them, and what is said where they are not there."""

import gzip
import struct

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from shimzoo.tests.training import image_files
from shimzoo.tests.training.reading import examples
from shimzoo.training.datasets import ArraySplit, Dataset, Subset, fashion_mnist, load_dataset
from shimzoo.training.datasets.dataset import held
from shimzoo.training.datasets.labels_offset import with_labels_offset


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


def read(split):
    """All labels, and all images decoded."""
    images, labels = [], []
    for example in examples(split):
        image = example["image"]
        if image.dtype == tf.string:
            image = tf.io.decode_image(image, expand_animations=False)
        images.append(image.numpy())
        labels.append(int(example["label"]))
    return images, labels


def test_digits_are_split_by_class_and_no_image_is_in_both_parts(digits):
    assert (len(digits.train), len(digits.test)) == (1437, 360)
    assert len(digits.class_names) == 10
    for part in (digits.train, digits.test):
        shares = np.bincount(part.labels, minlength=10) / len(part)
        np.testing.assert_allclose(shares, 0.1, atol=0.005)
        assert (part.images.min(), part.images.max()) == (0.0, 1.0)
        assert part.images.shape[1:] == (8, 8, 1)
    train = {image.tobytes() for image in digits.train.images}
    assert not any(image.tobytes() in train for image in digits.test.images)


def test_digits_are_split_the_same_way_every_time(digits):
    again = load_dataset("digits")
    np.testing.assert_array_equal(digits.test.images, again.test.images)
    np.testing.assert_array_equal(digits.train.labels, again.train.labels)


@hypothesis.given(st.integers(1, 40), st.integers(0, 2**31 - 1))
def test_an_order_has_every_number_once_and_follows_from_the_seed(count, seed):
    split = ArraySplit(np.zeros([count, 1, 1, 1], np.uint8), np.arange(count), count)
    order = split.order(tf.constant([seed, 0]))
    assert sorted(order.numpy()) == list(range(count))
    np.testing.assert_array_equal(order, split.order(tf.constant([seed, 0])))
    assert split.order(None).numpy().tolist() == list(range(count))


def test_examples_come_in_the_order_asked_for(digits):
    seed = tf.constant([3, 4])
    labels = [int(example["label"]) for example in examples(digits.test, seed)]
    np.testing.assert_array_equal(labels, digits.test.labels[digits.test.order(seed).numpy()])


@pytest.mark.parametrize(
    ("name", "data_dir", "message"),
    [
        ("mnist", None, r"no dataset 'mnist'.*digits.*folder:PATH.*tfrecord:PATTERN.*--data-dir"),
        ("Mnist!", "/data", "no dataset 'Mnist!'"),
        ("digit", None, r"no dataset 'digit'; did you mean digits\? Datasets are .*--data-dir"),
        ("Fashion-MNIST", None, r"did you mean fashion_mnist\?"),
        ("imagenet", None, r"did you mean imagenet2012\?"),
        ("digits", "/data", "leave data_dir='/data' out"),
        ("folder:", None, "names no files"),
        ("folder:x", "/data", "leave data_dir"),
        ("folder:nowhere", None, "no folder 'nowhere'"),
        ("tfrecord:nowhere/flowers", None, "no train files.*flowers_train_00000-of-00005"),
        ("fashion_mnist", "nowhere", "apt-get install dataset-fashion-mnist.*--data-dir"),
    ],
)
def test_what_is_not_there_is_said_in_a_line(name, data_dir, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_dataset(name, data_dir)


# Folders.


def test_a_folder_with_its_parts_is_taken_as_it_is(tmp_path):
    image_files.write_folder(tmp_path / "train", {"cat": 3, "ant": 2})
    image_files.write_folder(tmp_path / "val", {"ant": 1})
    dataset = load_dataset(f"folder:{tmp_path}")
    assert dataset.class_names == ("ant", "cat")
    images, labels = read(dataset.train)
    assert labels == [0, 0, 1, 1, 1]
    np.testing.assert_array_equal(images[0], image_files.pixels(3))
    assert read(dataset.test)[1] == [0]
    assert dataset.train.name_of(4) == str(tmp_path / "train" / "cat" / "002.png")


def fingerprints(name, labels_offset=0):
    dataset = load_dataset(name, labels_offset=labels_offset)
    return dataset.train.fingerprint, dataset.test.fingerprint


def test_a_folder_has_one_fingerprint_wherever_it_is_and_whatever_its_images_hold(tmp_path):
    for place in ("here", "there"):
        for part in ("train", "test"):
            image_files.write_folder(tmp_path / place / part, {"a": 3, "b": 3})
    (tmp_path / "there" / "train" / "a" / "000.png").write_bytes(b"damaged")
    here, there = (fingerprints(f"folder:{tmp_path / place}") for place in ("here", "there"))
    assert here == there


def test_files_of_other_names_or_classes_have_another_fingerprint(tmp_path):
    for part in ("train", "test"):
        image_files.write_folder(tmp_path / part, {"a": 3, "b": 3})
    name, train = f"folder:{tmp_path}", tmp_path / "train"
    seen = [fingerprints(name)]

    def assert_new():
        found = fingerprints(name)
        assert found[1] == seen[0][1]
        assert found[0] not in {train for train, _ in seen}
        seen.append(found)

    (train / "a" / "000.png").rename(train / "a" / "9.png")
    assert_new()
    for old, new in (("a", "c"), ("b", "a"), ("c", "b")):
        (train / old).rename(train / new)
    assert_new()


def test_arrays_have_the_fingerprint_of_what_they_hold(digits):
    def changed(index, **parts):
        split = ArraySplit(digits.test.images.copy(), digits.test.labels.copy(), 10)
        for name, value in parts.items():
            getattr(split, name)[index] = value
        return split.fingerprint

    assert changed(7) == digits.test.fingerprint != digits.train.fingerprint
    others = {changed(7, labels=-1), changed(8, labels=-1), changed(7, images=0)}
    assert len(others - {digits.test.fingerprint}) == 3
    subsets = [Subset(digits.test, np.array(numbers)).fingerprint for numbers in ([1, 2], [2, 1])]
    assert len({*subsets, digits.test.fingerprint}) == 3
    assert len({fingerprints("digits", offset) for offset in (0, -1, -2)}) == 3


def test_a_fifth_of_each_class_is_the_test_part_of_a_folder_without_parts(tmp_path):
    image_files.write_folder(tmp_path, {"a": 10, "b": 15, "c": 2})
    dataset = load_dataset(f"folder:{tmp_path}")
    np.testing.assert_array_equal(np.bincount(dataset.train.labels), [8, 12, 1])
    np.testing.assert_array_equal(np.bincount(dataset.test.labels), [2, 3, 1])
    names = [s.name_of(i) for s in (dataset.train, dataset.test) for i in range(len(s))]
    assert sorted(names) == sorted(map(str, tmp_path.rglob("*.png")))


def test_the_test_part_of_a_folder_depends_on_names_alone(tmp_path):
    for place in ("here", "there"):
        image_files.write_folder(tmp_path / place, {"a": 10, "b": 10})
    tests = [load_dataset(f"folder:{tmp_path / place}").test for place in ("here", "there")]
    here, there = ([split.name_of(i)[-9:] for i in range(len(split))] for split in tests)
    assert here == there


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({}, "has no folders of images"),
        ({"a": 3, "b": 0}, r"'.*b' has no images"),
        ({"a": 3, "b": 1}, "class 'b'.*two at least"),
        ({"train/a": 2}, "has a folder train and 0 of test, val, validation"),
        ({"train/a": 2, "test/a": 1, "val/a": 1}, "and 2 of"),
        ({"train/a": 2, "test/b": 1}, "has the class 'b'"),
    ],
)
def test_a_folder_that_is_no_dataset_is_refused(tmp_path, classes, message):
    image_files.write_folder(tmp_path, classes)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_dataset(f"folder:{tmp_path}")


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_images_of_a_format_and_hidden_files_in_a_folder(tmp_path, ending):
    image_files.write_folder(tmp_path, {"a": 2}, ending)
    (tmp_path / "a" / ".hidden").write_text("none")
    (tmp_path / ".cache").mkdir()
    dataset = load_dataset(f"folder:{tmp_path}")
    assert len(dataset.train) == len(dataset.test) == 1
    assert dataset.left_out_files is None
    images = read(dataset.train)[0] + read(dataset.test)[0]
    assert {image.shape for image in images} == {(24, 20, 3)}


@pytest.mark.parametrize("parts", [("train/", "test/"), ("",)])
def test_files_in_class_folders_that_are_no_images_are_counted(tmp_path, parts):
    for part in parts:
        image_files.write_folder(tmp_path / part, {"a": 2, "b": 2})
        for name in ("a/notes.txt", "b/deep/t.tiff"):
            (tmp_path / part / name).parent.mkdir(exist_ok=True)
            (tmp_path / part / name).write_text("")
    for offset in (0, -1):
        dataset = load_dataset(f"folder:{tmp_path}", labels_offset=offset)
        assert dataset.left_out_files.startswith(f"{2 * len(parts)} files that end in none of .bmp")
        assert f"such as '{tmp_path / parts[0] / 'a' / 'notes.txt'}'" in dataset.left_out_files


# Fashion-MNIST.


def write_idx(path, array):
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    data = bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_fashion_mnist(folder, ending=".gz", last_label=9):
    rng = np.random.default_rng(0)
    for prefix, count in {"train": 20, "t10k": 10}.items():
        images = rng.integers(0, 256, [count, 28, 28], np.uint8)
        labels = np.linspace(0, last_label, count).astype(np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte{ending}", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{ending}", labels)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_fashion_mnist_is_read_from_its_four_files(tmp_path, ending):
    write_fashion_mnist(tmp_path, ending)
    dataset = load_dataset("fashion_mnist", str(tmp_path))
    assert (len(dataset.train), len(dataset.test), len(dataset.class_names)) == (20, 10, 10)
    assert dataset.train.images.shape == (20, 28, 28, 1)
    assert dataset.test.labels.tolist() == list(range(10))


@pytest.mark.skipif(not fashion_mnist.FOLDER.is_dir(), reason="its package is not installed")
def test_fashion_mnist_of_the_package_is_whole():
    dataset = load_dataset("fashion_mnist")
    assert np.bincount(dataset.train.labels).tolist() == [6000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10


def test_fashion_mnist_with_foreign_labels_is_refused(tmp_path):
    write_fashion_mnist(tmp_path, last_label=12)
    with pytest.raises(ValueError, match="don't belong together"):
        load_dataset("fashion_mnist", str(tmp_path))


@hypothesis.given(
    st.lists(st.integers(0, 5), min_size=1, max_size=3), st.randoms(use_true_random=False)
)
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_an_idx_file_is_read_whole_or_refused(tmp_path, shape, random):
    array = np.frombuffer(random.randbytes(int(np.prod(shape))), np.uint8).reshape(shape)
    path = tmp_path / "idx"
    write_idx(path, array)
    np.testing.assert_array_equal(fashion_mnist.read_idx(path, len(shape)), array)
    whole = path.read_bytes()
    path.write_bytes(whole[: random.randrange(len(whole))])
    with pytest.raises(ValueError, match=r"is damaged|is not an IDX file"):
        fashion_mnist.read_idx(path, len(shape))


def test_a_damaged_archive_is_named(tmp_path):
    path = tmp_path / "idx.gz"
    write_idx(path, np.zeros([4], np.uint8))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"idx\.gz' can't be unpacked"):
        fashion_mnist.read_idx(path, 1)


# Labels.


def labelled(labels, classes):
    split = ArraySplit(np.zeros([len(labels), 1, 1, 1], np.uint8), np.array(labels), classes)
    return Dataset("few", split, split, tuple(map(str, range(classes))))


def test_an_offset_of_1_leaves_out_an_empty_background():
    dataset = with_labels_offset(labelled([1, 2, 3, 3], 4), 1)
    assert dataset.class_names == ("1", "2", "3")
    assert read(dataset.train)[1] == [0, 1, 2, 2]
    assert dataset.train.num_classes == 3


def test_an_offset_of_minus_1_puts_a_background_in_front():
    dataset = with_labels_offset(labelled([0, 1, 2], 3), -1)
    assert dataset.class_names == ("background", "0", "1", "2")
    assert read(dataset.test)[1] == [1, 2, 3]


def test_offsets_that_are_not_for_a_dataset_are_refused():
    with pytest.raises(ValueError, match=r"labels_offset=1 is not for few.*class 0 \(0\)"):
        with_labels_offset(labelled([0, 1], 2), 1)
    with pytest.raises(ValueError, match="leaves no class of the 2"):
        with_labels_offset(labelled([1, 1], 2), 2)


@pytest.mark.parametrize("offset", [-1, -2, 0, 1])
@pytest.mark.parametrize("is_known", [True, False])
def test_no_offset_makes_a_class_of_a_missing_label(offset, is_known):
    dataset = labelled([-1, 2, 1], 3)
    if not is_known:
        dataset.train.labels = None
        dataset.train.__dict__["_tensors"] = (held(dataset.train.images), held([-1, 2, 1]))
    shifted = with_labels_offset(dataset, offset).train
    missing, *labels = read(shifted)[1]
    assert labels == [2 - offset, 1 - offset]
    # Neither a class, nor one that the offset leaves out.
    assert missing < -len(shifted.left_out)
    if is_known:
        assert shifted.labels.tolist() == [missing, *labels]


def test_a_subset_has_the_examples_of_its_numbers(digits):
    subset = Subset(digits.test, np.array([7, 3]))
    assert read(subset)[1] == digits.test.labels[[7, 3]].tolist()
    assert subset.name_of(1) == "digits/test[3]"
