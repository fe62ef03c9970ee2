"""Files of Keras, `.weights.h5` and `.keras`: read by place, and named by a model."""

import collections
import contextlib
import dataclasses
import functools
import json
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import ml_dtypes
import numpy as np
from keras.src.backend.common import global_state
from keras.src.saving import saving_lib

from .checkpoint import Checkpoint, TensorSpec, first_line
from .fitting import spec_of
from .locating import KERAS_SUFFIXES, WEIGHTS_SUFFIX
from .names import tf1_name

# What h5py, zipfile and Keras raise over damaged files.
_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
# The place of a variable of a native layer amid TF1 code, whose scope has bars for slashes.
_OF_NATIVE_LAYER = re.compile(r".*/layer:(?P<scope>[^/]+)/vars/\d+")
# What deflate makes of zeros at best.
_MOST_GROWTH = 1100


def is_keras_file(path: Path) -> bool:
    """Whether Keras wrote it, to be judged by its name."""
    return path.name.endswith(KERAS_SUFFIXES)


def remember_what_keras_skips() -> None:
    """Spares Keras to find out for each layer anew which attributes it saves and loads none of.

    It keeps the answer under one name and looks for it under another (3.15), which takes
    a third of the time that it needs for a file of a large model.
    """
    name = "saving_attr_skiplist_Layer"
    if global_state.get_global_attribute(name) is None:
        global_state.set_global_attribute(name, saving_lib.get_attr_skipset("Layer"))


@contextlib.contextmanager
def open_keras_file(path: Path) -> Iterator[Checkpoint]:
    """Opens a `.weights.h5` or `.keras` file.

    Args:
        path: The file.

    Raises:
        ValueError: It is no weights file of Keras, or a damaged one.
    """
    with contextlib.ExitStack() as stack:
        with _damage_named(path):
            file = stack.enter_context(_weights_file(path))
            weights = stack.enter_context(h5py.File(file))
            stored = _stored_tensors(weights)
            config = _config_in(path)
        opened = Checkpoint(path, _format_of(path), stored, _unreadable, config=config)
        yield dataclasses.replace(
            opened, named_by=functools.partial(_named_by, opened, file, weights)
        )


def _config_in(path: Path) -> dict[str, Any]:
    """How the model in a `.keras` file was made, as far as it is told."""
    if path.suffix != ".keras":
        return {}
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json")).get("config", {})
    return config if isinstance(config, dict) else {}


def _unreadable(name: str) -> np.ndarray:
    raise KeyError(f"{name}: tensors of a Keras file are read once a model has named them.")


@contextlib.contextmanager
def _weights_file(path: Path) -> Iterator[Path]:
    """The `.weights.h5` file that a file of Keras is or, as long as the context lasts, contains."""
    if path.suffix != ".keras":
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="shimzoo-") as folder:
        unpacked = Path(folder, path.stem + WEIGHTS_SUFFIX)
        # By h5py, which jumps to and fro, an archive's member would be read over and over again.
        with (
            zipfile.ZipFile(path) as archive,
            archive.open("model.weights.h5") as packed,
            open(unpacked, "wb") as file,
        ):
            shutil.copyfileobj(packed, file, 1 << 20)
        yield unpacked


def _named_by(opened: Checkpoint, file: Path, weights: h5py.File, model: keras.Model) -> Checkpoint:
    """Names the weights as if to load them into a model.

    Keras stores weights by their place in the model, so only a model of the same make can tell
    what is what. Keras' own loading is run on `model`, with layers that note what they are offered
    and keep their weights.

    Args:
        opened: The checkpoint without names.
        file: The `.weights.h5` file.
        weights: The same, opened.
        model: A built model; its variables need no values.

    Returns:
        The weights by TF1 name; those that the model has no place for by their places in the file.
    """
    places: dict[str, str] = {}

    def note(layer: keras.Layer, store: Any) -> None:
        wanted: dict[str, Any] = {}
        layer.save_own_variables(wanted)
        for key in store.keys():  # noqa: SIM118  (A store of Keras' is no dictionary.)
            place = f"{store._h5_entry_group.name}/{key}"
            if key not in wanted:
                name = _tf1_name_in(key)  # Of TF1 code that has a native layer in the model.
            else:  # Else it is a remark of the layer's own.
                is_variable = isinstance(wanted[key], keras.Variable)
                name = tf1_name(wanted[key]) if is_variable else None
                noted.add(place)
            if name:
                noted.add(place)
                places[name] = place

    noted: set[str] = set()
    remember_what_keras_skips()
    with _damage_named(opened.path), _loading_replaced(model, note):
        model.load_weights(file)
    left = {place: opened.specs[place] for place in sorted(opened.specs.keys() - noted)}
    of_layers = _named_by_shape(left, model)
    places |= of_layers
    places |= {place: place for place in left if place not in of_layers.values()}

    def read(name: str) -> np.ndarray:
        with _damage_named(opened.path):
            return _value(weights[places[name]])

    specs = {name: opened.specs[place] for name, place in places.items()}
    return Checkpoint(opened.path, opened.format, specs, read)


