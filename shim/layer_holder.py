"""What holds the variables and layers that the decorated methods of a Keras layer make."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from .autocast_variable import without_autocast
from .created_paths import CreatedLayers
from .held_parts import Part, parts_of, parts_of_module
from .saved_values import SavedByName, layer_key
from .tracked_variable import TrackedVariable, outside_of_keras_scopes
from .variable_store import VariableStore


@contextlib.contextmanager
def _unlocked(layer: keras.Layer) -> Iterator[None]:
    # Keras forbids new state on a built layer; TF1 code makes its state in the first forward pass.
    was_locked = layer._tracker.locked
    layer._tracker.unlock()
    try:
        yield
    finally:
        if was_locked:
            layer._lock_state()


class LayerHolder(SavedByName, keras.Layer):
    """The variables and layers that the decorated methods of one Keras layer have made.

    A sub-layer of that layer, so that Keras finds them for training, losses and saving.
    """

    def __init__(self) -> None:
        super().__init__(name="tf1_variables", dtype="float32")
        self.store = VariableStore(self._on_create, self._take_pending_value, self._on_trainable)
        # Set past Keras, which would track what is in them a second time.
        object.__setattr__(self, "_made", [])
        object.__setattr__(self, "layers", CreatedLayers())
        # The losses of variables that Keras asks for none, for they are not trained.
        object.__setattr__(self, "_other_losses", [])
        self._dropout_seeds: keras.random.SeedGenerator | None = None
        self.built = True

    def _on_create(
        self,
        variable: tf.Variable,
        name: str,
        regularizer: Callable | None,
        constraint: Callable | None,
    ) -> None:
        tracked = TrackedVariable(variable, name, regularizer, constraint)
        self._keep(name, tracked)
        # By its TF1 name in `tf.train.Checkpoint`; this also restores a value read before.
        self._track_trackable(variable, name=name, overwrite=True)

    def _keep(self, name: str, tracked: TrackedVariable) -> None:
        self.variables_by_name[name] = tracked
        self._made.append(tracked)
        with _unlocked(self):
            self._track_variable(tracked)

    def _on_trainable(self, name: str) -> None:
        self._retrack(self.variables_by_name[name])

    def _retrack(self, tracked: TrackedVariable) -> None:
        self._untrack_variable(tracked)
        tracked.trainable = True
        with _unlocked(self):
            self._track_variable(tracked)

    def add_layer(self, name: str, layer: Any) -> None:
        """Tracks a layer made in a decorated method under its full name, the scope's included."""
        self.layers.add(name, layer)
        self._add_sublayer(name, layer)

    def _add_sublayer(self, name: str, layer: Any) -> None:
        self.layers_by_name[name] = layer
        if isinstance(layer, keras.Layer):  # A `tf.Module`'s variables are taken up one by one.
            self._made.append(layer)
            if not self.trainable:
                layer.trainable = False
        with _unlocked(self):
            setattr(self, layer_key(name), layer)

    def dropout_seeds(self) -> keras.random.SeedGenerator:
        """The random state that the layer's dropout draws from; made on first use."""
        if self._dropout_seeds is None:
            with self.store.lock:
                self._make_dropout_seeds()
        return self._dropout_seeds

    def _make_dropout_seeds(self) -> None:
        if self._dropout_seeds is not None:  # Another thread has made them meanwhile.
            return
        with tf.init_scope(), outside_of_keras_scopes(), _unlocked(self):
            seeds = keras.random.SeedGenerator()
            # `tf.train.Checkpoint` does not look into Keras' generators.
            self._track_trackable(seeds.state.value, name="dropout_random_state")
            self._dropout_seeds = seeds

    def after_call(self, owner: keras.Layer) -> None:
        """Takes up what a call of the owner's method has made beside TF1 variables.

        Keras does not look for `tf.Variable`s in a layer's attributes, nor into its `tf.Module`s.
        """
        self.layers.take_names()
        self.layers.warn_of_equal_paths(owner, (name for name, _ in self.store.named_variables()))
        modules = ((name, m) for name, m in self.layers.items() if not isinstance(m, keras.Layer))
        found = (parts_of_module(module, name) for name, module in modules)
        known = {id(layer) for layer in (*owner._layers, *self._layers)}
        for part in itertools.chain(parts_of(owner), *found):
            if isinstance(part.value, tf.Variable):
                self._adopt(part)
            elif id(part.value) not in known and not _has_within(part.value, owner):
                known.add(id(part.value))
                self._add_sublayer(f"attribute {part.place}", part.value)

    def _adopt(self, part: Part) -> None:
        """Tracks a variable that lives in an attribute, be it in attributes of other layers too."""
        variable = without_autocast(part.value)
        tracked = TrackedVariable.of(variable)
        if any(held is tracked for held in self.variables_by_name.values()):
            is_left_out = any(held is tracked for held in self._non_trainable_variables)
            if is_left_out and variable.trainable:  # TF1 code has thought better of it.
                self._retrack(tracked)
            return
        if part.loss is not None and tracked.regularizer is None:
            loss = part.loss
            tracked.regularizer = lambda variable: loss()
            self._other_losses.append((variable, loss))
        name = f"attribute {part.place}"
        self._keep(name, tracked)
        value = self._take_pending_value(name)
        if value is not None:
            variable.assign(value)

    @property
    def variables(self) -> list[keras.Variable]:
        """The variables in TF1's creation order, then the random state of dropout."""
        seeds = [] if self._dropout_seeds is None else [self._dropout_seeds.state]
        return self._in_creation_order("variables") + seeds

    @property
    def weights(self) -> list[keras.Variable]:
        """The variables in TF1's creation order."""
        return self._in_creation_order("weights")

    def _in_creation_order(self, of_layers: str) -> list[keras.Variable]:
        variables: list[keras.Variable] = []
        for made in self._made:
            variables.extend(
                [made] if isinstance(made, TrackedVariable) else getattr(made, of_layers)
            )
        return variables

    def untrained_losses(self) -> list[Callable[[], tf.Tensor]]:
        """The regularization losses that Keras does not ask for: it asks trainable weights only."""
        regularized = self.store.regularized_variables()
        own = [(variable, self.store.regularization_losses[name]) for name, variable in regularized]
        return [loss for variable, loss in own + self._other_losses if not variable.trainable]

    def _get_own_losses(self) -> list[Any]:
        return super()._get_own_losses() + [loss() for loss in self.untrained_losses()]


def _has_within(layer: keras.Layer, owner: keras.Layer) -> bool:
    # Modules may refer to the layer that they are part of.
    return any(part is owner for part in layer._flatten_layers())
