"""Images that can't be used: they keep their places, weigh nothing, and are counted and named."""

import dataclasses
import re

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
from shimzoo.tests.training import image_files
from shimzoo.training import DEMO, preprocessing
from shimzoo.training.bad_examples import EVALUATION, BadExamples, ReportBadExamples
from shimzoo.training.checkpointing import Position
from shimzoo.training.datasets import (
    ArraySplit,
    Dataset,
    TooManyBadExamples,
    describe_foreign_label,
    load_dataset,
)
from shimzoo.training.datasets.labels_offset import with_labels_offset
from shimzoo.training.input_check import check_input
from shimzoo.training.input_pipeline import evaluation_batches, training_batches

DISK = dataclasses.replace(DEMO.config, image_size=32, batch_size=8, epochs=2, max_shift=0.0)


def batches(split, config, *position, **more):
    return [
        tuple(part.numpy() for part in batch)
        for batch in training_batches(split, config, *position, **more)
    ]


def write_damaged(folder):
    """24 images to train on, of which 5 are damaged in all ways, and 6 good ones to test on."""
    good = [image_files.encoded(i) for i in range(24)]
    jpeg = image_files.encoded(1, "jpg")
    records = [image_files.example(image, i % 3) for i, image in enumerate(good)]
    records[2] = image_files.example(jpeg[: len(jpeg) // 2], 0)
    records[7] = image_files.example(b"no image", 1)
    records[11] = image_files.example(good[11], 3)
    records[13] = b"no example"
    image_files.write_slim(folder, {"few_test.tfrecord": 6})
    path = folder / "few_train.tfrecord"
    begins = image_files.write_records(path, records)
    image_files.flip_bit(path, begins[20] + image_files.HEADER_BYTES + 30)
    return {2, 7, 11, 13, 20}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    numbers = write_damaged(folder)
    return load_dataset(f"tfrecord:{folder}"), numbers


def order_of(split, epoch):
    """The order of an epoch with seed 0, by the rule that runs depend on."""
    epoch = tf.constant(epoch, tf.int64)
    return split.order(tf.random.experimental.stateless_fold_in([0, 0], epoch)).numpy()


def test_what_can_not_be_used_keeps_its_place_with_weight_0(damaged):
    dataset, numbers = damaged
    bad = BadExamples(dataset.train, 1.0)
    seen = batches(dataset.train, DISK, bad=bad)
    assert len(seen) == 6
    orders = [order_of(dataset.train, epoch) for epoch in (0, 1)]
    weights = np.concatenate([weights for _, _, weights in seen])
    expected = [number not in numbers for order in orders for number in order]
    np.testing.assert_array_equal(weights, np.array(expected, np.float32))
    for images, _, weights in seen:
        for image in images[weights == 0]:
            assert any((image == other).all() for other in images[weights == 1])
    assert [bad.count(epoch) for epoch in (0, 1, 2)] == [5, 5, 0]


def test_bad_examples_are_mixed_with_no_other(damaged):
    dataset, numbers = damaged
    config = dataclasses.replace(DISK, epochs=1, mixup=0.5, cutmix=0.5)
    order = order_of(dataset.train, 0)
    _, labels, weights = (
        np.concatenate(parts) for parts in zip(*batches(dataset.train, config), strict=True)
    )
    np.testing.assert_array_equal(weights, [number not in numbers for number in order])
    in_front = [place for place in range(23) if order[place + 1] in numbers and weights[place]]
    assert in_front
    for place in in_front:
        if (place + 1) % DISK.batch_size:
            assert labels[place].max() == 1
            assert labels[place].argmax() == order[place] % 3


def test_good_examples_are_what_they_would_be_without_the_bad_ones(damaged):
    dataset, _ = damaged
    images, labels, weights = batches(dataset.train, DISK)[0]
    order = order_of(dataset.train, 0)
    for row in np.flatnonzero(weights):
        assert labels[row] == order[row] % 3
        expected = tf.image.resize(image_files.pixels(order[row]) / 255, [32, 32]) * 2 - 1
        np.testing.assert_allclose(images[row], expected, atol=1e-5)


def test_a_batch_without_any_good_example_weighs_nothing(damaged):
    dataset, _ = damaged
    config = dataclasses.replace(DISK, batch_size=1, epochs=1)
    without = [images for images, _, weights in batches(dataset.train, config) if not weights.any()]
    assert len(without) == 5
    # One has a picture, and a label that is no class.
    assert sum(not images.any() for images in without) == 4


def write_images(folder, images):
    image_files.write_slim(folder, {"few_test.tfrecord": 6})
    records = [image_files.example(image, i % 3) for i, image in enumerate(images)]
    image_files.write_records(folder / "few_train.tfrecord", records)
    return load_dataset(f"tfrecord:{folder}").train


@pytest.mark.parametrize("settings", [{}, {"mixup": 0.5, "cutmix": 0.5}])
def test_many_examples_without_any_good_one_weigh_nothing(tmp_path, settings):
    split = write_images(tmp_path, [b"no image"] * 4)
    config = dataclasses.replace(DISK, batch_size=4, epochs=2, **settings)
    seen = batches(split, config, bad=BadExamples(split, 1.0))
    assert len(seen) == 2
    for images, labels, weights in seen:
        assert images.shape == (4, 32, 32, 3)
        assert len(labels) == 4
        np.testing.assert_array_equal(weights, np.zeros(4))


def test_the_last_batch_of_an_evaluation_is_smaller(damaged):
    dataset, numbers = damaged
    bad = BadExamples(dataset.train, 1.0, "test")
    config = dataclasses.replace(DISK, batch_size=10)
    seen = list(evaluation_batches(dataset.train, config, bad))
    assert [len(images) for images, _, _ in seen] == [10, 10, 4]
    weights = np.concatenate([weights for _, _, weights in seen])
    assert set(np.flatnonzero(weights == 0)) == numbers
    assert bad.count(EVALUATION) == len(numbers)


def test_the_last_batch_of_an_evaluation_may_be_bad_as_a_whole(tmp_path):
    split = write_images(tmp_path, [image_files.encoded(i) for i in range(3)] + [b"no image"] * 2)
    bad = BadExamples(split, 1.0, "test")
    seen = list(evaluation_batches(split, dataclasses.replace(DISK, batch_size=3), bad))
    assert [weights.numpy().tolist() for _, _, weights in seen] == [[1, 1, 1], [0, 0]]
    assert bad.count(EVALUATION) == 2


def test_bad_examples_are_named_with_their_reasons(damaged):
    dataset, _ = damaged
    bad = BadExamples(dataset.train, 0.5)
    assert bad.report(0) is None
    batches(dataset.train, DISK, bad=bad)
    bad.check(0)
    report = bad.report(0)
    assert report.startswith("5 of 24 training images could not be used: ")
    for number, reason in {
        2: "Invalid JPEG|JPEG",
        7: "Unknown image file format",
        11: "label 3, where 0 to 2 are classes",
        13: "parse",
        20: "corrupted record",
    }.items():
        pattern = rf"few_train\.tfrecord, record {number} \([^)]*({reason})"
        assert re.search(pattern, report), report
    assert "\n" not in report


ADVICE = r"labels seem to begin at 1: .*labels\.txt needs a first line .*`background`"


@pytest.mark.parametrize(
    ("offset", "told"),
    [
        (0, "label 3, where 0 to 2 are classes"),
        (1, "label 3, where 1 to 2 are classes with labels_offset=1"),
        (-1, "label 3, where 0 to 2 are classes with labels_offset=-1"),
    ],
)
def test_labels_that_begin_at_1_are_told_as_the_file_has_them_and_what_to_do(
    tmp_path, offset, told
):
    name = write_labelled(tmp_path, [1, 2, 3] * 4).name
    dataset = load_dataset(name, labels_offset=offset)
    check_input(dataset, DISK)
    bad = BadExamples(dataset.train, 0.01)
    batches(dataset.train, DISK, bad=bad)
    lines = re.escape(f"record 2 ({told}); ") + rf".*\. .*{ADVICE}"
    assert re.search(lines, bad.report(0))
    with pytest.raises(ValueError, match=rf"\({told}\).* than the 0 that .* allows\. The {ADVICE}"):
        bad.check(0)


def test_the_advice_for_labels_that_begin_at_1_makes_them_classes(tmp_path):
    name = write_labelled(tmp_path, [1, 2, 3] * 4).name
    (tmp_path / "labels.txt").write_text("background\nant\nbee\ncat\n")
    for offset, names in ((0, ("background", "ant", "bee", "cat")), (1, ("ant", "bee", "cat"))):
        dataset = load_dataset(name, labels_offset=offset)
        assert dataset.class_names == names
        bad = BadExamples(dataset.train, 0.0)
        images = list(evaluation_batches(dataset.train, DISK, bad))
        labels = np.concatenate([labels for _, labels, _ in images])
        assert [names[label] for label in labels[:3]] == ["ant", "bee", "cat"]
        assert bad.report(EVALUATION) is None


@pytest.mark.parametrize("labels", [[1, 2, 9] * 4, [1, 3, 4] * 4, [0, 1, -1] * 4, [0, 1, 2, 3] * 3])
def test_other_labels_that_are_no_classes_do_not_seem_to_begin_at_1(tmp_path, labels):
    split = load_dataset(write_labelled(tmp_path, labels).name).train
    bad = BadExamples(split, 1.0)
    list(evaluation_batches(split, DISK, bad))
    assert "where 0 to 2 are classes" in bad.report(EVALUATION)
    assert "seem to begin" not in bad.report(EVALUATION)


def test_labels_that_begin_at_1_are_told_before_a_run_if_none_of_the_first_is_a_class(tmp_path):
    dataset = load_dataset(write_labelled(tmp_path, [3] * 8 + [1, 2]).name)
    message = rf"first 8 training .*label 3, where 0 to 2 are classes\. The {ADVICE}"
    with pytest.raises(ValueError, match=message):
        check_input(dataset, DISK)


@hypothesis.given(st.integers(-3, 3), st.integers(-5, 12))
def test_a_label_is_told_with_the_number_that_its_file_has(offset, stored):
    hypothesis.assume(not 0 <= stored < offset)  # Refused.
    few = ArraySplit(np.zeros([1, 1, 1, 1], np.uint8), np.array([stored], np.int32), 5)
    dataset = with_labels_offset(Dataset("few", few, few, tuple("abcde")), offset)
    label = int(dataset.train.read(tf.constant(0))["label"])
    assert label == dataset.train.labels[0]
    if not 0 <= label < dataset.train.num_classes:
        assert describe_foreign_label(dataset.train, label).startswith(f"label {stored}, where ")


def test_more_bad_examples_than_allowed_are_an_error(damaged):
    dataset, _ = damaged
    allowed, refused = (BadExamples(dataset.train, share) for share in (5 / 24, 0.19))
    for bad in (allowed, refused):
        batches(dataset.train, DISK, bad=bad)
    allowed.check(0)
    with pytest.raises(TooManyBadExamples, match=r"than the 4 that max_bad_fraction=0\.19 "):
        refused.check(0)
    # One of them has the label that comes after the last class.
    assert "seem to begin" not in refused.report(0)


def test_too_many_bad_examples_come_with_others_that_are_not_read_yet(damaged):
    dataset, numbers = damaged
    first = min(numbers)
    bad = BadExamples(dataset.train, 0.0)
    bad.note(np.zeros(1, np.int64), np.array([first]))
    with pytest.raises(TooManyBadExamples) as raised:
        bad.check(0)
    told, look = str(raised.value).split(" A look at the first 24 images finds also ")
    assert re.findall(r"record (\d+) ", told) == [str(first)]
    assert {int(number) for number in re.findall(r"record (\d+) \(", look)} == numbers - {first}
    bad.count_unnamed(0, 1)
    with pytest.raises(TooManyBadExamples, match=r"allow more\.$"):
        bad.check(0)


def test_a_look_for_other_bad_examples_ends_after_some(tmp_path):
    split = write_images(tmp_path, [b"no image"] * 9 + [image_files.encoded(0)])
    bad = BadExamples(split, 0.0)
    bad.note(np.zeros(1, np.int64), np.array([1]))
    with pytest.raises(TooManyBadExamples, match=r"the first 6 images finds also (.*; ){4}.*\)\.$"):
        bad.check(0)


def test_without_other_bad_examples_none_are_told(tmp_path):
    split = write_images(tmp_path, [image_files.encoded(0), b"no image"])
    bad = BadExamples(split, 0.0)
    bad.note(np.zeros(1, np.int64), np.array([1]))
    with pytest.raises(TooManyBadExamples, match=r"^1 of 2 .* allow more\.$"):
        bad.check(0)


totals_and_counts = st.integers(1, 2000).flatmap(
    lambda total: st.tuples(st.just(total), st.integers(0, total - 1))
)


@hypothesis.given(totals_and_counts)
@hypothesis.example((100, 29))
def test_a_fraction_allows_exactly_its_share(total_and_count):
    total, count = total_and_count
    bad = BadExamples(in_memory(total), count / total)
    bad.note(np.zeros(count, np.int64), np.arange(count))
    bad.check(0)
    bad.note(np.zeros(1, np.int64), np.array([count]))
    with pytest.raises(TooManyBadExamples, match=f"more than the {count} that "):
        bad.check(0)


def in_memory(number):
    return ArraySplit(np.zeros([number, 1, 1, 1], np.uint8), np.zeros(number, np.int32), 1)


def test_what_other_processes_read_is_counted_without_names():
    bad = BadExamples(in_memory(100), 0.05)
    bad.count_unnamed(1, 3)
    bad.check(1)
    assert bad.report(1).startswith("3 of 100 training images could not be used by the workers")
    bad.count_unnamed(1, 3)
    with pytest.raises(TooManyBadExamples, match=r"^6 of 100 .* more than the 5 that max_bad_frac"):
        bad.check(1)
    bad.check(0)
    assert bad.report(0) is None


def test_what_all_processes_have_is_held_against_what_is_allowed():
    bad = BadExamples(in_memory(100), 0.05)
    bad.check(0, range(5))
    with pytest.raises(TooManyBadExamples, match=r"^All processes .* use 6 of the 100 .* the 5 th"):
        bad.check(0, range(6))
    bad.note(np.zeros(2, np.int64), np.arange(2))
    bad.check(0, range(5))
    both = r"^2 of 100 training images could not be used: array.* All processes .* not use 6 of the"
    with pytest.raises(TooManyBadExamples, match=both):
        bad.check(0, range(6))


def reporting(position, others=(), allowed=0.05):
    """A run's training part and its callback, where other processes have found these as well."""
    training, test = (BadExamples(in_memory(100), allowed, part) for part in ("training", "test"))
    callback = ReportBadExamples(training, test, position, {*others}.union, print)
    return training, test, callback


def test_a_count_goes_on_after_a_stop_and_ends_with_its_epoch():
    position = Position(10, 2, [])
    training, _, callback = reporting(position)
    callback.on_epoch_begin(0)
    training.count_unnamed(0, 3)
    position.step = 4
    callback.on_train_batch_end(3)
    resumed = Position(10, 2, [])
    resumed.deserialize(position.serialize())
    training, _, callback = reporting(resumed)
    callback.on_epoch_begin(0)
    training.count_unnamed(0, 2)
    resumed.step = 10
    callback.on_train_batch_end(5)
    callback.on_epoch_begin(1)
    assert (training.count(0), training.count(1)) == (5, 0)
    training.count_unnamed(1, 6)
    with pytest.raises(TooManyBadExamples, match="6 of 100"):
        callback.on_train_batch_end(0)


def test_all_processes_stop_together_where_they_have_too_many_together():
    position = Position(10, 2, [])
    training, test, callback = reporting(position, others=range(10, 14))
    callback.on_epoch_begin(0)
    callback.on_test_begin()
    training.note(np.zeros(2, np.int64), np.arange(2))
    with pytest.raises(TooManyBadExamples, match="All processes together could not use 6 of the"):
        callback.on_test_begin()
    test.note(np.full(2, EVALUATION), np.arange(2))
    with pytest.raises(TooManyBadExamples, match="could not use 6 of the 100 test images"):
        callback.on_epoch_end(0)
    # What a checkpoint amid an epoch has of all processes counts until that epoch ends.
    training, _, callback = reporting(position)
    callback.on_epoch_begin(0)
    position.bad, position.step = list(range(6)), 4
    with pytest.raises(TooManyBadExamples, match="could not use 6 of the 100 training images"):
        callback.on_train_batch_end(4)
    position.step = 10
    callback.on_epoch_begin(1)
    callback.on_train_batch_end(0)


def test_bad_examples_of_the_test_part_are_counted_once(damaged):
    dataset, numbers = damaged
    bad = BadExamples(dataset.train, 1.0, "test")
    evaluation = evaluation_batches(dataset.train, DISK, bad)
    for _ in range(2):
        weights = np.concatenate([weights for _, _, weights in evaluation])
    assert set(np.flatnonzero(weights == 0)) == numbers
    assert bad.count(EVALUATION) == 5
    assert "5 of 24 test images" in bad.report(EVALUATION)


def test_a_worker_takes_down_its_own_bad_examples_alone(damaged):
    dataset, numbers = damaged
    config = dataclasses.replace(DISK, epochs=1, mixup=0.5)
    found = [BadExamples(dataset.train, 1.0) for _ in range(2)]
    for number, bad in enumerate(found):
        batches(dataset.train, config, 0, 2, number, bad=bad)
    assert sum(bad.count(0) for bad in found) == len(numbers)


def test_images_that_do_not_suit_the_settings_are_told_before_a_run(damaged):
    dataset, _ = damaged
    check_input(dataset, DISK)
    check_input(dataset, dataclasses.replace(DISK, preprocessing="vgg"))
    config = dataclasses.replace(DISK, preprocessing="cifarnet", image_size=64)
    with pytest.raises(ValueError, match=r"first 8 training .*cifarnet at image_size=64.*24x20 pi"):
        check_input(dataset, config)
    empty = ArraySplit(np.zeros([0, 8, 8, 1], np.uint8), np.zeros(0, np.int32), 3)
    with pytest.raises(ValueError, match="has no test images"):
        check_input(Dataset("few", dataset.train, empty, tuple("abc")), DISK)


class Starved(ArraySplit):
    """Images that there is no memory to read."""

    def read(self, index):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor, really")


def test_an_image_that_is_too_large_for_the_memory_is_bad_for_that_reason(damaged):
    dataset, _ = damaged
    starved = Starved(np.zeros([4, 8, 8, 1], np.uint8), np.zeros(4, np.int32), 3)
    assert BadExamples(starved, 1.0).reason(0) == "OOM when allocating tensor, really"
    with pytest.raises(
        ValueError, match=r"first 4 .* can be used .*: OOM when allocating tensor, r"
    ):
        check_input(dataclasses.replace(dataset, train=starved), DISK)


def test_want_of_memory_for_what_the_model_sees_ends_the_check_at_once(damaged, monkeypatch):
    asked = []

    def evaluate(self, image, size):
        asked.append(size)
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(type(preprocessing.get("resize")), "evaluate", evaluate)
    with pytest.raises(MemoryError, match=r"test images .* image_size=32 run out of"):
        check_input(damaged[0], DISK)
    assert asked == [32]


def test_labels_that_are_no_classes_are_told_before_a_run(tmp_path):
    image_files.write_slim(tmp_path, {"a_train": 9, "a_test": 3})
    (tmp_path / "labels.txt").write_text("0:only\n")
    dataset = load_dataset(f"tfrecord:{tmp_path}", labels_offset=-1)
    check_input(dataset, DISK)
    foreign = ArraySplit(np.zeros([4, 8, 8, 1], np.uint8), np.full(4, 7), 2)
    shifted = dataclasses.replace(dataset, train=foreign)
    with pytest.raises(ValueError, match="label 7, where 0 to 1 are classes"):
        check_input(shifted, DISK)


def write_labelled(folder, train_labels):
    """Images of these classes to train on, and one of class 1 to test on."""
    image_files.write_slim(folder, {"a_test": 0})
    for name, labels in (("a_train", train_labels), ("a_test", [1])):
        records = [image_files.example(image_files.encoded(i), k) for i, k in enumerate(labels)]
        image_files.write_records(folder / name, records)
    return load_dataset(f"tfrecord:{folder}", labels_offset=1)


def test_an_offset_that_is_not_for_the_labels_is_told_before_a_run(tmp_path):
    dataset = write_labelled(tmp_path, [1, 2, 0, 1])
    with pytest.raises(ValueError, match=r"labels_offset=1 .*record 2 is of class 0 \(class 0\)"):
        check_input(dataset, DISK)


def test_an_offset_that_is_not_for_a_later_label_makes_no_bad_image(tmp_path):
    dataset = write_labelled(tmp_path, [1, 2] * 6 + [0, 1])
    check_input(dataset, DISK)
    bad = BadExamples(dataset.train, 1.0)
    for epoch, read in ((0, batches), (EVALUATION, evaluation_batches)):
        list(read(dataset.train, DISK, bad=bad))
        with pytest.raises(ValueError, match=r"record 12 is of class 0 \(class 0\)"):
            bad.check(epoch)


def test_damaged_labels_and_images_are_bad_whatever_the_offset(tmp_path):
    dataset = write_labelled(tmp_path, [1, -1, 2, 1, 3, 2])
    path = tmp_path / "a_train"
    image_files.flip_bit(path, path.stat().st_size - 10)
    bad = BadExamples(load_dataset(dataset.name, labels_offset=1).train, 1.0)
    list(evaluation_batches(dataset.train, DISK, bad))
    check_input(dataset, DISK)
    bad.check(EVALUATION)
    assert bad.count(EVALUATION) == 3
