"""A dataset of 100 training and few test images, for short runs."""

import dataclasses

from shimzoo.training import datasets


def load_few(name, *_, without_label=(), test_images=40):
    """The images of these numbers have no class in either part, so that they weigh nothing."""
    digits = datasets.load_dataset(name)
    train = _first(digits.train, 100, without_label)
    test = _first(digits.test, test_images, without_label)
    return dataclasses.replace(digits, train=train, test=test)


def _first(split, number, without_label):
    labels = split.labels[:number].copy()
    labels[[index for index in without_label if index < number]] = -1
    return datasets.ArraySplit(split.images[:number], labels, split.num_classes)
