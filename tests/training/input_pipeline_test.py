"""What a model is trained and tested on: the datasets and their batches."""

import dataclasses

import numpy as np
import pytest
from shimzoo.training import DEMO
from shimzoo.training.datasets import Examples, load_dataset
from shimzoo.training.input_pipeline import evaluation_batches, steps_per_epoch, training_batches

CONFIG = dataclasses.replace(DEMO.config, image_size=32, batch_size=8, epochs=3, max_shift=0.125)


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def few():
    """30 flat images, each of a grey level that says which one it is."""
    levels = np.arange(30, dtype=np.float32) / 29
    images = np.broadcast_to(levels[:, None, None, None], (30, 8, 8, 1))
    return Examples(np.ascontiguousarray(images), np.arange(30, dtype=np.int32))


def batches(examples, config, first_step=0):
    return [
        (images.numpy(), labels.numpy())
        for images, labels in training_batches(examples, config, first_step)
    ]


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


def test_an_unknown_dataset_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"'mnist'.*digits"):
        load_dataset("mnist")


def test_an_epoch_is_full_batches_of_different_images_in_a_new_order(few):
    seen = batches(few, CONFIG)
    assert steps_per_epoch(CONFIG, len(few)) == 3
    assert len(seen) == 9
    epochs = [np.concatenate([labels for _, labels in seen[i : i + 3]]).tolist() for i in (0, 3, 6)]
    for order in epochs:
        assert len(set(order)) == 24
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_images_keep_their_labels(few):
    unshifted = dataclasses.replace(CONFIG, max_shift=0.0)
    for images, labels in batches(few, unshifted):
        grey = (labels / 29 * 2 - 1)[:, None, None, None]
        np.testing.assert_allclose(images, np.broadcast_to(grey, images.shape), atol=1e-6)


def test_images_are_of_the_size_asked_for_in_three_channels_from_minus_1_to_1(digits):
    images, labels = next(iter(training_batches(digits.train, CONFIG)))
    assert images.shape == (8, 32, 32, 3)
    assert images.dtype == "float32"
    assert labels.shape == (8,)
    assert images.numpy().min() == -1.0
    assert 0.5 < images.numpy().max() <= 1.0
    np.testing.assert_array_equal(images[..., 0], images[..., 2])


@pytest.mark.parametrize("first_step", [1, 2, 3, 4, 8])
def test_a_run_that_starts_later_sees_what_an_uninterrupted_one_sees(few, first_step):
    whole, rest = batches(few, CONFIG), batches(few, CONFIG, first_step)
    assert len(rest) == len(whole) - first_step
    for (images, labels), (images_again, labels_again) in zip(
        whole[first_step:], rest, strict=True
    ):
        np.testing.assert_array_equal(labels, labels_again)
        np.testing.assert_array_equal(images, images_again)


def test_the_seed_decides_order_and_shifts(few):
    first = batches(few, CONFIG)[0]
    other = batches(few, dataclasses.replace(CONFIG, seed=1))[0]
    assert first[1].tolist() != other[1].tolist()


def test_shifts_move_an_image_within_their_limit_and_bring_in_black():
    dot = np.zeros((16, 8, 8, 1), np.float32)
    dot[:, 3:5, 3:5] = 1.0
    examples = Examples(dot, np.zeros(16, np.int32))
    config = dataclasses.replace(CONFIG, batch_size=16, epochs=4)
    unshifted, _ = next(iter(evaluation_batches(examples, config)))
    centre = centres_of_mass(unshifted.numpy()[:1])[0]
    moves = np.concatenate(
        [centres_of_mass(images) - centre for images, _ in batches(examples, config)]
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


def test_the_test_part_comes_once_in_its_order_with_its_rest(few):
    labels = [labels.numpy() for _, labels in evaluation_batches(few, CONFIG)]
    assert [len(batch) for batch in labels] == [8, 8, 8, 6]
    assert np.concatenate(labels).tolist() == list(range(30))


def test_a_batch_of_more_images_than_there_are_is_refused(few):
    with pytest.raises(ValueError, match=r"batch size is 31.* 30 training images"):
        steps_per_epoch(dataclasses.replace(CONFIG, batch_size=31), len(few))
