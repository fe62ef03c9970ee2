"""Safetensors: one file with a header of names, shapes and dtypes, and the numbers behind it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors

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

        def read(name: str) -> np.ndarray:
            try:
                return file.get_tensor(name)
            except (safetensors.SafetensorError, TypeError, KeyError, AttributeError) as error:
                raise ValueError(f"{path}: {name} can't be read: {first_line(error)}") from error

        yield Checkpoint(path, "safetensors", specs, read)
