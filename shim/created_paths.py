"""The layers made inside decorated methods, and the paths of their variables."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import keras

from .user_code import users_frame, warn_at

_warned_of: weakref.WeakSet[type] = weakref.WeakSet()


class CreatedLayers(dict[str, Any]):
    """Layers made inside decorated methods, by full name: the variable scope's and their own."""

    def __init__(self) -> None:
        super().__init__()
        self._unnamed: dict[str, keras.Layer] = {}

    def add(self, name: str, layer: Any) -> None:
        self[name] = layer
        if isinstance(layer, keras.Layer):
            self._unnamed[name] = layer

    def take_names(self) -> None:
        """Gives the variables of layers built meanwhile paths that begin with the full name.

        Keras makes a path of the layers that the first call was nested in; TF1 of its scopes.
        """
        for name, layer in list(self._unnamed.items()):
            if not layer.built:
                continue
            del self._unnamed[name]
            for variable in layer.variables:
                # Keras leaves a leading "/" in paths made outside of all name scopes.
                path = "/" + variable.path.lstrip("/")
                variable._path = f"{name}/{path.rpartition(f'/{layer.name}/')[2].lstrip('/')}"

    def warn_of_equal_paths(self, owner: Any, names: Iterable[str]) -> None:
        """Warns, once a class, where TF1 code has made a variable with a path of a layer's.

        Args:
            owner: the object whose layers these are.
            names: the names of its TF1 variables.
        """
        if not self or type(owner) in _warned_of:
            return
        names = set(names)
        for layer_name, layer in self.items():
            if not isinstance(layer, keras.Layer) or layer_name in self._unnamed:
                continue
            path = next((v.path for v in layer.variables if v.path in names), None)
            if path is None:
                continue
            _warned_of.add(type(owner))
            name = layer_name.rpartition("/")[2]
            warn_at(
                users_frame(),
                f"{type(owner).__name__} has two weights called {path}, one of the layer of "
                f"get_or_create_layer({name!r}, ...) and one of TF1 code, and checkpoints know "
                "weights by name. Where that layer has taken the place of a TF1 layer without a "
                f"name, put record_scope({name!r}) beside it; else give one of them another name.",
            )
            return
