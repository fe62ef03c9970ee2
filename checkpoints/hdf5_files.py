"""Tensors in HDF5 files as Keras lays them out: each layer's in a group `vars` of its own."""

from __future__ import annotations

import dataclasses
import math

import h5py
import ml_dtypes
import numpy as np

from .checkpoint import TensorSpec
from .file_parts import FilePart

# What deflate makes of zeros at best.
_MOST_GROWTH = 1100


class StoredTensors:
    """The model's tensors in a `.weights.h5` file, by their places in it.

    The names of layers, which Keras leaves in attributes, are not read: HDF5 may search for a text
    in a damaged file for ever.

    Args:
        weights: The file, open.
        content: The same, to be read without HDF5, which asks for many small parts.

    Attributes:
        specs: Shape and dtype of each.

    Raises:
        ValueError: Something in it is not what Keras writes.
    """

    def __init__(self, weights: h5py.File, content: FilePart) -> None:
        self._weights, self._content = weights, content
        self._tensors = _tensors_in(weights)
        self.specs = {place: tensor.spec for place, tensor in self._tensors.items()}

    def read(self, place: str) -> np.ndarray:
        """Reads a tensor, in this machine's order of bytes.

        Raises:
            EOFError: The file ends before it does.
            OSError: HDF5 can't read it.
        """
        tensor = self._tensors[place]
        if tensor.offset is not None:
            value = np.empty(tensor.spec.shape, tensor.spec.dtype)
            self._content.read_at(tensor.offset, value)
            return value
        dataset = h5py.h5d.open(self._weights.id, place.encode())
        value = np.empty(dataset.shape, dataset.dtype.newbyteorder("="))
        dataset.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
        return value.view(_meant(dataset, value.dtype))


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor in a file.

    Args:
        spec: Shape and dtype.
        offset: Where its bytes lie as NumPy has them, one after the other; None if HDF5 has to
            find, to unpack or to convert them.
    """

    spec: TensorSpec
    offset: int | None


def _tensors_in(weights: h5py.File) -> dict[str, _Tensor]:
    tensors: dict[str, _Tensor] = {}
    seen = set[int]()
    size = weights.id.get_filesize()

    def visit(group: h5py.h5g.GroupID, path: str) -> None:
        address = h5py.h5o.get_info(group).addr
        if address in seen:  # In a damaged file a group can be in itself.
            return
        seen.add(address)
        links: list[tuple[bytes, int]] = []
        group.links.iterate(lambda name, info: links.append((name, info.type)), info=True)
        for name, kind in links:
            place = _decoded(f"{path}/".encode() + name)
            if kind != h5py.h5l.TYPE_HARD:
                raise ValueError(f"{place} is a link, maybe into another file.")
            child = h5py.h5o.open(group, name)
            if path.endswith("/vars"):
                if tensor := _tensor_of(child, place, size):
                    tensors[place] = tensor
            elif isinstance(child, h5py.h5g.GroupID) and name != b"optimizer":
                visit(child, place)

    visit(h5py.h5g.open(weights.id, b"/"), "")
    return tensors


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name!r} is no name.") from None


def _tensor_of(dataset: h5py.h5d.DatasetID, place: str, size: int) -> _Tensor | None:
    """What a tensor is and where; None if it has no elements, which makes it a remark.

    Raises:
        ValueError: It is none, lies in another file, or has a shape that the file is too small for.
    """
    if not isinstance(dataset, h5py.h5d.DatasetID):
        raise ValueError(f"{place} is no tensor.")
    space = dataset.get_space()
    elements = math.prod(space.shape)
    if space.get_simple_extent_type() == h5py.h5s.NULL or not elements:
        return None
    kind = dataset.get_type()
    dtype = kind.dtype
    # None where it has no place, as in chunks, in another file, or beside its description.
    offset = dataset.get_offset()
    is_packed = False
    if offset is None:
        layout = dataset.get_create_plist()
        if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
            raise ValueError(f"{place} lies in another file.")
        is_packed = layout.get_layout() == h5py.h5d.CHUNKED and layout.get_nfilters() > 0
    if elements * dtype.itemsize > size * (_MOST_GROWTH if is_packed else 1):
        raise ValueError(
            f"{place} would be {dtype.name}{list(space.shape)}, {elements * dtype.itemsize:,} "
            f"bytes, and the file has {size:,}."
        )
    spec = TensorSpec(space.shape, _meant(dataset, dtype).name)
    as_is = dtype.kind in "fiu" and dtype.isnative and kind.equal(h5py.h5t.py_create(dtype))
    return _Tensor(spec, offset if as_is else None)


def _meant(dataset: h5py.h5d.DatasetID, dtype: np.dtype) -> np.dtype:
    """A tensor's dtype; HDF5 has no bfloat16, and Keras says in a remark where it is meant."""
    if dtype == np.dtype("V2") and h5py.Dataset(dataset).attrs.get("dtype") == "bfloat16":
        return np.dtype(ml_dtypes.bfloat16)
    return dtype
