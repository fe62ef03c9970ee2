"""Safetensors: one file with a header of names, shapes and dtypes, and the numbers behind it."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from zlib_ng import zlib_ng  # Whose sums are those of zlib, in a fourth of the time.

from .checkpoint import Checkpoint, TensorSpec, first_line

# What the format calls dtypes -> what NumPy and Keras call them.
_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}

# Where in a file's metadata the CRC-32 of each tensor is, by name, as JSON: the format itself has
# no checksums, and its writer shuffles several entries, which would make equal files differ.
_CHECKSUMS = "shimzoo_crc32"


@contextlib.contextmanager
def open_safetensors(path: Path) -> Iterator[Checkpoint]:
    """Opens a file by its header; tensors are read one by one.

    Args:
        path: The file.

    Raises:
        ValueError: It is no safetensors file, or a damaged one.
    """
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(
                safetensors.safe_open(path, framework="numpy", backend="pread")
            )
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            specs = {
                name: TensorSpec(tuple(part.get_shape()), _DTYPES.get(part.get_dtype(), "?"))
                for name, part in parts.items()
            }
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(
                f"{path} is not a safetensors file, or a damaged one: {first_line(error)}"
            ) from error

        checksums = _checksums(path, (file.metadata() or {}).get(_CHECKSUMS, "{}"))
        if checksums and checksums.keys() != specs.keys():
            raise ValueError(f"{path} is damaged: its checksums are those of other tensors.")

        def read(name: str) -> np.ndarray:
            try:
                value = file.get_tensor(name)
            except (safetensors.SafetensorError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"{path}: {name} can't be read: {first_line(error)}") from error
            if name in checksums and checksums[name] != _checksum(value):
                raise ValueError(f"{path} is damaged: {name} is not what was written.")
            return value

        yield Checkpoint(path, "safetensors", specs, read)


def write_safetensors(tensors: Mapping[str, np.ndarray], path: Path) -> None:
    """Writes a file, with a checksum of each tensor among its metadata.

    Args:
        tensors: The tensors by name, in C order.
        path: The file.

    Raises:
        ValueError: A tensor has a dtype that NumPy can't give to safetensors.
        OSError: The file can't be written.
    """
    for name, value in tensors.items():
        if value.dtype.kind not in "fiub":
            raise ValueError(f"{name} is {value.dtype}, which NumPy can't give to safetensors.")
    checksums = json.dumps({name: _checksum(value) for name, value in tensors.items()})
    try:
        safetensors.numpy.save_file(dict(tensors), path, metadata={_CHECKSUMS: checksums})
    except safetensors.SafetensorError as error:
        raise OSError(str(error)) from error


def _checksums(path: Path, text: str) -> dict[str, int]:
    try:
        checksums = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: its checksums can't be read.") from error
    if not isinstance(checksums, dict):
        raise ValueError(f"{path} is damaged: its checksums can't be read.")
    return checksums


def _checksum(value: np.ndarray) -> int:
    # By its memory as bytes, which an array without elements or dimensions has as well.
    return zlib_ng.crc32(value.reshape(-1).view("uint8").data)
