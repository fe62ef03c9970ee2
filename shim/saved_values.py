"""How Keras' files hold what decorated methods have made: by TF1 name."""

from __future__ import annotations

import inspect
import warnings
import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

_LAYER = "layer:"
# Why a file's values did not fit: file -> holder's identity -> the error.
_failures: weakref.WeakKeyDictionary[Any, dict[int, ValueError]] = weakref.WeakKeyDictionary()


class SavedByName:
    """The part of a holder that Keras, of either generation, asks to save and load.

    Values may come before their variables: of a decorated method that has not been called yet. They
    wait until it asks for them.
    """

    variables_by_name: dict[str, Any]
    layers_by_name: dict[str, Any]
    called: set[str]
    owner_class: type
    _pending_values: dict[str, np.ndarray]
    _unmade_layers: set[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Past Keras and TensorFlow, which would track what is in them a second time.
        keep = object.__setattr__
        keep(self, "variables_by_name", {})
        keep(self, "layers_by_name", {})
        # The names of the methods that have been called, and the class that has them.
        keep(self, "called", set())
        keep(self, "owner_class", object)
        keep(self, "_pending_values", {})
        keep(self, "_unmade_layers", set())

    def save_own_variables(self, store: Any) -> None:
        for name, value in self._pending_values.items():
            store[_saved_key(name)] = value
        for name, variable in self.variables_by_name.items():
            is_of_keras = isinstance(variable, keras.Variable)
            store[_saved_key(name)] = variable if is_of_keras else variable.numpy()
        for name in self.layers_by_name:  # Keras saves them beside; this says that they are there.
            store[layer_key(name)] = np.zeros([0], "uint8")

    def load_own_variables(self, store: Any) -> None:
        keys = list(store.keys())
        if not keys and (failure := _failure_of(store).get(id(self))):
            raise failure  # Keras comes once more, by a way that brings nothing.
        try:
            self._load(store, keys)
        except ValueError as error:
            if keys:
                _failure_of(store)[id(self)] = error
            raise

    def _load(self, store: Any, keys: list[str]) -> None:
        layer_keys = {key for key in keys if key.startswith(_LAYER)}
        if keys:  # Keras comes by several ways; by all but one it brings nothing.
            self._unmade_layers.clear()
            self._unmade_layers.update(map(_name_of_saved_key, layer_keys))
        self._unmade_layers.difference_update(self.layers_by_name)
        if self._unmade_layers:
            raise ValueError(
                "The weights file holds Keras layers that this object makes in its first call: "
                f"{', '.join(sorted(self._unmade_layers))}. Call it once, then load."
            )
        saved = {_name_of_saved_key(key): key for key in keys if key not in layer_keys}
        missing = [name for name in self.variables_by_name if name not in saved]
        if missing:
            raise ValueError(
                f"The weights file does not fit this layer: {len(missing)} of its variables are "
                f"not in the file ({', '.join(missing[:3])}). Load it into the model that saved it."
            )
        self._check_left_over([name for name in saved if name not in self.variables_by_name])
        values = {name: np.array(store[key]) for name, key in saved.items()}
        self._check_shapes(values)
        for name, value in values.items():
            if name in self.variables_by_name:
                self.variables_by_name[name].assign(value)
            else:
                self._pending_values[name] = value

    def _check_shapes(self, values: dict[str, np.ndarray]) -> None:
        shapes = {name: tuple(each.shape) for name, each in self.variables_by_name.items()}
        others = [
            f"{name} has shape {shape}, in the file {values[name].shape}"
            for name, shape in shapes.items()
            if not tf.TensorShape(shape).is_compatible_with(values[name].shape)
        ]
        if others:
            raise ValueError(
                f"The weights file does not fit this {self.owner_class.__name__}: "
                f"{len(others)} of its variables differ ({'; '.join(others[:3])}). Load it into a "
                "model made and called as the one that saved it."
            )

    def _check_left_over(self, names: list[str]) -> None:
        """Judges values for which there are no variables: some code may still ask for them.

        Raises:
            ValueError: all decorated methods have been called, and none takes `training`, by which
                TF1 code has more variables in training.
        """
        methods = decorated_methods(self.owner_class)
        if not names or not self.called.issuperset(methods):
            return
        message = (
            f"The weights file does not fit this {self.owner_class.__name__}: {len(names)} "
            f"variables in it ({', '.join(names[:3])}) are none of its own"
        )
        if not any(methods.values()):
            raise ValueError(f"{message}. Load it into the model that saved it.")
        warnings.warn(f"{message}, unless it makes them in training.", stacklevel=2)

    def _take_pending_value(self, name: str) -> np.ndarray | None:
        return self._pending_values.pop(name, None)


def _failure_of(store: Any) -> dict[int, ValueError]:
    try:
        return _failures.setdefault(store, {})
    except TypeError:  # A dictionary: the format of that file brings a new one every time.
        return {}


def decorated_methods(owner_class: type) -> dict[str, bool]:
    """The decorated methods of a class: their full names, and whether they take `training`."""
    found = {}
    for attribute in dir(owner_class):
        method = inspect.getattr_static(owner_class, attribute)
        takes_training = getattr(method, "takes_training", None)
        if takes_training is not None:
            found[method.__qualname__] = takes_training
    return found


def layer_key(name: str) -> str:
    """What a layer is saved under that has the full name, the scope's included."""
    return _LAYER + _saved_key(name)


def _saved_key(name: str) -> str:
    # HDF5 reads "/" as a path; "|" cannot be in a TF1 scope name.
    return name.replace("/", "|")


def _name_of_saved_key(key: str) -> str:
    return key.removeprefix(_LAYER).replace("|", "/")
