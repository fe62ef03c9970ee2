"""A dataset of 100 training and 40 test images, for short runs."""

import dataclasses

from shimzoo.training import datasets


def load_few(name):
    digits = datasets.load_dataset(name)
    train = datasets.Examples(digits.train.images[:100], digits.train.labels[:100])
    test = datasets.Examples(digits.test.images[:40], digits.test.labels[:40])
    return dataclasses.replace(digits, train=train, test=test)
