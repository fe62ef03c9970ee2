"""Finding a checkpoint on disk and reading it, whatever its format, as tensors with TF1 names."""

import contextlib
import dataclasses
import difflib
import functools
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from .names import tf1_name

OBJECT_GRAPH_KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
# Under this name of `save`'s object graph a dict holds every variable by its TF1 name.
NAMED_VARIABLES = "variables"
# Fills a data file that no variable is left for; starts so.
INTERNAL_PREFIX = "_shimzoo/"

_BUNDLE_FILE = re.compile(r"(.+)\.(index|meta|data-\d{5}-of-\d{5})")
_KERAS_SUFFIXES = (".weights.h5", ".keras")
_KNOWN_FILES = "a TF1 or TF2 checkpoint (.index and .data files), .weights.h5 or .keras"


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of a tensor, as numbers and name."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds; tensors are read one by one.

    Args:
        path: The file, or the prefix of the `.index` and `.data` files.
        format: `"tf1"`, `"tf2"`, `"h5"` or `"keras"`.
        specs: Tensors by TF1 name.
        read: Gives the value of a tensor by its TF1 name.
    """

    path: Path
    format: str
    specs: dict[str, TensorSpec]
    read: Callable[[str], np.ndarray]


def locate(path: str | Path) -> Path:
    """The newest checkpoint that a path stands for.

    Args:
        path: A checkpoint's prefix or one of its files, a `.weights.h5` or `.keras` file, a
            `checkpoint` state file, or a directory with any of these.

    Returns:
        A file that exists, or a prefix whose `.index` exists.

    Raises:
        FileNotFoundError: There is no such file, or no checkpoint in the directory.
    """
    path = Path(path)
    if path.is_dir():
        return _newest_in(path)
    if path.name == "checkpoint" and path.is_file():
        return _latest_of_state_file(path)
    if path.is_file() and not _BUNDLE_FILE.fullmatch(path.name):
        return path
    prefix = path
    if match := _BUNDLE_FILE.fullmatch(path.name):
        prefix = path.with_name(match[1])
    if _index_of(prefix).is_file():
        return prefix
    raise FileNotFoundError(f"There is no checkpoint {path}.{_near_files(prefix)}")


def _index_of(prefix: Path) -> Path:
    return prefix.with_name(prefix.name + ".index")


def _newest_in(directory: Path) -> Path:
    state_file = directory / "checkpoint"
    if state_file.is_file():
        return _latest_of_state_file(state_file)
    found = [
        file for file in directory.iterdir() if file.name.endswith((".index", *_KERAS_SUFFIXES))
    ]
    if not found:
        raise FileNotFoundError(
            f"There is no checkpoint in {directory}: it holds no {_KNOWN_FILES}."
        )
    newest = max(found, key=lambda file: (file.stat().st_mtime_ns, file.name))
    return newest.with_name(newest.name.removesuffix(".index"))


def _latest_of_state_file(state_file: Path) -> Path:
    import tensorflow as tf

    state = tf.train.get_checkpoint_state(str(state_file.parent))
    if state is None or not state.model_checkpoint_path:
        raise ValueError(f"{state_file} is not a checkpoint state file: it names no checkpoint.")
    prefix = Path(state.model_checkpoint_path)
    if not prefix.is_absolute():
        prefix = state_file.parent / prefix
    if not _index_of(prefix).is_file() and not prefix.is_file():
        raise FileNotFoundError(f"{state_file} names {prefix}, which is not there.")
    return prefix


def _near_files(prefix: Path) -> str:
    if not prefix.parent.is_dir():
        return f" There is no directory {prefix.parent} either."
    names = {
        match[1] if (match := _BUNDLE_FILE.fullmatch(file.name)) else file.name
        for file in prefix.parent.iterdir()
    }
    near = difflib.get_close_matches(prefix.name, sorted(names), n=3)
    return f" Near are {', '.join(near)}." if near else ""


def open_checkpoint(path: Path) -> Checkpoint:
    """Opens a TF1 or TF2 checkpoint; no tensor is read yet.

    Args:
        path: As `locate` gives it, but no Keras file.

    Raises:
        ValueError: It is no checkpoint, or one without names.
    """
    import tensorflow as tf

    # TensorFlow's reader translates some of its errors into Python's.
    reader_errors = (tf.errors.OpError, RuntimeError, ValueError, IndexError)
    try:
        reader = tf.train.load_checkpoint(str(path))
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except reader_errors as error:
        raise ValueError(
            f"{path} is not a checkpoint, or a damaged one: {_first_line(error)} Known are "
            f"{_KNOWN_FILES}."
        ) from error

    def get_tensor(key: str) -> Any:
        try:
            return reader.get_tensor(key)
        except reader_errors as error:
            raise ValueError(
                f"{path} is damaged: {key} can't be read. {_first_line(error)}"
            ) from error

    if OBJECT_GRAPH_KEY in shapes:
        file_format, keys = "tf2", _keys_of_object_graph(path, get_tensor(OBJECT_GRAPH_KEY))
    else:
        file_format, keys = "tf1", {name: name for name in shapes}
    specs = {
        name: TensorSpec(tuple(shapes[key]), dtypes[key].name)
        for name, key in keys.items()
        if not name.startswith(INTERNAL_PREFIX)
    }
    return Checkpoint(path, file_format, specs, lambda name: get_tensor(keys[name]))


def _keys_of_object_graph(path: Path, serialized: bytes) -> dict[str, str]:
    """TF1 name -> key in the file, from the dict that `save` puts into the object graph."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(serialized)
    for child in graph.nodes[0].children:
        variables = graph.nodes[child.node_id].children
        if child.local_name == NAMED_VARIABLES and all(
            graph.nodes[variable.node_id].attributes for variable in variables
        ):
            return {
                variable.local_name: graph.nodes[variable.node_id].attributes[0].checkpoint_key
                for variable in variables
            }
    raise ValueError(
        f"{path} is a tf.train.Checkpoint without TF1 names, which only the model that wrote it "
        "can read: restore it there with tf.train.Checkpoint, and save it with checkpoints.save."
    )


