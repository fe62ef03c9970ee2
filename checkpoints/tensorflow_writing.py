"""Writing TensorFlow's checkpoints, so that one can take the place of another at once."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from .tensorflow_files import INTERNAL_PREFIX, OBJECT_GRAPH_KEY

if TYPE_CHECKING:
    import tensorflow as tf

# Of tensors to a `.data` file, before the next is begun.
PART_BYTES = 1 << 25


def taken_counts(path: Path) -> set[int]:
    """In how many `.data` files a checkpoint can't be that is to take the place of another.

    The `.index` file says in how many files the tensors are. With another number than all that lie
    at the place, old and new are side by side until the new `.index` replaces the old one.

    Args:
        path: The prefix of the place; its directory exists.
    """
    return set(_data_files(path).values())


def write_tensors(tensors: Iterable[tuple[str, Any]], prefix: Path, taken: Collection[int]) -> None:
    """Writes a name-based checkpoint: while one `.data` file is written, the next is read.

    Args:
        tensors: Name and value of each tensor, as a variable, tensor or array. They are asked for
            one after the other; those of two files, and one more, are in memory at most.
        prefix: Of its files.
        taken: In how many `.data` files it must not be.

    Raises:
        OSError: The files can't be written.
    """
    import tensorflow as tf

    parts: list[Path] = []
    with _one_by_one() as begin:
        for part in _in_parts(tensors, taken):
            parts.append(prefix.with_name(f"{prefix.name}.part{len(parts)}"))
            begin(functools.partial(_save_part, part, parts[-1]))
    with _told_as_os_error():
        # Which renames the data files and writes an index of them all.
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=[str(part) for part in parts],
            destination_prefix=str(prefix),
            delete_old_dirs=False,
        )


@contextlib.contextmanager
def _one_by_one() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Calls functions in a thread, each when the one before has ended; at the end all have.

    Yields:
        What gets the next function; it raises what the one before did.
    """
    called: futures.Future[None] | None = None

    def begin(function: Callable[[], None]) -> None:
        nonlocal called
        if called is not None:
            called.result()
        try:
            called = pool.submit(function)
        except RuntimeError:  # Python ends, and begins no thread any more.
            called = None
            function()

    with futures.ThreadPoolExecutor(1) as pool:
        try:
            yield begin
            if called is not None:
                called.result()
        finally:
            # Nothing may write any more when a folder is removed, whatever comes meanwhile.
            while called is not None and not called.done():
                with contextlib.suppress(KeyboardInterrupt):
                    futures.wait([called])


@contextlib.contextmanager
def _told_as_os_error() -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        # `{{function_node ...}} PATH; REASON [Op:NAME]`, where the path is one that nobody knows.
        reason = re.sub(r" \[Op:\w+\]$", "", error.message).rpartition("; ")[2]
        raise OSError(reason) from error


def _in_parts(
    tensors: Iterable[tuple[str, Any]], taken: Collection[int]
) -> Iterator[dict[str, tf.Tensor]]:
    """Deals tensors out to files: as they come, and the last ones so that the number is free."""
    import tensorflow as tf

    part: dict[str, tf.Tensor] = {}
    size = full = 0
    for name, value in tensors:
        if size >= PART_BYTES:
            yield part
            part, size, full = {}, 0, full + 1
        part[name] = tensor = _as_tensor(value)
        size += tensor.shape.num_elements() * tensor.dtype.size
    files = _files_to_add(full, taken)
    # TensorFlow writes no file without a tensor.
    spare = range(len(part), files)
    part |= {f"{INTERNAL_PREFIX}{i}": tf.zeros([], tf.int32) for i in spare}
    names = list(part)
    for i in range(files):
        yield {name: part[name] for name in names[i::files]}


def _files_to_add(count: int, taken: Collection[int]) -> int:
    """The least number of files, of one at least, with which `count` becomes one that is free."""
    return next(n for n in itertools.count(1) if count + n not in taken)


def _save_part(tensors: dict[str, tf.Tensor], prefix: Path) -> None:
    """Writes tensors and lets them go."""
    import tensorflow as tf

    with _told_as_os_error():
        tf.raw_ops.SaveV2(
            prefix=str(prefix),
            tensor_names=list(tensors),
            shape_and_slices=[""] * len(tensors),
            tensors=list(tensors.values()),
        )
    tensors.clear()


def write_objects(objects: Mapping[str, Any], prefix: Path, taken: Collection[int]) -> None:
    """Writes an object-based checkpoint.

    Args:
        objects: Keyword arguments of `tf.train.Checkpoint`.
        prefix: Of its files.
        taken: In how many `.data` files it must not be.

    Raises:
        OSError: The files can't be written.
    """
    import tensorflow as tf

    shards = _files_to_add(0, taken)

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
    with _told_as_os_error():
        tf.train.Checkpoint(**objects, **more).write(str(prefix), options)


def write_lent_objects(
    objects: Mapping[str, Any], lent: Sequence[keras.Variable], prefix: Path, taken: Collection[int]
) -> None:
    """Writes what `write_objects` would if the model had values, which would take much longer.

    Args:
        objects: Keyword arguments of `tf.train.Checkpoint`; all in it is a layer or a variable.
        lent: Those of the variables that have no value but one lent to them.
        prefix: Of its files.
        taken: In how many `.data` files it must not be.

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
    # A `SaveSpec`, which there is of a variable that has a value, has it as `tensor` too.
    named = ((key, getattr(value, "tensor", value)) for key, value in tensors.items())
    write_tensors(named, prefix, taken)


@contextlib.contextmanager
def _stood_in(variables: Sequence[keras.Variable]) -> Iterator[None]:
    try:
        for variable in variables:
            variable._value = _StandIn(variable)
        yield
    finally:
        for variable in variables:
            variable._value = None


class _StandIn:
    """What the writer of object-based checkpoints asks a `tf.Variable` for.

    Args:
        variable: What it stands in for, as the variable's value.
    """

    def __init__(self, variable: keras.Variable) -> None:
        self._shared_name = variable.name
        self._variable = variable

    def _serialize_to_tensors(self) -> dict[str, _StandIn]:
        return {"VARIABLE_VALUE": self}

    @property
    def tensor(self) -> Any:
        """What is lent to the variable, once nothing stands in for it."""
        return self._variable.value


def publish_checkpoint(written: Path, path: Path) -> None:
    """Moves a checkpoint to its place, and removes the older one.

    Args:
        written: Its prefix, on the same file system. In as many `.data` files nothing is at the
            place.
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
    is_plain = array.dtype.kind in "fiu" and array.dtype.isnative and array.dtype.isbuiltin == 1
    if is_plain and array.flags.writeable and array.flags.c_contiguous:
        return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.convert_to_tensor(array)  # What DLPack has no notion of, texts for instance.
