"""The datasets: labelled images in a training and a test part, as arrays.

Nothing is imported before a dataset is loaded, so that names can be checked at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Which images are held out is part of the dataset and not of a run: accuracies of runs with
# different seeds are measured on the same images, and no run has trained on another's.
_SPLIT_SEED = 0
_TEST_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Examples:
    """Labelled images.

    Args:
        images: float32 `[N, H, W, C]` with one or three channels, values in [0, 1].
        labels: int32 `[N]`, values from 0 to the number of classes - 1.
    """

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A training and a test part with the same classes.

    Args:
        name: One of `DATASETS`.
        train: What a model is trained on.
        test: What it is tested on; no image is in both.
        class_names: What the labels stand for, in their order.
    """

    name: str
    train: Examples
    test: Examples
    class_names: tuple[str, ...]


def load_dataset(name: str) -> Dataset:
    """Loads a dataset into memory.

    Args:
        name: One of `DATASETS`.

    Returns:
        The dataset.

    Raises:
        ValueError: There is no dataset of that name.
    """
    check_dataset_name(name)
    return _LOADERS[name]()


def check_dataset_name(name: str) -> None:
    """Raises ValueError, with the names there are, if there is no such dataset."""
    if name not in _LOADERS:
        raise ValueError(f"There is no dataset {name!r}: datasets are {', '.join(DATASETS)}.")


def _load_digits() -> Dataset:
    """1,797 handwritten digits of 8x8 pixels with 17 grey levels, from scikit-learn's wheel.

    They are the test part of https://archive.ics.uci.edu/dataset/80 (Alpaydin and Kaynak, 1998).
    A fifth of each class, 360 images in all, is the test part here.
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
    return Dataset(
        name="digits",
        train=Examples(train_images, train_labels),
        test=Examples(test_images, test_labels),
        class_names=tuple(str(name) for name in digits.target_names),
    )


_LOADERS: dict[str, Callable[[], Dataset]] = {"digits": _load_digits}
DATASETS = tuple(_LOADERS)
