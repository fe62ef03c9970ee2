"""Tensors in HDF5 files as Keras lays them out: each layer's in a group `vars` of its own."""

from __future__ import annotations

import math

import h5py
import ml_dtypes
import numpy as np

from .checkpoint import TensorSpec

# What deflate makes of zeros at best.
_MOST_GROWTH = 1100


def stored_tensors(weights: h5py.File) -> dict[str, TensorSpec]:
    """The model's tensors in a `.weights.h5` file, by their places in it.

    The names of layers, which Keras leaves in attributes, are not read: HDF5 may search for a text
    in a damaged file for ever.

    Args:
        weights: The file, open.

    Raises:
        ValueError: Something in it is not what Keras writes.
    """
    tensors: dict[str, TensorSpec] = {}
    seen = set[int]()
    size = weights.id.get_filesize()

    def visit(group: h5py.h5g.GroupID, path: str) -> None:
        address = h5py.h5o.get_info(group).addr
        if address in seen:  # In a damaged file a group can be in itself.
            return
        seen.add(address)
        for name in group:
            place = _decoded(f"{path}/".encode() + name)
            if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
                raise ValueError(f"{place} is a link, maybe into another file.")
            child = h5py.h5o.open(group, name)
            if path.endswith("/vars"):
                if spec := _spec_of(child, place, size):
                    tensors[place] = spec
            elif isinstance(child, h5py.h5g.GroupID) and name != b"optimizer":
                visit(child, place)

    visit(h5py.h5g.open(weights.id, b"/"), "")
    return tensors


def value_at(weights: h5py.File, place: str) -> np.ndarray:
    """The tensor at a place that `stored_tensors` gave."""
    stored = h5py.h5d.open(weights.id, place.encode())
    value = np.empty(stored.shape, stored.dtype)
    stored.read(h5py.h5s.ALL, h5py.h5s.ALL, value)
    return value.view(_dtype_of(stored)) if value.dtype.kind == "V" else value


def _decoded(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name!r} is no name.") from None


def _spec_of(stored: h5py.h5d.DatasetID, place: str, size: int) -> TensorSpec | None:
    """A tensor's shape and dtype; None if it has no elements, which makes it a remark.

    Raises:
        ValueError: It is none, lies in another file, or has a shape that the file is too small for.
    """
    if not isinstance(stored, h5py.h5d.DatasetID):
        raise ValueError(f"{place} is no tensor.")
    space = stored.get_space()
    elements = math.prod(space.shape)
    if space.get_simple_extent_type() == h5py.h5s.NULL or not elements:
        return None
    layout = stored.get_create_plist()
    if layout.get_layout() == h5py.h5d.VIRTUAL or layout.get_external_count():
        raise ValueError(f"{place} lies in another file.")
    is_packed = layout.get_layout() == h5py.h5d.CHUNKED and layout.get_nfilters() > 0
    dtype = _dtype_of(stored)
    if elements * dtype.itemsize > size * (_MOST_GROWTH if is_packed else 1):
        raise ValueError(
            f"{place} would be {dtype.name}{list(space.shape)}, {elements * dtype.itemsize:,} "
            f"bytes, and the file has {size:,}."
        )
    return TensorSpec(space.shape, dtype.name)


def _dtype_of(stored: h5py.h5d.DatasetID) -> np.dtype:
    """A tensor's dtype; HDF5 has no bfloat16, and Keras says in a remark where it is meant."""
    dtype = stored.dtype
    if dtype == np.dtype("V2") and h5py.Dataset(stored).attrs.get("dtype") == "bfloat16":
        return np.dtype(ml_dtypes.bfloat16)
    return dtype
