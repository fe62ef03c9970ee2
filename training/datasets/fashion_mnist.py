"""Fashion-MNIST: 70,000 grey images of clothes (https://arxiv.org/abs/1708.07747).

They come as four IDX files, the format of http://yann.lecun.com/exdb/mnist: a header of big-endian
32-bit numbers (a magic number, then the sizes), then a byte a value.
"""

from __future__ import annotations

import gzip
import pathlib
import zlib
from typing import TYPE_CHECKING

from . import tensorflow_datasets
from .dataset import Dataset
from .splits import ArraySplit

if TYPE_CHECKING:
    import numpy as np

# Where Debian's package puts them.
PACKAGE = "dataset-fashion-mnist"
FOLDER = pathlib.Path("/usr/share/datasets/fashion-mnist")
# In the order of the labels, from the dataset's README.
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_PREFIXES = {"train": "train", "test": "t10k"}
_UINT8 = 0x08  # IDX' number of the type


def load(data_dir: str | None) -> Dataset:
    """Loads the four files.

    Args:
        data_dir: A folder with the IDX files, packed or not, or one of TensorFlow Datasets that has
            `fashion_mnist`; None for the folder of Debian's package.

    Returns:
        uint8 images `[28, 28, 1]`, 60,000 to train on and 10,000 to test on.

    Raises:
        FileNotFoundError: There are no such files; the message says how to get them.
        ValueError: A file is damaged.
    """
    folder = FOLDER if data_dir is None else pathlib.Path(data_dir)
    if data_dir is not None and (folder / "fashion_mnist").is_dir():
        return tensorflow_datasets.load("fashion_mnist", data_dir)
    splits = {}
    for part, prefix in _PREFIXES.items():
        images = read_idx(_find(folder, f"{prefix}-images-idx3-ubyte"), 3)
        labels = read_idx(_find(folder, f"{prefix}-labels-idx1-ubyte"), 1)
        if len(images) != len(labels) or (len(labels) and labels.max() >= len(CLASS_NAMES)):
            raise ValueError(
                f"The {prefix} files in '{folder}' don't belong together: {len(images)} images, "
                f"{len(labels)} labels up to {labels.max(initial=0)}. Get them anew."
            )
        splits[part] = ArraySplit(
            images[..., None], labels.astype("int32"), len(CLASS_NAMES), f"fashion_mnist/{part}"
        )
    return Dataset("fashion_mnist", splits["train"], splits["test"], CLASS_NAMES)


def _find(folder: pathlib.Path, name: str) -> pathlib.Path:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"Fashion-MNIST is not in '{folder}': there is no {name}[.gz]. Get it by "
        f"'apt-get install {PACKAGE}', or name a folder with its four IDX files by --data-dir."
    )


def read_idx(path: pathlib.Path, rank: int) -> np.ndarray:
    """Reads an IDX file of bytes.

    Args:
        path: The file; unpacked on the way if its name ends in `.gz`.
        rank: How many dimensions it has to have.

    Returns:
        uint8 array.

    Raises:
        ValueError: It is none, or another rank's, or cut off.
    """
    import numpy as np

    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"'{path}' can't be unpacked ({error}): get it anew.") from None
    header = 4 + 4 * rank
    if data[:4] != bytes([0, 0, _UINT8, rank]) or len(data) < header:
        raise ValueError(f"'{path}' is not an IDX file of bytes in {rank} dimensions.")
    shape = np.frombuffer(data, ">u4", rank, offset=4).astype(int)
    if len(data) - header != shape.prod():
        raise ValueError(
            f"'{path}' is damaged: it has {len(data) - header} values where its header says "
            f"{'x'.join(map(str, shape))}. Get it anew."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)
