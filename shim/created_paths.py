"""The layers made inside decorated methods, and the paths of their variables."""

from __future__ import annotations

from typing import Any

import keras


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
