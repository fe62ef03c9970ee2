"""TFRecord files, read at any place.

A record is its length (8 bytes, little endian), that number's checksum (4 bytes), the data and its
checksum (4 bytes): https://www.tensorflow.org/tutorials/load_data/tfrecord. So the places of all
records are found by reading the first 12 bytes of each.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from .dataset import Split, fingerprint_of, held

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

_HEADER_BYTES = 12
_FRAME_BYTES = 16
# Enough to keep a disk busy while it seeks.
_INDEXING_THREADS = 16
_GZIP = b"\x1f\x8b"

Parse = Callable[["tf.Tensor"], "dict[str, tf.Tensor]"]


def index_records(path: str) -> np.ndarray:
    """Finds a file's records.

    Args:
        path: A TFRecord file that is not compressed.

    Returns:
        int64 `[N, 2]`: where each record begins and how many bytes it takes, with lengths and
        checksums. What follows a damaged length can't be told apart: it counts as one record, which
        can't be read.

    Raises:
        ValueError: The file is compressed.
    """
    import numpy as np

    size, places = os.path.getsize(path), []
    with open(path, "rb", buffering=0) as file:
        begin = 0
        while begin < size:
            header = os.pread(file.fileno(), _HEADER_BYTES, begin)
            if begin == 0 and header.startswith(_GZIP):
                raise ValueError(f"'{path}' is compressed: unpack it with gunzip.")
            length = struct.unpack("<Q", header[:8])[0] if len(header) == _HEADER_BYTES else size
            taken = min(length + _FRAME_BYTES, size - begin)
            places.append((begin, taken))
            begin += taken
    return np.array(places, np.int64).reshape(-1, 2)


class RecordSplit(Split):
    """Examples in TFRecord files.

    Args:
        paths: The files.
        parse: Makes an example of a record: a string scalar.
        num_classes: Classes of the labels.

    Raises:
        ValueError: A file is compressed.
    """

    def __init__(self, paths: Sequence[str], parse: Parse, num_classes: int) -> None:
        import numpy as np

        with ThreadPoolExecutor(_INDEXING_THREADS) as threads:
            places = list(threads.map(index_records, paths))
        self._paths = list(paths)
        self._files = np.repeat(np.arange(len(paths)), [len(found) for found in places])
        self._places = np.concatenate(places)
        self._parse = parse
        self.num_classes = num_classes

    def __len__(self) -> int:
        return len(self._files)

    def read(self, index: tf.Tensor) -> dict[str, tf.Tensor]:
        """As `Split.read`; TensorFlow holds the record against its checksums."""
        import tensorflow as tf

        paths, files, places = self._tensors
        place = tf.gather(places, index)
        # The public class for these files has no place to begin at.
        file = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.gather(paths, tf.gather(files, index)[tf.newaxis]),
            compression_type="",
            buffer_size=place[1],
            byte_offsets=place[:1],
        )
        records = tf.data.experimental.from_variant(file, tf.TensorSpec([], tf.string))
        return self._parse(records.take(1).get_single_element())

    def name_of(self, index: int) -> str:
        file = self._files[index]
        number = index - int((self._files < file).sum())
        return f"{self._paths[file]}, record {number}"

    @functools.cached_property
    def fingerprint(self) -> str:
        """As `Split.fingerprint`, of the files' names and the places of their records."""
        names = [os.path.basename(path) for path in self._paths]
        return fingerprint_of("\0".join(names), self._files, self._places)

    @functools.cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        return held(self._paths), held(self._files), held(self._places)
