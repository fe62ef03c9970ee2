"""What holds the variables and layers that the decorated methods of a `tf.Module` make."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from .created_paths import CreatedLayers
from .held_parts import Part, parts_of, parts_of_module
from .saved_values import SavedByName, layer_key
from .variable_store import VariableStore


class _HoldsForModule(SavedByName):
    """What the holders of `tf.Module`s and of tf_keras' layers have in common."""

    _track_trackable: Callable[..., Any]
    store: VariableStore
    layers: CreatedLayers
    _of_keras_layers: tuple[tf.Variable, ...]

    def __init__(self) -> None:
        super().__init__(name="tf1_variables")
        # Set past TensorFlow: its modules and checkpoints find the variables by other ways.
        keep = object.__setattr__
        keep(self, "store", VariableStore(self._on_create, self._take_pending_value))
        keep(self, "layers", CreatedLayers())
        keep(self, "_of_keras_layers", ())

    def _on_create(
        self,
        variable: tf.Variable,
        name: str,
        regularizer: Callable | None,
        constraint: Callable | None,
    ) -> None:
        self.variables_by_name[name] = variable
        # By its TF1 name in `tf.train.Checkpoint`; this also restores a value read before.
        self._track_trackable(variable, name=name, overwrite=True)

    def add_layer(self, name: str, layer: Any) -> None:
        """Tracks a layer under its full name, the scope's included."""
        self.layers.add(name, layer)
        self.layers_by_name[name] = layer
        setattr(self, layer_key(name), layer)

    def after_call(self, owner: tf.Module) -> None:
        """Takes up what a call of the owner's method has made beside TF1 variables.

        `tf.Module` does not look into Keras layers, be they made in the call or attributes.
        """
        self.layers.take_names()
        self.layers.warn_of_equal_paths(owner, (name for name, _ in self.store.named_variables()))
        variables = {
            id(variable): (f"{part.place}/{number}", variable.value)
            for part in itertools.chain(parts_of(owner), self.parts())
            if isinstance(part.value, keras.Layer)
            for number, variable in enumerate(part.value.variables)
        }
        self._take_up(dict(variables.values()))

    def _take_up(self, of_keras_layers: dict[str, tf.Variable]) -> None:
        object.__setattr__(self, "_of_keras_layers", tuple(of_keras_layers.values()))

    def parts(self) -> Iterator[Part]:
        """What the decorated methods have made, in creation order, under TF1 names."""
        losses = self.store.regularization_losses
        for name, variable in self.store.named_variables():
            yield Part(name, variable, losses.get(name))
        for name, layer in self.layers.items():
            if isinstance(layer, keras.Layer):
                yield Part(name, layer)
            else:
                yield from parts_of_module(layer, name)


class ModuleHolder(_HoldsForModule, tf.Module):
    """The variables and layers that the decorated methods of one `tf.Module` have made."""

    def __init__(self) -> None:
        super().__init__()
        # `tf.Module` finds variables in attributes.
        object.__setattr__(self, "_in_creation_order", ())

    def _on_create(self, variable: tf.Variable, *args: Any, **kwargs: Any) -> None:
        super()._on_create(variable, *args, **kwargs)
        created = (*self._in_creation_order, variable)
        object.__setattr__(self, "_in_creation_order", created)


def holder_for_tf_keras() -> Any:
    """A holder for a layer of tf_keras: a layer of tf_keras itself, which saves what it holds."""
    return _tf_keras_holder_class()()


@functools.cache
def _tf_keras_holder_class() -> type:
    tf_keras = sys.modules["tf_keras"]

    class TfKerasHolder(_HoldsForModule, tf_keras.layers.Layer):  # type: ignore[name-defined]
        """The variables and layers that the decorated methods of a layer of tf_keras have made."""

        def __init__(self) -> None:
            super().__init__()
            self.built = True

        def _on_create(
            self, variable: tf.Variable, name: str, regularizer: Callable | None, *args: Any
        ) -> None:
            super()._on_create(variable, name, regularizer, *args)
            if regularizer is not None:
                self.add_loss(functools.partial(regularizer, variable))

        def add_layer(self, name: str, layer: Any) -> None:
            super().add_layer(name, layer)
            if isinstance(layer, keras.Layer):
                self.add_loss(lambda: tf.add_n(layer.losses) if layer.losses else None)

        def _take_up(self, of_keras_layers: dict[str, tf.Variable]) -> None:
            super()._take_up(of_keras_layers)
            for name, variable in of_keras_layers.items():
                self.variables_by_name[f"keras {name}"] = variable
                value = self._take_pending_value(f"keras {name}")
                if value is not None:
                    variable.assign(value)

        def _held(self) -> list[tf.Variable]:
            return [*self.store.variables, *self._of_keras_layers]

        @property
        def trainable_weights(self) -> list[tf.Variable]:
            own = [v for v in self._held() if v.trainable] if self.trainable else []
            return self._dedup_weights(own + super().trainable_weights)

        @property
        def non_trainable_weights(self) -> list[tf.Variable]:
            own = [v for v in self._held() if not (self.trainable and v.trainable)]
            return self._dedup_weights(own + super().non_trainable_weights)

    return TfKerasHolder
