"""Files of Keras, `.weights.h5` and `.keras`: read by place, and named by a model."""

import collections
import contextlib
import dataclasses
import functools
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.saving import saving_lib

from .checkpoint import Checkpoint, TensorSpec, first_line
from .file_parts import FilePart
from .fitting import spec_of
from .hdf5_files import StoredTensors
from .keras_archives import weights_in
from .locating import KERAS_SUFFIXES
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
    OverflowError,
    zipfile.BadZipFile,
    zlib.error,
)
# The place of a variable of a native layer amid TF1 code, whose scope has bars for slashes.
_OF_NATIVE_LAYER = re.compile(r".*/layer:(?P<scope>[^/]+)/vars/\d+")


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
    is_archive = _format_of(path) == "keras"
    with contextlib.ExitStack() as stack:
        with _damage_named(path):
            if is_archive:
                content, check = stack.enter_context(weights_in(path))
                weights = stack.enter_context(h5py.File(content))
            else:
                weights, check = stack.enter_context(h5py.File(path)), None
                content = FilePart(weights.id.get_vfd_handle())
            tensors = StoredTensors(weights, content)
            config = _config_in(path) if is_archive else {}
        opened = Checkpoint(path, _format_of(path), tensors.specs, _unreadable, config=config)
        named_by = functools.partial(_named_by, opened, tensors.read, check)
        yield dataclasses.replace(opened, named_by=named_by)


def _config_in(path: Path) -> dict[str, Any]:
    """How the model in a `.keras` file was made, as far as it is told."""
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json")).get("config", {})
    return config if isinstance(config, dict) else {}


def _unreadable(name: str) -> np.ndarray:
    raise KeyError(f"{name}: tensors of a Keras file are read once a model has named them.")


def _named_by(
    opened: Checkpoint,
    read: Callable[[str], np.ndarray],
    check: Callable[[], None] | None,
    model: keras.Model,
) -> Checkpoint:
    """Names the weights as if to load them into a model.

    Keras stores weights by their place in the model, so only a model of the same make can tell
    what is what. Keras' own loading is run on `model`, with layers that note what they are offered
    and keep their weights.

    Args:
        opened: The checkpoint without names.
        read: Gives the value at a place.
        check: Raises an error if that was damaged in its archive.
        model: A built model; its variables need no values.

    Returns:
        The weights by TF1 name; those that the model has no place for by their places in the file.
    """
    places: dict[str, str] = {}

    def note(layer: keras.Layer, store: _Offer) -> None:
        wanted: dict[str, Any] = {}
        layer.save_own_variables(wanted)
        for key, place in store.places.items():
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
        saving_lib._load_state(model, _Offer(opened.specs), None, "", visited_saveables=set())
        if check is not None:
            check()
    left = {place: opened.specs[place] for place in sorted(opened.specs.keys() - noted)}
    of_layers = _named_by_shape(left, model)
    places |= of_layers
    places |= {place: place for place in left if place not in of_layers.values()}

    def read_named(name: str) -> np.ndarray:
        with _damage_named(opened.path):
            return read(places[name])

    specs = {name: opened.specs[place] for name, place in places.items()}
    return Checkpoint(opened.path, opened.format, specs, read_named)


class _Offer(saving_lib.H5IOStore):
    """Offers each layer what is at its place in a file, by its key there.

    Keras' own store looks into the file again and again, which takes three times as long.

    Args:
        places: All places of tensors in the file.
    """

    def __init__(self, places: Iterable[str]) -> None:
        self.places: dict[str, str] = {}
        self._groups = collections.defaultdict[str, dict[str, str]](dict)
        for place in places:
            group, _, key = place.rpartition("/vars/")
            self._groups[group.removeprefix("/")][key] = place

    def __bool__(self) -> bool:
        return True

    def get(self, path: str) -> "_Offer":
        """This, with what there is for a layer in `places`."""
        before_2_14 = path.replace("layers", "_layer_checkpoint_dependencies")
        self.places = self._groups.get(path) or self._groups.get(before_2_14) or {}
        return self

    def has_path(self, path: str) -> bool:
        """Says that a list or dict of layers is there: what layers it has will tell themselves."""
        return True


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
