"""Figures of an evaluation, held against scikit-learn's."""

import csv
import json

import hypothesis
import hypothesis.strategies as st
import matplotlib.image
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from shimzoo.training import evaluation, evaluation_files
from shimzoo.training.bad_examples import EVALUATION, BadExamples
from shimzoo.training.datasets import ArraySplit, TooManyBadExamples


def draw_batch(seed, images, classes):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, images).astype(np.int32)
    logits = rng.normal(0, 2, (images, classes)).astype(np.float32)
    return labels, logits


def tallied(labels, logits, weights=None, batch_size=7):
    tally = evaluation.Tally(logits.shape[1])
    weights = np.ones(len(labels), np.float32) if weights is None else weights
    for first in range(0, len(labels), batch_size):
        part = slice(first, first + batch_size)
        tally.add(labels[part], logits[part], weights[part])
    return tally.result()


@hypothesis.settings(max_examples=30)
@hypothesis.given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 12))
def test_figures_are_scikit_learns(seed, images, classes):
    labels, logits = draw_batch(seed, images, classes)
    found = tallied(labels, logits)
    predicted = logits.argmax(axis=1)
    every = np.arange(classes)
    np.testing.assert_array_equal(
        found.confusion, sklearn.metrics.confusion_matrix(labels, predicted, labels=every)
    )
    assert found.top1 == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    loss = sklearn.metrics.log_loss(labels, probabilities, labels=every)
    assert found.loss == pytest.approx(loss, rel=1e-5)
    if classes > 5:
        top5 = sklearn.metrics.top_k_accuracy_score(labels, logits, k=5, labels=every)
        assert found.top5 == pytest.approx(top5)
    else:
        assert found.top5 is None
    figures = sklearn.metrics.precision_recall_fscore_support(
        labels, predicted, labels=every, zero_division=np.nan
    )
    for ours, precision, recall, f1, support in zip(found.per_class(), *figures, strict=True):
        assert ours["images"] == support
        for name, value in (("precision", precision), ("recall", recall), ("f1", f1)):
            assert ours[name] == (None if np.isnan(value) else pytest.approx(value)), name


def test_bad_images_are_left_out_and_counted():
    labels, logits = draw_batch(0, 20, 6)
    weights = np.ones(20, np.float32)
    weights[[3, 7, 19]] = 0
    logits[3] = np.nan  # Whatever stands in its place.
    good = weights > 0
    found, without = tallied(labels, logits, weights), tallied(labels[good], logits[good])
    assert (found.images, found.bad_images) == (17, 3)
    np.testing.assert_array_equal(found.confusion, without.confusion)
    assert (found.top5, found.loss) == (without.top5, pytest.approx(without.loss))


def test_a_batch_of_bad_images_only_is_none():
    labels, logits = draw_batch(0, 14, 6)
    weights = np.repeat([0.0, 1.0], 7).astype(np.float32)
    assert tallied(labels, logits, weights).images == 7
    with pytest.raises(ValueError, match="None of the 14 images could be read"):
        tallied(labels, logits, np.zeros(14, np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_logits_that_are_no_numbers_are_an_error(value):
    labels, logits = draw_batch(0, 8, 6)
    logits[5, 2] = value
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        tallied(labels, logits)


def dataset(labels, batch_size=4):
    images = np.arange(len(labels), dtype=np.float32).reshape(-1, 1, 1, 1)
    weights = np.ones(len(labels), np.float32)
    return tf.data.Dataset.from_tensor_slices((images, labels, weights)).batch(batch_size)


def test_too_many_bad_images_end_an_evaluation_at_once():
    split = ArraySplit(np.zeros([8, 1, 1, 1], np.uint8), np.arange(8), 8)
    bad = BadExamples(split, 1 / 8, "test")
    batches = evaluation.numpy_batches(dataset(np.arange(8, dtype=np.int32), 2), bad)
    bad.note([EVALUATION], [3])
    next(batches)
    bad.note([EVALUATION], [5])
    with pytest.raises(TooManyBadExamples, match=r"2 of 8 test images .*more than the 1 that"):
        next(batches)


@pytest.mark.parametrize(("max_batches", "images"), [(None, 10), (2, 8), (3, 10), (9, 10)])
def test_the_first_batches_are_taken_in_their_order(max_batches, images):
    split = ArraySplit(np.zeros([10, 1, 1, 1], np.uint8), np.arange(10), 10)
    part = evaluation.first_batches(split, 4, max_batches)
    assert part.labels.tolist() == list(range(images))


@pytest.mark.parametrize("classes", [3, 30, 60])
def test_files_say_what_the_evaluation_says(tmp_path, classes):
    names = [f"name, {number}" for number in range(classes)]
    found = tallied(*draw_batch(1, 90, classes))
    directory = tmp_path / "evaluation"
    evaluation_files.write(directory, found, names, {"model": "some"})
    results = json.loads((directory / "results.json").read_text())
    assert (results["model"], results["images"], results["top1"]) == ("some", 90, found.top1)
    with open(directory / "per_class.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == names == [c["name"] for c in results["classes"]]
    assert [int(row["images"]) for row in rows] == list(found.confusion.sum(axis=1))
    with open(directory / "confusion_matrix.csv", newline="") as file:
        table = list(csv.reader(file))
    assert table[0][1:] == names == [row[0] for row in table[1:]]
    np.testing.assert_array_equal([[int(n) for n in row[1:]] for row in table[1:]], found.confusion)
    assert matplotlib.image.imread(directory / "confusion_matrix.png").shape[:2] == (960, 1080)


def test_a_directory_with_more_is_no_evaluation(tmp_path):
    directory = tmp_path / "evaluation"
    assert not evaluation_files.is_evaluation(directory)
    evaluation_files.write(directory, tallied(*draw_batch(1, 9, 3)), ["a", "b", "c"], {})
    assert evaluation_files.is_evaluation(directory)
    (directory / "notes.txt").write_text("mine")
    assert not evaluation_files.is_evaluation(directory)
