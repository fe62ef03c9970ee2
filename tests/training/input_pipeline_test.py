"""What a model is trained and tested on: batches, in an order that the seed and the step decide."""

import dataclasses

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from shimzoo.training import DEMO, preprocessing
from shimzoo.training.datasets import ArraySplit, load_dataset
from shimzoo.training.input_pipeline import (
    evaluation_batches,
    steps_per_epoch,
    training_batches,
)

CONFIG = dataclasses.replace(DEMO.config, image_size=32, batch_size=8, epochs=3, max_shift=0.125)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def few():
    """30 flat images, each of a grey level that says which one it is."""
    levels = np.arange(30, dtype=np.float32) / 29
    images = np.broadcast_to(levels[:, None, None, None], (30, 8, 8, 1))
    return ArraySplit(np.ascontiguousarray(images), np.arange(30, dtype=np.int32), 30)


def batches(split, config, *position, **workers):
    return [
        tuple(part.numpy() for part in batch)
        for batch in training_batches(split, config, *position, **workers)
    ]


def assert_same(batch, other):
    for part, other_part in zip(batch, other, strict=True):
        np.testing.assert_array_equal(part, other_part)


def test_an_epoch_is_full_batches_of_different_images_in_a_new_order(few):
    seen = batches(few, CONFIG)
    assert steps_per_epoch(CONFIG, len(few)) == 3
    assert len(seen) == 9
    epochs = [
        np.concatenate([labels for _, labels, _ in seen[i : i + 3]]).tolist() for i in (0, 3, 6)
    ]
    for order in epochs:
        assert len(set(order)) == 24
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_images_keep_their_labels(few):
    unshifted = dataclasses.replace(CONFIG, max_shift=0.0)
    for images, labels, weights in batches(few, unshifted):
        grey = (labels / 29 * 2 - 1)[:, None, None, None]
        np.testing.assert_allclose(images, np.broadcast_to(grey, images.shape), atol=1e-6)
        assert (weights == 1).all()


def test_images_are_of_the_size_asked_for_in_three_channels_from_minus_1_to_1(digits):
    images, labels, weights = next(iter(training_batches(digits.train, CONFIG)))
    assert images.shape == (8, 32, 32, 3)
    assert images.dtype == "float32"
    assert (labels.shape, labels.dtype) == ((8,), "int32")
    assert (weights.shape, weights.dtype) == ((8,), "float32")
    assert images.numpy().min() == -1.0
    assert 0.5 < images.numpy().max() <= 1.0
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


# All that is random at once.
DISTORTED = dataclasses.replace(
    CONFIG,
    preprocessing="inception_full",
    mixup=0.4,
    cutmix=1.0,
    rand_augment=0.5,
    random_erasing=0.5,
)


@pytest.mark.parametrize("first_step", [1, 2, 3, 4, 8])
def test_a_run_that_starts_later_sees_what_an_uninterrupted_one_sees(few, first_step):
    whole, rest = batches(few, CONFIG), batches(few, CONFIG, first_step)
    assert len(rest) == len(whole) - first_step
    for batch, other in zip(whole[first_step:], rest, strict=True):
        assert_same(batch, other)


def test_all_that_is_random_is_a_function_of_seed_and_step(digits):
    config = dataclasses.replace(DISTORTED, batch_size=100, epochs=1)
    whole = batches(digits.train, config)
    for first_step in (0, 11):
        rest = batches(digits.train, config, first_step)
        for batch, other in zip(whole[first_step:], rest, strict=True):
            assert_same(batch, other)
    reseeded = next(iter(training_batches(digits.train, dataclasses.replace(config, seed=1))))
    assert (reseeded[0] != whole[0][0]).numpy().any()


def test_the_seed_decides_order_and_shifts(few):
    first = batches(few, CONFIG)[0]
    other = batches(few, dataclasses.replace(CONFIG, seed=1))[0]
    assert first[1].tolist() != other[1].tolist()


@hypothesis.settings(max_examples=6)
@hypothesis.given(
    share=st.integers(1, 4), workers=st.integers(1, 4), first_step=st.integers(0, 4), data=st.data()
)
def test_workers_see_the_parts_of_the_batch_that_one_process_sees(
    few, share, workers, first_step, data
):
    mixed = data.draw(st.booleans())
    settings = {"mixup": 0.5, "cutmix": 0.5} if mixed else {}
    config = dataclasses.replace(CONFIG, batch_size=share * workers, epochs=5, **settings)
    one = batches(few, config, first_step)
    parts = [batches(few, config, first_step, workers, number) for number in range(workers)]
    for batch, *shares in zip(one, *parts, strict=True):
        together = tuple(np.concatenate(part) for part in zip(*shares, strict=True))
        assert_same(batch, together)


