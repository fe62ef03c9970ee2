"""Opening a checkpoint, whatever its format."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import h5py

from .archives import unpacked
from .checkpoint import Checkpoint
from .graph_files import open_graph
from .keras_files import open_keras_file
from .locating import ARCHIVE_SUFFIXES, GRAPH_SUFFIX, KERAS_SUFFIXES, SAFETENSORS_SUFFIX, locate
from .safetensors_files import open_safetensors
from .tensorflow_files import open_tensorflow_checkpoint


@contextlib.contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Checkpoint]:
    """Opens the checkpoint that a path stands for.

    Args:
        path: As for `locate`.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is none, or a damaged one.
    """
    located = locate(path)
    with contextlib.ExitStack() as stack:
        if not located.name.endswith(ARCHIVE_SUFFIXES):
            yield stack.enter_context(_open_file(located))
            return
        packed = stack.enter_context(unpacked(located))
        checkpoint = stack.enter_context(_open_file(packed))
        yield dataclasses.replace(checkpoint, path=located / packed.name)


@contextlib.contextmanager
def _open_file(path: Path) -> Iterator[Checkpoint]:
    if path.name.endswith(KERAS_SUFFIXES):
        with open_keras_file(path) as checkpoint:
            yield checkpoint
    elif path.name.endswith(SAFETENSORS_SUFFIX):
        with open_safetensors(path) as checkpoint:
            yield checkpoint
    elif path.name.endswith(GRAPH_SUFFIX):
        yield open_graph(path)
    elif path.is_file() and h5py.is_hdf5(path):
        raise ValueError(
            f"{path} is an HDF5 file whose name does not end in .weights.h5: rename it if "
            "save_weights of Keras 3 wrote it; load an older one with the Keras that wrote it, and "
            "save it as .weights.h5 or .keras with Keras 3."
        )
    else:
        yield open_tensorflow_checkpoint(path)
