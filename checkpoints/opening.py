"""Opening a checkpoint, whatever its format."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras

from .archives import unpacked
from .checkpoint import Checkpoint
from .graph_files import open_graph
from .keras_files import is_keras_file, open_keras_file, stored_in_keras_file
from .locating import ARCHIVE_SUFFIXES, GRAPH_SUFFIX, SAFETENSORS_SUFFIX, locate
from .safetensors_files import open_safetensors
from .tensorflow_files import named_by_model, open_tensorflow_checkpoint


@contextlib.contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Checkpoint]:
    """Opens the checkpoint that a path stands for.

    Args:
        path: As for `locate`, or an archive.

    Yields:
        The checkpoint. Of some formats it has no names before `named` gives them.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        ValueError: It is none, or a damaged one.
    """
    located = locate(path)
    with contextlib.ExitStack() as stack:
        if located.name.endswith(ARCHIVE_SUFFIXES):
            located = stack.enter_context(unpacked(located))
        if is_keras_file(located):
            yield stored_in_keras_file(located)
        elif located.name.endswith(SAFETENSORS_SUFFIX):
            yield stack.enter_context(open_safetensors(located))
        elif located.name.endswith(GRAPH_SUFFIX):
            yield open_graph(located)
        else:
            yield open_tensorflow_checkpoint(located)


def named(checkpoint: Checkpoint, model: keras.Model) -> Checkpoint:
    """The checkpoint with TF1 names, which a model of the same make tells where the file does not.

    Args:
        checkpoint: Any checkpoint.
        model: A built model.
    """
    if checkpoint.is_named:
        return checkpoint
    if is_keras_file(checkpoint.path):
        return open_keras_file(checkpoint.path, model)
    return named_by_model(checkpoint, model)
