"""Datasets by name."""

from __future__ import annotations

import difflib
import re

from .dataset import Dataset
from .labels_offset import with_labels_offset

FOLDER, TFRECORD = "folder:", "tfrecord:"
# Those names that need no --data-dir.
_BUILT_IN = ("digits", "fashion_mnist")
_IMAGENET = "imagenet2012"
# What a name can be, for messages and help.
DATASETS = (*_BUILT_IN, f"{FOLDER}PATH", f"{TFRECORD}PATTERN", _IMAGENET)
# A name of TensorFlow Datasets: a module in front, a configuration and a version behind.
_TFDS_NAME = re.compile(r"([\w.-]+:)?[a-z]\w*(/[\w.+-]+)?(:\d+\.\d+\.\d+)?")


def check_dataset_name(name: str, data_dir: str | None = None) -> None:
    """Holds a name and the folder it needs against what there is, without reading anything.

    Args:
        name: As in `load_dataset`.
        data_dir: As in `load_dataset`.

    Raises:
        ValueError: There can be no such dataset, or it needs a folder, or needs none.
    """
    prefix, colon, rest = name.partition(":")
    if prefix + colon in (FOLDER, TFRECORD):
        if not rest:
            raise ValueError(f"{name!r} names no files: give {prefix}:PATH.")
        if data_dir is not None:
            raise ValueError(f"{name!r} says where it is: leave data_dir={data_dir!r} out.")
    elif name == "digits":
        if data_dir is not None:
            raise ValueError(f"digits comes with shimzoo: leave data_dir={data_dir!r} out.")
    elif name == _IMAGENET and data_dir is None:
        raise ValueError(
            f"{name} needs --data-dir: the folder that TensorFlow Datasets has prepared it in."
        )
    elif name not in _BUILT_IN and (data_dir is None or not _TFDS_NAME.fullmatch(name)):
        near = difflib.get_close_matches(name.lower(), (*_BUILT_IN, _IMAGENET), n=1)
        meant = f"; did you mean {near[0]}? Datasets" if near else ": datasets"
        raise ValueError(
            f"There is no dataset {name!r}{meant} are {', '.join(DATASETS)}, and with "
            "--data-dir any that TensorFlow Datasets has prepared there."
        )


def load_dataset(name: str, data_dir: str | None = None, labels_offset: int = 0) -> Dataset:
    """Opens a dataset.

    Args:
        name: `digits`; `fashion_mnist`; `folder:PATH`, a folder of images a class; `tfrecord:
            PATTERN`, TF-Slim's files; or a name of TensorFlow Datasets, such as `imagenet2012`.
        data_dir: The folder that TensorFlow Datasets has prepared its datasets in, or that has
            Fashion-MNIST's files; None where there is no need of one.
        labels_offset: What to subtract from the labels: see `labels_offset`.

    Returns:
        The dataset. Images on disk are read when they are needed.

    Raises:
        ValueError: There is no such dataset, its files are damaged, or the offset is not for it.
        OSError: Its files are not there; the message says how to get them.
        ModuleNotFoundError: It needs TensorFlow Datasets, which is not installed.
    """
    check_dataset_name(name, data_dir)
    return with_labels_offset(_load(name, data_dir), labels_offset)


def _load(name: str, data_dir: str | None) -> Dataset:
    from . import digits, fashion_mnist, folders, slim_records, tensorflow_datasets

    if name == "digits":
        return digits.load()
    if name == "fashion_mnist":
        return fashion_mnist.load(data_dir)
    if name.startswith(FOLDER):
        return folders.load(name.removeprefix(FOLDER))
    if name.startswith(TFRECORD):
        return slim_records.load(name.removeprefix(TFRECORD))
    return tensorflow_datasets.load(name, data_dir)