def _first_line(error: Exception) -> str:
    line = (getattr(error, "message", None) or str(error)).strip().split("\n")[0]
    return line if line.endswith(".") else line + "."


def is_keras_file(path: Path) -> bool:
    """Whether Keras wrote it, to be judged by its name."""
    return path.name.endswith(_KERAS_SUFFIXES)


def open_keras_file(path: Path, model: keras.Model) -> Checkpoint:
    """Reads a `.weights.h5` or `.keras` file as if to load it into a model.

    Keras stores weights by their place in the model, so only a model of the same make can tell
    what is what. Keras' own loading is run on `model`, with layers that note what they are offered
    and keep their weights.

    Args:
        path: The file.
        model: A built model.

    Returns:
        The weights by TF1 name; those that the model has no place for by the layers' names.

    Raises:
        ValueError: The file is damaged or none of Keras'.
    """
    values: dict[str, np.ndarray] = {}
    noted: set[str] = set()

    def note(layer: keras.Layer, store: Any) -> None:
        wanted: dict[str, Any] = {}
        layer.save_own_variables(wanted)
        for key in wanted.keys() & set(store.keys()):
            noted.add(f"{store._h5_entry_group.name}/{key}")
            if isinstance(wanted[key], keras.Variable):  # Else a remark of the layer's own.
                values[tf1_name(wanted[key])] = store[key]

    try:
        with _loading_replaced(model, note):
            model.load_weights(path)
        stored = _stored_tensors(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"{path} is not a weights file of Keras, or a damaged one: {_first_line(error)}"
        ) from error
    specs = {name: TensorSpec(value.shape, value.dtype.name) for name, value in values.items()}
    specs |= dict(stored[place] for place in sorted(stored.keys() - noted))
    file_format = "keras" if path.suffix == ".keras" else "h5"
    return Checkpoint(path, file_format, specs, values.__getitem__)


@contextlib.contextmanager
def _loading_replaced(model: keras.Model, note: Callable[[keras.Layer, Any], None]) -> Iterator:
    """Lets `note(layer, store)` be called in place of `layer.load_own_variables(store)`."""
    replaced: dict[Any, Callable] = {
        layer: functools.partial(note, layer) for layer in model._flatten_layers()
    }
    if getattr(model, "optimizer", None) is not None:
        replaced[model.optimizer] = lambda store: None
    try:
        for owner, replacement in replaced.items():
            vars(owner)["load_own_variables"] = replacement
        yield
    finally:
        for owner in replaced:
            del vars(owner)["load_own_variables"]


def _stored_tensors(path: Path) -> dict[str, tuple[str, TensorSpec]]:
    """The model's tensors in a Keras file: place in the file -> layers' names and key, and spec."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            file: Any = io.BytesIO(archive.read("model.weights.h5"))
    else:
        file = path
    tensors = {}
    with h5py.File(file) as weights:

        def visit(group: h5py.Group, names: tuple[str, ...]) -> None:
            if "vars" in group:
                own = group["vars"]
                if "name" in own.attrs:
                    names = (*names, own.attrs["name"])
                for key, value in own.items():
                    if value.size:  # Else it is no variable, but a remark.
                        name = "/".join((*names, key))
                        tensors[value.name] = (name, TensorSpec(value.shape, value.dtype.name))
            for key, child in group.items():
                if isinstance(child, h5py.Group) and key not in ("vars", "optimizer"):
                    visit(child, names)

        visit(weights, ())
    return tensors
