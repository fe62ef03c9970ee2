"""A folder of JPEG files like ImageNet's, made from scikit-learn's two photographs."""

from __future__ import annotations

import math
import os
import pathlib

import numpy as np
import PIL.Image
import sklearn.datasets

# ImageNet's images are about that large, and most of them are of a similar quality.
WIDTH, HEIGHT = 500, 375
QUALITY = 90
NAMES = ("china.jpg", "flower.jpg")
# Different files of each; more are further names of the same.
_DIFFERENT = 32
# Of each class' files `folder:` keeps a fifth for testing.
_TRAIN_SHARE = 0.8


def enough_for(batch_size: int) -> int:
    """How many files leave a batch for training."""
    return max(2 * _DIFFERENT, math.ceil(batch_size / _TRAIN_SHARE) + 2 * len(NAMES))


def write(folder: pathlib.Path | str, count: int) -> None:
    """Writes files as `folder:` reads them, a class a photograph.

    Each is a crop of the photograph at a place of its own, or its mirror image, as large as most of
    ImageNet's images are.

    Args:
        folder: where to; made if it is not there.
        count: how many, 4 or more.
    """
    random = np.random.default_rng(0)
    for number, name in enumerate(NAMES):
        pixels = sklearn.datasets.load_sample_image(name)
        target = pathlib.Path(folder, name.partition(".")[0])
        target.mkdir(parents=True, exist_ok=True)
        for index in range(count // 2 + (count % 2) * (1 - number)):
            path = target / f"{index:06}.jpg"
            if index < _DIFFERENT:
                PIL.Image.fromarray(_crop(pixels, random)).save(path, quality=QUALITY)
            else:
                os.link(target / f"{index % _DIFFERENT:06}.jpg", path)


def _crop(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    top = random.integers(0, pixels.shape[0] - HEIGHT + 1)
    left = random.integers(0, pixels.shape[1] - WIDTH + 1)
    crop = pixels[top : top + HEIGHT, left : left + WIDTH]
    return crop[:, ::-1] if random.integers(2) else crop
