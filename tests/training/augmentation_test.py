"""Keras' augmentations as functions of a seed."""

import numpy as np
import pytest
import tensorflow as tf
from shimzoo.tests.training import image_files
from shimzoo.training import augmentation

RANGES = [(0.0, 1.0), (0.0, 255.0)]
NAMES = ("rand_augment", "random_erasing", "shift")


def augmentations(value_range):
    return {
        "rand_augment": augmentation.rand_augment(0.5, value_range),
        "random_erasing": augmentation.random_erasing(1.0, value_range),
        "shift": lambda pixels, seed: augmentation.shift(pixels, 0.25, seed),
    }


def seeds(count):
    return [tf.constant([number, 7]) for number in range(count)]


def image(value_range):
    return tf.constant(image_files.pixels(3, 24, 24) / 255 * value_range[1], tf.float32)


@pytest.mark.parametrize("value_range", RANGES)
@pytest.mark.parametrize("name", NAMES)
def test_an_augmentation_is_a_function_of_the_seed_and_keeps_the_range(name, value_range):
    augment = tf.function(augmentations(value_range)[name])
    pixels = image(value_range)
    results = [augment(pixels, seed).numpy() for seed in seeds(12)]
    for result, seed in zip(results, seeds(12), strict=True):
        assert result.shape == (24, 24, 3)
        assert value_range[0] <= result.min() <= result.max() <= value_range[1] * (1 + 1e-6)
        np.testing.assert_array_equal(result, augment(pixels, seed))
    assert len({result.tobytes() for result in results}) > 9


@pytest.mark.parametrize("name", NAMES)
def test_an_augmentation_does_not_depend_on_what_came_before_it(name):
    pixels = image((0.0, 1.0))
    first, second = (tf.function(augmentations((0.0, 1.0))[name]) for _ in range(2))
    for seed in seeds(5):
        first(pixels, seed)
    np.testing.assert_array_equal(first(pixels, seeds(1)[0]), second(pixels, seeds(1)[0]))


def test_rand_augment_draws_all_its_operations():
    pixels = image((0.0, 1.0))
    augment = tf.function(augmentation.rand_augment(0.5, (0.0, 1.0)))
    changes = [np.abs(augment(pixels, seed).numpy() - pixels).mean() for seed in seeds(40)]
    assert np.median(changes) > 0.05
    # Without operations that act on a few images alone, all would differ by much.
    assert min(changes) < 0.03


def test_rand_augment_of_no_strength_moves_nothing():
    pixels = image((0.0, 255.0))
    augment = tf.function(augmentation.rand_augment(1e-6, (0.0, 255.0)))
    # Posterizing, equalizing and stretching have no strength.
    kept = [np.abs(augment(pixels, seed).numpy() - pixels).max() < 0.1 for seed in seeds(60)]
    assert sum(kept) > 15


def test_random_erasing_erases_a_rectangle_in_that_share_of_the_images():
    pixels = tf.fill([24, 24, 3], 0.5)
    erase = tf.function(augmentation.random_erasing(0.5, (0.0, 1.0)))
    erased = 0
    for seed in seeds(60):
        changed = (erase(pixels, seed).numpy() != 0.5).any(axis=-1)
        if changed.any():
            erased += 1
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.95
    assert 18 <= erased <= 42


# Mixing.


def batch(rows):
    """Flat images: each pixel says which row it is."""
    numbers = tf.reshape(tf.range(rows, dtype=tf.float32), [-1, 1, 1, 1])
    return tf.tile(numbers, [1, 8, 8, 3]), tf.range(rows), tf.ones([rows], tf.bool)


def mixed(mixing, rows, can_be_mixed=None):
    pixels, labels, allowed = batch(rows + mixing.partners)
    if can_be_mixed is not None:
        allowed = tf.constant(can_be_mixed)
    drawn = [mixing.draw(p, tf.constant([i, 3])) for i, p in enumerate(pixels)]
    drawn = tf.nest.map_structure(lambda *values: tf.stack(values), *drawn)
    images, soft = mixing.mix(pixels, labels, allowed, drawn)
    return images.numpy(), soft.numpy()


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.8, 0.8)])
def test_labels_are_mixed_as_the_pixels_are(mixup, cutmix):
    mixing = augmentation.Mixing(mixup, cutmix, num_classes=40)
    images, soft = mixed(mixing, 30)
    assert images.shape == (30, 8, 8, 3)
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)
    # A pixel says its row, and the label's mean that of the average pixel. CutMix counts in whole
    # pixels where its rectangle ends in between: of 8x8, up to 8 + 8 of them, which differ by as
    # many rows as there are partners.
    atol = 16 / 64 * mixing.partners if cutmix else 1e-4
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3)), soft @ np.arange(40), atol=atol)
    own = soft[np.arange(30), np.arange(30)]
    assert (own < 0.99).sum() > 10


def test_mixup_blends_whole_images_and_cutmix_cuts_them():
    blended, _ = mixed(augmentation.Mixing(1.0, 0.0, 40), 30)
    cut, _ = mixed(augmentation.Mixing(0.0, 1.0, 40), 30)
    assert all(len(np.unique(image)) == 1 for image in blended)
    assert all(set(np.unique(image)) <= {row, row + 1} for row, image in enumerate(cut))
    assert sum(len(np.unique(image)) == 2 for image in cut) > 10


def test_rows_that_could_not_be_read_are_mixed_into_no_other():
    bad = [row != 4 for row in range(9)]
    images, soft = mixed(augmentation.Mixing(1.0, 0.0, 10), 8, bad)
    assert (images[3] == 3).all()
    assert soft[3, 3] == 1


def test_without_mixing_there_are_no_partners():
    assert augmentation.Mixing(0.0, 0.0, 10).partners == 0
