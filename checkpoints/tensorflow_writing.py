"""Writing TensorFlow's checkpoints, so that one can take the place of another at once."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from .tensorflow_files import INTERNAL_PREFIX, OBJECT_GRAPH_KEY

if TYPE_CHECKING:
    import tensorflow as tf


def free_shards(path: Path) -> int:
    """In how many `.data` files a checkpoint has to be that is to take the place of another.

    The `.index` file says in how many files the tensors are. With another number than all that lie
    at the place, old and new are side by side until the new `.index` replaces the old one.

    Args:
        path: The prefix of the place; its directory exists.
    """
    taken = _data_files(path).values()
    return next(n for n in itertools.count(1) if n not in taken)


def write_tensors(tensors: Iterable[tuple[str, Any]], prefix: Path, shards: int) -> None:
    """Writes a name-based checkpoint.

    Args:
        tensors: Name and value of each tensor, as a variable, tensor or array.
        prefix: Of its files.
        shards: The number of `.data` files.

    Raises:
        OSError: The files can't be written.
    """
    import tensorflow as tf

    named = {name: _as_tensor(value) for name, value in tensors}
    # TensorFlow writes no file without a tensor.
    spare = range(len(named), shards)
    named |= {f"{INTERNAL_PREFIX}{i}": tf.zeros([], tf.int32) for i in spare}
    names = list(named)
    parts = [prefix.with_name(f"part{i}") for i in range(shards)] if shards > 1 else [prefix]
    try:
        for i, part in enumerate(parts):
            dealt = names[i::shards]
            tf.raw_ops.SaveV2(
                prefix=str(part),
                tensor_names=dealt,
                shape_and_slices=[""] * len(dealt),
                tensors=[named[name] for name in dealt],
            )
        if shards > 1:  # Which renames the data files and writes an index of them.
            tf.raw_ops.MergeV2Checkpoints(
                checkpoint_prefixes=[str(part) for part in parts],
                destination_prefix=str(prefix),
                delete_old_dirs=False,
            )
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def write_objects(objects: Mapping[str, Any], prefix: Path, shards: int) -> None:
    """Writes an object-based checkpoint.

    Args:
        objects: Keyword arguments of `tf.train.Checkpoint`.
        prefix: Of its files.
        shards: The number of `.data` files.

    Raises:
        OSError: The files can't be written.
    """
    import tensorflow as tf

    class Dealt(tf.train.experimental.ShardingCallback):
        """Deals the tensors out to the files."""

        @property
        def description(self) -> str:
            return f"deals tensors out to {shards} files"

        def __call__(self, shardable_tensors: Sequence[Any]) -> list[dict[str, dict[str, Any]]]:
            files: list[dict[str, dict[str, Any]]] = [{} for _ in range(shards)]
            for file, one in zip(itertools.cycle(files), shardable_tensors):
                file.setdefault(one.checkpoint_key, {})[one.slice_spec] = one.tensor
            return files

    # TensorFlow writes no file without a tensor; two there always are, a variable and the graph.
    spare = {str(i): tf.Variable(0) for i in range(2, shards)}
    more = {INTERNAL_PREFIX.rstrip("/"): spare} if spare else {}
    options = tf.train.CheckpointOptions(experimental_sharding_callback=Dealt())
    try:
        tf.train.Checkpoint(**objects, **more).write(str(prefix), options)
    except tf.errors.OpError as error:
        raise OSError(error.message) from error


def write_lent_objects(
    objects: Mapping[str, Any], lent: Sequence[keras.Variable], prefix: Path, shards: int
) -> None:
    """Writes what `write_objects` would if the model had values, which would take much longer.

    Args:
        objects: Keyword arguments of `tf.train.Checkpoint`; all in it is a layer or a variable.
        lent: Those of the variables that have no value but one lent to them.
        prefix: Of its files.
        shards: The number of `.data` files.

    Raises:
        OSError: The files can't be written.
    """
    import tensorflow as tf
    from tensorflow.python.checkpoint import graph_view, save_util

    root = tf.train.Checkpoint(**objects)  # Of which a view is a weak reference.
    with _stood_in(lent):
        of_objects, _, _, graph = save_util.serialize_graph_view(graph_view.ObjectGraphView(root))
    tensors = {key: value for of_one in of_objects.values() for key, value in of_one.items()}
    tensors[OBJECT_GRAPH_KEY] = tf.constant(graph.SerializeToString())
    # Of a variable that has a value there is a `SaveSpec`, which reads the tensor when asked.
    named = ((key, getattr(value, "tensor", value)) for key, value in tensors.items())
    write_tensors(named, prefix, shards)


@contextlib.contextmanager
def _stood_in(variables: Sequence[keras.Variable]) -> Iterator[None]:
    try:
        for variable in variables:
            variable._value = _StandIn(variable.name, variable.value)
        yield
    finally:
        for variable in variables:
            variable._value = None


class _StandIn:
    """What the writer of object-based checkpoints asks a `tf.Variable` for."""

    def __init__(self, name: str, value: Any) -> None:
        self._shared_name = name
        self._value = value

    def _serialize_to_tensors(self) -> dict[str, tf.Tensor]:
        return {"VARIABLE_VALUE": _as_tensor(self._value)}


def publish_checkpoint(written: Path, path: Path) -> None:
    """Moves a checkpoint of `free_shards(path)` files to its place, and removes the older one.

    Args:
        written: Its prefix, on the same file system.
        path: The prefix of the place.
    """
    old = _data_files(path)
    for data in _data_files(written):
        os.replace(data, path.with_name(data.name))
    os.replace(f"{written}.index", f"{path}.index")
    for file in old:
        file.unlink()


def _data_files(prefix: Path) -> dict[Path, int]:
    """The `.data` files of a prefix, and of how many each says to be one."""
    pattern = re.compile(rf"{re.escape(prefix.name)}\.data-\d+-of-(\d+)")
    return {
        file: int(match[1])
        for file in prefix.parent.iterdir()
        if (match := pattern.fullmatch(file.name))
    }


def _as_tensor(value: Any) -> tf.Tensor:
    """What TensorFlow would copy if it could."""
    import tensorflow as tf

    if tf.is_tensor(value):
        return tf.convert_to_tensor(value)
    array = value if isinstance(value, np.ndarray) else keras.ops.convert_to_numpy(value)
    if array.dtype.kind in "fiu" and array.flags.writeable and array.flags.c_contiguous:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.convert_to_tensor(array)  # What DLPack has no notion of, texts for instance.
