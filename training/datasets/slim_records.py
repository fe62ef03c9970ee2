"""TF-Slim's datasets: TFRecord files of `tf.train.Example` with the keys of its converters.

The keys and `labels.txt` are those of research/slim/datasets/dataset_utils.py in tensorflow/models;
file names as flowers_train_00000-of-00005.tfrecord, cifar10_test.tfrecord and train-00000-of-01024.
"""

from __future__ import annotations

import glob
import os
import pathlib
import re
from typing import TYPE_CHECKING

from .class_names import read_class_names
from .dataset import Dataset
from .record_files import RecordSplit

if TYPE_CHECKING:
    import tensorflow as tf

_LABELS = "labels.txt"
# The part that a file is of, as a word in its name; test before validation where there are both.
_PARTS = {"train": ("train",), "test": ("test", "validation", "val", "eval")}
_WORD = re.compile(r"(?:^|[_.-])(train|test|validation|val|eval)(?=[_.-]|$)")


def load(pattern: str) -> Dataset:
    """Opens a dataset that TF-Slim's converters wrote.

    Args:
        pattern: A folder; or the beginning of the files' names, as `data/flowers`; or shell-style
            wildcards. A file's part is a word in its name: `train`; `test`, or else `validation`,
            `val` or `eval`.

    Returns:
        The dataset, with the names in `labels.txt` beside the files.

    Raises:
        FileNotFoundError: There are no such files.
        ValueError: They are of several datasets, or `labels.txt` is damaged.
    """
    files = {part: _of_part(_found(pattern), words) for part, words in _PARTS.items()}
    for part, words in _PARTS.items():
        if not files[part]:
            raise FileNotFoundError(
                f"tfrecord:{pattern} finds no {part} files: their names have the word "
                f"{' or '.join(words)} in them, as in flowers_{words[0]}_00000-of-00005.tfrecord."
            )
    beginnings = sorted({_part(path)[0] for part in files.values() for path in part})
    if len(beginnings) > 1:
        raise ValueError(
            f"tfrecord:{pattern} finds files of several datasets: name one, as tfrecord:"
            f"{os.path.join(os.path.dirname(files['train'][0]), beginnings[0])}."
        )
    class_names = read_class_names(pathlib.Path(files["train"][0]).with_name(_LABELS))
    train, test = (RecordSplit(files[p], parse, len(class_names)) for p in ("train", "test"))
    return Dataset(f"tfrecord:{pattern}", train, test, class_names)


def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
    """Takes a record apart.

    Args:
        record: A string scalar, a `tf.train.Example` with `image/encoded` and `image/class/label`.

    Returns:
        As `Split.read`.
    """
    import tensorflow as tf

    features = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "image/class/label": tf.io.FixedLenFeature([], tf.int64),
    }
    example = tf.io.parse_single_example(record, features)
    label = tf.cast(example["image/class/label"], tf.int32)
    return {"image": example["image/encoded"], "label": label}


def _found(pattern: str) -> list[str]:
    if os.path.isdir(pattern):
        pattern = os.path.join(glob.escape(pattern), "*")
    elif not glob.has_magic(pattern):
        pattern = f"{glob.escape(pattern)}*"
    return [path for path in sorted(glob.glob(pattern)) if os.path.isfile(path) and _part(path)[1]]


def _part(path: str) -> tuple[str, str]:
    """What comes in front of the part's name, and that name; empty if there is none."""
    name = os.path.basename(path)
    found = _WORD.search(name)
    return (name[: found.start()], found[1]) if found else (name, "")


def _of_part(paths: list[str], words: tuple[str, ...]) -> list[str]:
    """The files of the first of the words that has some."""
    for word in words:
        if found := [path for path in paths if _part(path)[1] == word]:
            return found
    return []
