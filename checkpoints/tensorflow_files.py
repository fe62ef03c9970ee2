"""TensorFlow's own checkpoints: TF1's, by name, of both versions; TF2's, by object."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from .checkpoint import Checkpoint, TensorSpec, first_line
from .locating import KNOWN_FILES
from .names import tf1_name
from .skeletons import has_value

if TYPE_CHECKING:
    import numpy as np

# Under this name of `save`'s object graph a dict holds every variable by its TF1 name.
NAMED_VARIABLES = "variables"
# Fills a data file that no variable is left for; starts so.
INTERNAL_PREFIX = "_shimzoo/"

# The tensor that tells how the others belong to objects.
OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
# The last bytes of a file in the format of LevelDB's tables.
_TABLE_END = bytes.fromhex("57fb808b247547db")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def open_tensorflow_checkpoint(path: Path) -> Checkpoint:
    """Opens a checkpoint of TF1 (V1 or V2) or TF2; no tensor is read yet.

    Args:
        path: A prefix with an `.index`, or a file of version V1.

    Returns:
        The checkpoint.

    Raises:
        ValueError: It is no checkpoint, or a damaged one.
    """
    import tensorflow as tf

    is_single = _is_single(path)
    if is_single and not _is_table(path):
        raise ValueError(
            f"{path} is not a checkpoint, or a damaged one: it does not end as TensorFlow's files "
            f"do. Known are {KNOWN_FILES}."
        )
    # TensorFlow's reader translates some of its errors into Python's.
    reader_errors = (tf.errors.OpError, RuntimeError, ValueError, IndexError, MemoryError)
    try:
        reader = tf.train.load_checkpoint(str(path))
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except reader_errors as error:
        raise ValueError(
            f"{path} is not a checkpoint, or a damaged one: {first_line(error)} Known are "
            f"{KNOWN_FILES}."
        ) from error
    specs = {name: TensorSpec(tuple(shapes[name]), dtypes[name].name) for name in shapes}
    _check_sizes(path, [path] if is_single else _data_files(path), specs)

    def get_tensor(key: str) -> np.ndarray:
        try:
            return reader.get_tensor(key)
        except reader_errors as error:
            raise ValueError(
                f"{path} is damaged: {key} can't be read. {first_line(error)}"
            ) from error

    if OBJECT_GRAPH_KEY not in specs:
        return _checkpoint(path, "tf1", {name: name for name in specs}, specs, get_tensor)
    graph = _object_graph(path, get_tensor(OBJECT_GRAPH_KEY))
    if named := _named_keys(graph):
        return _checkpoint(path, "tf2", named, specs, get_tensor)
    places = {key.removesuffix(_VALUE): key for key in specs if key.endswith(_VALUE)}

    def named_by(model: keras.Model) -> Checkpoint:
        keys = _keys_by_model(path, graph, places, model)
        return _checkpoint(path, "tf2", keys, specs, get_tensor)

    nameless = _checkpoint(path, "tf2", places, specs, get_tensor)
    return dataclasses.replace(nameless, named_by=named_by)


def _is_single(path: Path) -> bool:
    """Whether it is a file of version V1; TensorFlow takes one of V2 that is there as well."""
    return path.is_file() and not path.with_name(f"{path.name}.index").is_file()


def _is_table(path: Path) -> bool:
    """Whether a file ends as checkpoints of version V1 do, which TensorFlow else warns of."""
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - len(_TABLE_END)))
        return file.read() == _TABLE_END


def _checkpoint(
    path: Path,
    file_format: str,
    keys: Mapping[str, str],
    specs: Mapping[str, TensorSpec],
    get_tensor: Callable[[str], np.ndarray],
) -> Checkpoint:
    """A checkpoint of the tensors that `keys` has, under its names for them."""
    named = {name: specs[key] for name, key in keys.items() if not name.startswith(INTERNAL_PREFIX)}
    return Checkpoint(path, file_format, named, lambda name: get_tensor(keys[name]))


def _check_sizes(path: Path, files: Sequence[Path], specs: Mapping[str, TensorSpec]) -> None:
    """Refuses shapes that the files are too small for, before memory is asked for them."""
    import tensorflow as tf

    stored = sum(file.stat().st_size for file in files)
    for name, spec in specs.items():
        dtype = tf.as_dtype(spec.dtype)
        # Of V1's other numbers each takes as many bytes as it needs.
        if dtype.is_floating and spec.elements * dtype.size > stored:
            raise ValueError(
                f"{path} is damaged: {name} would be {spec}, {spec.elements * dtype.size:,} bytes, "
                f"and its data files have {stored:,}."
            )


def _data_files(prefix: Path) -> list[Path]:
    pattern = re.compile(rf"{re.escape(prefix.name)}\.data-\d{{5}}-of-(\d{{5}})")
    found = {
        file.name: int(match[1])
        for file in prefix.parent.iterdir()
        if (match := pattern.fullmatch(file.name))
    }
    if not found:
        raise ValueError(f"{prefix} is damaged: No such file: {prefix}.data-00000-of-00001.")
    # Of an older checkpoint of that name there may be data files too, in another number.
    if not any(list(found.values()).count(count) == count for count in found.values()):
        count = max(found.values())
        names = (f"{prefix.name}.data-{i:05}-of-{count:05}" for i in range(count))
        missing = next(name for name in names if name not in found)
        raise ValueError(f"{prefix} is damaged: No such file: {prefix.with_name(missing)}.")
    return [prefix.with_name(name) for name in found]


def _object_graph(path: Path, serialized: Any) -> Any:
    from google.protobuf import message
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        graph.ParseFromString(serialized)
    except (message.DecodeError, TypeError) as error:
        raise ValueError(f"{path} is damaged: its object graph can't be read.") from error
    if not graph.nodes:
        raise ValueError(f"{path} is damaged: its object graph is empty.")
    return graph


def _named_keys(graph: Any) -> dict[str, str]:
    """TF1 name -> key in the file, from the dict that `save` puts into the object graph."""
    for child in graph.nodes[0].children:
        variables = graph.nodes[child.node_id].children
        if child.local_name == NAMED_VARIABLES and all(
            graph.nodes[variable.node_id].attributes for variable in variables
        ):
            return {
                variable.local_name: graph.nodes[variable.node_id].attributes[0].checkpoint_key
                for variable in variables
            }
    return {}


def _keys_by_model(
    path: Path, graph: Any, places: Mapping[str, str], model: keras.Model
) -> dict[str, str]:
    """Gives names to the tensors of a `tf.train.Checkpoint`, from a model of the make it was of.

    Args:
        path: The checkpoint's prefix.
        graph: Its object graph.
        places: Where in the graph a value is -> its key in the file.
        model: A built model; it may have been the checkpoint's root or any object at it.

    Returns:
        TF1 name -> key in the file for what the model has a place for, place -> key for the rest;
        optimizers, counters and metrics apart.
    """
    import tensorflow as tf

    view = tf.train.CheckpointView(str(path))
    variables = {id(part): v for v in model.weights for part in _objects_of(v)}
    roots: list[tuple[str, Any]] = [("", model)]
    roots += [
        (f"{name}/", tf.train.Checkpoint(**{name: model}))
        for name in view.children(0)
        if name.isidentifier() and name not in ("root", "save_counter")
    ]
    matches = [(scope, _matches(view, graph, root)) for scope, root in roots]
    scope, best = max(matches, key=lambda match: sum(id(p) in variables for p in match[1].values()))
    # What the model has there and does not count among its weights are random states.
    keys = {
        tf1_name(variables[id(part)]): places[place]
        for place, part in best.items()
        if id(part) in variables
    }
    for place in places.keys() - best.keys():
        if place.startswith(scope) and not _is_beside_the_model(place.removeprefix(scope)):
            keys[_tf1_name_at(place) or place] = places[place]
    return keys


def _objects_of(variable: keras.Variable) -> list[Any]:
    """What a variable can be in the object graph: itself, and the one in it if it has a value."""
    return [variable, variable.value] if has_value(variable) else [variable]


def _tf1_name_at(place: str) -> str | None:
    """The TF1 name that the variables of decorated methods have as children, slashes escaped."""
    last = place.rpartition("/")[2]
    return last.replace(".S", "/").replace("..", ".") if ".S" in last else None


def _matches(view: Any, graph: Any, root: Any) -> dict[str, Any]:
    """Place in the graph -> the object below a root that has this place."""
    return {
        graph.nodes[node].attributes[0].checkpoint_key.removesuffix(_VALUE): trackable
        for node, trackable in view.match(root).items()
        if graph.nodes[node].attributes
    }


def _is_beside_the_model(place: str) -> bool:
    first = place.partition("/")[0]
    return first in ("optimizer", "_metrics", "save_counter", "seed_generator", "_seed_generators")
