"""Datasets that TensorFlow Datasets has prepared: https://www.tensorflow.org/datasets."""

from __future__ import annotations

import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

from .dataset import Dataset, Split
from .record_files import Parse, RecordSplit
from .splits import Subset

if TYPE_CHECKING:
    import tensorflow as tf

_TRAIN = "train"
_TEST = ("test", "validation")
# Of these the part `test` has no labels.
_TESTED_ON_VALIDATION = ("imagenet2012",)
# Of each this many a training part without a test part gives one to the test.
_TEST_SHARE = 5


def load(name: str, data_dir: str | None) -> Dataset:
    """Opens a prepared dataset, and downloads nothing.

    Args:
        name: Its name there, such as `imagenet2012` or `tf_flowers`.
        data_dir: The folder that it was prepared in.

    Returns:
        The dataset. The test part is `test`, or else `validation` (always for ImageNet), or else
        every fifth image of `train`.

    Raises:
        ModuleNotFoundError: TensorFlow Datasets is not installed.
        FileNotFoundError: The dataset is not there; the message says how to get it.
        ValueError: It has no labelled images, or is not in TFRecord files.
    """
    builder = _builder(name, data_dir)
    features, splits = builder.info.features, builder.info.splits
    if builder.info.file_format.value != "tfrecord":
        raise ValueError(
            f"{name} in '{data_dir}' is in {builder.info.file_format.value} files: prepare it with "
            "'tfds build --file_format tfrecord'."
        )
    _check_features(name, features)
    if _TRAIN not in splits:
        raise ValueError(f"{name} has no part {_TRAIN}: it has {', '.join(splits)}.")
    train: Split = _split(name, builder, _TRAIN)
    tests = [part for part in _TEST if part in splits]
    if name.partition("/")[0].partition(":")[0] in _TESTED_ON_VALIDATION:
        tests = [part for part in tests if part != "test"]
    if tests:
        test: Split = _split(name, builder, tests[0])
    else:
        train, test = _parted(train)
    label = features["label"]
    return Dataset(name, train, test, tuple(map(str, label.names)))


def _builder(name: str, data_dir: str | None) -> Any:
    try:
        import tensorflow_datasets as tfds
    except ModuleNotFoundError as error:
        if error.name != "tensorflow_datasets":
            raise
        raise ModuleNotFoundError(
            f"The dataset {name} needs TensorFlow Datasets, which is not installed: "
            "pip install 'shimzoo[data]'.",
            name=error.name,
        ) from None
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"TensorFlow Datasets has no {name!r}: {reason}") from None
    if not builder.is_prepared():
        # The library asks for the version that it would prepare itself today.
        versions = sorted(
            pathlib.Path(data_dir, name).glob("*.*.*/dataset_info.json"), key=_version
        )
        if versions:
            return tfds.builder_from_directory(versions[-1].parent)
        by_hand = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
        folder = pathlib.Path(data_dir, "downloads", "manual")
        first = f"download its files by hand into '{folder}' and " if by_hand else ""
        then = "prepares it" if by_hand else "downloads it"
        raise FileNotFoundError(
            f"{name} is not prepared in '{data_dir}': {first}run 'tfds build {name} --data_dir "
            f"{data_dir}', which {then}, or name the folder that has it by --data-dir."
        )
    return builder


def _version(info: pathlib.Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", info.parent.name)]


def _check_features(name: str, features: Any) -> None:
    import tensorflow_datasets as tfds

    found = dict(features) if isinstance(features, tfds.features.FeaturesDict) else {}
    wanted = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    if not all(isinstance(found.get(key), kind) for key, kind in wanted.items()):
        raise ValueError(
            f"{name} has no labelled images: a dataset has to have the features image and label, "
            f"and this one has {', '.join(found) or 'none by name'}."
        )


def _split(name: str, builder: Any, part: str) -> RecordSplit:
    paths = [os.fspath(path) for path in builder.info.splits[part].filepaths]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing:
        raise FileNotFoundError(f"{name} is not whole: '{missing[0]}' is missing. Prepare it anew.")
    features = builder.info.features
    return RecordSplit(paths, _parse(features), features["label"].num_classes)


def _parse(features: Any) -> Parse:
    import tensorflow_datasets as tfds

    used = tfds.features.FeaturesDict({key: features[key] for key in ("image", "label")})
    decoders = {"image": tfds.decode.SkipDecoding()}

    def parse(record: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        example = used.deserialize_example(record, decoders=decoders)
        return {"image": example["image"], "label": tf.cast(example["label"], tf.int32)}

    return parse


def _parted(whole: Split) -> tuple[Subset, Subset]:
    import numpy as np

    numbers = np.arange(len(whole))
    is_test = numbers % _TEST_SHARE == 0
    return Subset(whole, numbers[~is_test]), Subset(whole, numbers[is_test])
