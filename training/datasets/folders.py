"""Images in folders, one a class."""

from __future__ import annotations

import functools
import hashlib
import os
import pathlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..image_files import IMAGE_SUFFIXES, describe_others, images_below
from .dataset import Dataset, Split, fingerprint_of, held

if TYPE_CHECKING:
    import tensorflow as tf

_TRAIN = "train"
_TEST = ("test", "val", "validation")
_TEST_SHARE = 0.2

# A file and its class' name.
_Files = list[tuple[pathlib.Path, str]]


class FileSplit(Split):
    """Images in files.

    Args:
        folder: The folder of the dataset.
        paths: The files, somewhere below it.
        labels: Their labels.
        num_classes: Classes of the labels.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        paths: Sequence[pathlib.Path],
        labels: Sequence[int],
        num_classes: int,
    ) -> None:
        import numpy as np

        self.num_classes = num_classes
        self._folder = folder
        self._paths = [str(path) for path in paths]
        self.labels = np.array(labels, np.int32)

    def __len__(self) -> int:
        return len(self._paths)

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        import tensorflow as tf

        paths, labels = self._tensors
        image = tf.io.read_file(tf.gather(paths, index))
        return {"image": image, "label": tf.gather(labels, index)}

    def name_of(self, index: int) -> str:
        return self._paths[index]

    @functools.cached_property
    def fingerprint(self) -> str:
        """As `Split.fingerprint`, of names and labels: an image that is damaged may be mended."""
        names = [os.path.relpath(path, self._folder) for path in self._paths]
        return fingerprint_of("\0".join(names), self.labels)

    @functools.cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        return held(self._paths), held(self.labels)


def load(path: str) -> Dataset:
    """Opens a folder of images.

    Args:
        path: A folder with a folder `train` and one of `test`, `val` and `validation`, each with a
            folder a class; or with a folder a class, of each of which a fifth is the test part:
            which images is decided by their names alone.

    Returns:
        The dataset; classes in the order of their names.

    Raises:
        FileNotFoundError: There is no such folder, or no images in it.
        ValueError: The parts have different classes, or there is nothing to test on.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder '{path}': folder:PATH takes one.")
    tests = [folder / name for name in _TEST if (folder / name).is_dir()]
    if (folder / _TRAIN).is_dir():
        if len(tests) != 1:
            raise ValueError(
                f"'{path}' has a folder {_TRAIN} and {len(tests)} of {', '.join(_TEST)}: it has to "
                "have one of them."
            )
        train, others = _files(folder / _TRAIN)
        test, others_in_test = _files(tests[0])
        others += others_in_test
    else:
        files, others = _files(folder)
        train, test = _parted(files, folder)
    names = sorted({name for _, name in train})
    if unknown := sorted({name for _, name in test} - set(names)):
        raise ValueError(
            f"'{tests[0]}' has the class {unknown[0]!r}, and '{folder / _TRAIN}' has not."
        )
    train_split, test_split = (_split(folder, files, names) for files in (train, test))
    left_out = describe_others(others)
    return Dataset(f"folder:{path}", train_split, test_split, tuple(names), left_out)


def _split(folder: pathlib.Path, files: _Files, class_names: Sequence[str]) -> FileSplit:
    number = {name: label for label, name in enumerate(class_names)}
    labels = [number[name] for _, name in files]
    return FileSplit(folder, [file for file, _ in files], labels, len(class_names))


def _files(folder: pathlib.Path) -> tuple[_Files, list[pathlib.Path]]:
    """All images, by class and name, and what is no image beside them."""
    classes = [entry for entry in sorted(folder.iterdir()) if _is_class(entry)]
    found: _Files = []
    others: list[pathlib.Path] = []
    for entry in classes:
        inside = images_below(entry)
        if not inside.images:
            raise FileNotFoundError(
                f"The class folder '{entry}' has no images ({', '.join(IMAGE_SUFFIXES)}): put "
                "some there or remove it."
            )
        found += [(file, entry.name) for file in inside.images]
        others += inside.others
    if not found:
        raise FileNotFoundError(f"'{folder}' has no folders of images, one a class.")
    return found, others


def _is_class(entry: pathlib.Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _parted(files: _Files, folder: pathlib.Path) -> tuple[_Files, _Files]:
    """A fifth of each class, and 1 at least, is the test part."""
    test: set[pathlib.Path] = set()
    for name in {name for _, name in files}:
        of_class = _shuffled((file for file, other in files if other == name), folder)
        if len(of_class) < 2:
            raise ValueError(
                f"The class {name!r} in '{folder}' has one image: there have to be two at least, "
                "one to train and one to test on."
            )
        test.update(of_class[: max(1, round(_TEST_SHARE * len(of_class)))])
    return [f for f in files if f[0] not in test], [f for f in files if f[0] in test]


def _shuffled(files: Iterable[pathlib.Path], folder: pathlib.Path) -> list[pathlib.Path]:
    """An order that depends on nothing but the names below the folder."""

    def key(file: pathlib.Path) -> bytes:
        return hashlib.sha256(file.relative_to(folder).as_posix().encode()).digest()

    return sorted(files, key=key)
