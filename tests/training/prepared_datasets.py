"""Datasets in the format of TensorFlow Datasets, made without a download."""

import pathlib
from collections.abc import Collection
from typing import Any

import tensorflow_datasets as tfds
from shimzoo.tests.training import image_files


def prepare(
    folder: pathlib.Path,
    name: str,
    parts: dict[str, int],
    features: dict[str, Any] | None = None,
    version: str = "1.0.0",
    unlabelled: Collection[int] = (),
    **options: Any,
) -> None:
    """Prepares a dataset; image i of all parts has the pixels of i and the class i modulo 3.

    Those of `unlabelled` have the library's label for an image without one.
    """
    if features is None:
        features = {
            "file_name": tfds.features.Text(),
            "image": tfds.features.Image(encoding_format="png"),
            "label": tfds.features.ClassLabel(names=["ant", "bee", "cat"]),
        }
    features = tfds.features.FeaturesDict(features)
    examples, number = {}, 0
    for part, count in parts.items():
        numbers = range(number, number + count)
        values = [
            {
                "file_name": f"{i}.png",
                "image": image_files.pixels(i),
                "label": -1 if i in unlabelled else i % 3,
            }
            for i in numbers
        ]
        examples[part] = list(enumerate({key: value[key] for key in features} for value in values))
        number += count
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=version,
        features=features,
        data_dir=folder,
        split_datasets=examples,
        **options,
    )