def test_workers_who_can_not_share_a_batch_evenly_are_refused(few):
    with pytest.raises(ValueError, match=r"batch_size=8 .* 3 workers.*multiple of 3"):
        training_batches(few, CONFIG, num_workers=3)


def watched(split, read):
    """The same split, which takes down the numbers of what is read of it."""

    class Watched(ArraySplit):
        def read(self, index):
            tf.numpy_function(lambda number: read.append(int(number)), [index], [])
            return super().read(index)

    return Watched(split.images, split.labels, split.num_classes)


def test_only_a_workers_own_images_are_read(few):
    read = []
    config = dataclasses.replace(CONFIG, epochs=1)
    own = batches(watched(few, read), config, 0, 2, 1)
    assert sorted(read) == sorted(np.concatenate([labels for _, labels, _ in own]).tolist())
    assert len(read) == 12


def test_shifts_move_an_image_within_their_limit_and_bring_in_black():
    dot = np.zeros((16, 8, 8, 1), np.float32)
    dot[:, 3:5, 3:5] = 1.0
    split = ArraySplit(dot, np.zeros(16, np.int32), 10)
    config = dataclasses.replace(CONFIG, batch_size=16, epochs=4)
    unshifted, _, _ = next(iter(evaluation_batches(split, config)))
    centre = centres_of_mass(unshifted.numpy()[:1])[0]
    moves = np.concatenate(
        [centres_of_mass(images) - centre for images, _, _ in batches(split, config)]
    )
    limit = 0.125 * 32
    assert np.abs(moves).max() < limit + 0.1
    assert (moves.min(axis=0) < -limit / 2).all()
    assert (moves.max(axis=0) > limit / 2).all()
    assert len(np.unique(moves.round(4), axis=0)) > 60


def centres_of_mass(images):
    ink = (images[..., 0] + 1) / 2
    weights = ink / ink.sum(axis=(1, 2), keepdims=True)
    positions = np.arange(images.shape[1])
    return np.stack([weights.sum(2) @ positions, weights.sum(1) @ positions], axis=1)


def test_mixed_labels_are_shares_of_the_classes(digits):
    config = dataclasses.replace(CONFIG, mixup=0.5, cutmix=0.5, batch_size=64)
    _, labels, _ = next(iter(training_batches(digits.train, config)))
    assert (labels.shape, labels.dtype) == ((64, 10), "float32")
    np.testing.assert_allclose(labels.numpy().sum(axis=1), 1, atol=1e-5)
    assert (labels.numpy().max(axis=1) < 0.95).any()
    _, tested, _ = next(iter(evaluation_batches(digits.test, config)))
    np.testing.assert_array_equal(tested.numpy().argmax(axis=1), digits.test.labels[:64])
    assert (tested.numpy().max(axis=1) == 1).all()


@pytest.mark.parametrize("name", preprocessing.PREPROCESSINGS)
def test_every_step_has_the_same_shapes_as_compilers_need_them(name, digits):
    settings = {"mixup": 0.5, "cutmix": 0.5, "rand_augment": 0.5, "random_erasing": 0.5}
    for more, labels in (({}, [8]), (settings, [8, 10])):
        config = dataclasses.replace(CONFIG, preprocessing=name, **more)
        specs = training_batches(digits.train, config).element_spec
        assert [spec.shape.as_list() for spec in specs] == [[8, 32, 32, 3], labels, [8]]


def test_the_test_part_comes_once_in_its_order_with_its_rest(few):
    batches = evaluation_batches(few, CONFIG)
    assert batches.cardinality() == 4  # Keras warns of what it can't count.
    labels = [labels.numpy() for _, labels, _ in batches]
    assert [len(batch) for batch in labels] == [8, 8, 8, 6]
    assert np.concatenate(labels).tolist() == list(range(30))


@hypothesis.settings(max_examples=10)
@hypothesis.given(batch_size=st.integers(1, 31), workers=st.integers(1, 5))
def test_workers_test_on_the_batches_of_one_process_between_them(few, batch_size, workers):
    config = dataclasses.replace(CONFIG, batch_size=batch_size)
    read = [[] for _ in range(workers)]
    shares = [
        list(evaluation_batches(watched(few, own), config, None, workers, i))
        for i, own in enumerate(read)
    ]
    for own, tested in zip(read, shares, strict=True):
        assert sorted(own) == [label for batch in tested for label in batch[1].numpy()]
    for number, batch in enumerate(evaluation_batches(few, config)):
        assert_same(batch, shares[number % workers].pop(0))
    assert shares == [[]] * workers


def test_a_batch_of_more_images_than_there_are_is_refused(few):
    with pytest.raises(ValueError, match=r"batch size is 31.* 30 training images"):
        steps_per_epoch(dataclasses.replace(CONFIG, batch_size=31), len(few))