def _value(stored: h5py.Dataset) -> np.ndarray:
    value = stored[()]
    return value.view(_dtype_of(stored)) if value.dtype.kind == "V" else value


def _dtype_of(stored: h5py.Dataset) -> np.dtype:
    """A tensor's dtype; HDF5 has no bfloat16, and Keras says in a remark where it is meant."""
    if stored.dtype == np.dtype("V2") and stored.attrs.get("dtype") == "bfloat16":
        return np.dtype(ml_dtypes.bfloat16)
    return stored.dtype


def _named_by_shape(left: Mapping[str, TensorSpec], model: keras.Model) -> dict[str, str]:
    """Where the variables are that TF1 code makes in the model, and a native layer did in the file.

    The file has the layer's scope, and numbers for its variables; their shapes tell which is which.
    A layer with two of the same shape is left alone: nothing says which one comes first.
    """
    places: dict[str, dict[str, TensorSpec]] = collections.defaultdict(dict)
    for place, spec in left.items():
        if match := _OF_NATIVE_LAYER.fullmatch(place):
            places[match["scope"].replace("|", "/")][place] = spec
    named: dict[str, str] = {}
    for scope, specs in places.items():
        own = {tf1_name(v): spec_of(v) for v in model.weights if v.path.rpartition("/")[0] == scope}
        by_shape = {spec: name for name, spec in own.items()}
        if len(by_shape) == len(own) and sorted(map(str, by_shape)) == sorted(
            map(str, specs.values())
        ):
            named |= {by_shape[spec]: place for place, spec in specs.items()}
    return named


def _tf1_name_in(key: str) -> str | None:
    """The TF1 name that the variables of decorated methods are stored under, slashes as bars."""
    return key.replace("|", "/") if "|" in key and ":" not in key else None


def _format_of(path: Path) -> str:
    return "keras" if path.suffix == ".keras" else "h5"


@contextlib.contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        raise ValueError(
            f"{path} is not a weights file of Keras, or a damaged one: {first_line(error)}"
        ) from error


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


def _stored_tensors(weights: h5py.File) -> dict[str, TensorSpec]:
    """The model's tensors in a `.weights.h5` file, by their places in it.

    The names of layers, which Keras leaves in attributes, are not read: HDF5 may search for a text
    in a damaged file for ever.
    """
    tensors = {}
    seen = set[int]()

    def visit(group: h5py.Group) -> None:
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:  # In a damaged file a group can be in itself.
            return
        seen.add(address)
        for value in group["vars"].values() if "vars" in group else ():
            if value.size:  # Else it is no variable, but a remark.
                if not isinstance(value.name, str):  # h5py's answer to what is no UTF-8.
                    raise ValueError(f"{value.name!r} is no name.")
                _check_inside(weights, value)
                tensors[value.name] = TensorSpec(value.shape, _dtype_of(value).name)
        for key, child in group.items():
            if isinstance(child, h5py.Group) and key not in ("vars", "optimizer"):
                visit(child)

    visit(weights)
    return tensors


def _check_inside(weights: h5py.File, value: h5py.Dataset) -> None:
    """Refuses values of other files, and shapes that the file is too small for."""
    if value.file != weights or value.external or value.is_virtual:
        raise ValueError(f"{value.name} lies in another file.")
    is_packed = value.chunks is not None and value.id.get_create_plist().get_nfilters() > 0
    size = Path(weights.filename).stat().st_size
    if value.nbytes > size * (_MOST_GROWTH if is_packed else 1):
        raise ValueError(
            f"{value.name} would be {value.dtype.name}{list(value.shape)}, {value.nbytes:,} bytes, "
            f"and the file has {size:,}."
        )
