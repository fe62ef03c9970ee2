"""Handwritten digits, from scikit-learn's wheel: the dataset that is always there."""

from __future__ import annotations

from .dataset import Dataset
from .splits import ArraySplit

# Which images are held out is part of the dataset and not of a run: accuracies of runs with
# different seeds are measured on the same images, and no run has trained on another's.
_SPLIT_SEED = 0
_TEST_SHARE = 0.2


def load() -> Dataset:
    """1,797 handwritten digits of 8x8 pixels with 17 grey levels.

    They are the test part of https://archive.ics.uci.edu/dataset/80 (Alpaydin and Kaynak, 1998).
    A fifth of each class, 360 images in all, is the test part here.

    Returns:
        float32 images in [0, 1] of one channel.
    """
    import numpy as np
    import sklearn.datasets
    import sklearn.model_selection

    digits = sklearn.datasets.load_digits()
    images = (digits.images / 16.0).astype(np.float32)[..., np.newaxis]
    labels = digits.target.astype(np.int32)
    train_images, test_images, train_labels, test_labels = sklearn.model_selection.train_test_split(
        images, labels, test_size=_TEST_SHARE, stratify=labels, random_state=_SPLIT_SEED
    )
    names = tuple(str(name) for name in digits.target_names)
    return Dataset(
        name="digits",
        train=ArraySplit(train_images, train_labels, len(names), "digits/train"),
        test=ArraySplit(test_images, test_labels, len(names), "digits/test"),
        class_names=names,
    )
