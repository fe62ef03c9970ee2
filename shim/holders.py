"""What holds the variables and layers that an object's decorated methods make."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .autocast_variable import without_autocast
from .tracked_variable import TrackedVariable, outside_of_keras_scopes
from .variable_store import VariableStore

ATTRIBUTE = "_tf1_variables"


def holder_of(owner: Any) -> LayerHolder | ModuleHolder:
    """The holder of what an object's decorated methods make; made on first use.

    Raises:
        TypeError: the object is neither a Keras layer nor a `tf.Module`.
    """
    holder = vars(owner).get(ATTRIBUTE) if hasattr(owner, "__dict__") else None
    if holder is not None:
        return holder
    with _lock:
        holder = vars(owner).get(ATTRIBUTE) if hasattr(owner, "__dict__") else None
        return _given_holder(owner) if holder is None else holder


_lock = threading.RLock()


def _given_holder(owner: Any) -> LayerHolder | ModuleHolder:
    if isinstance(owner, keras.Layer):
        holder = LayerHolder()
        holder.trainable = owner.trainable
        # An attribute's old value is looked at when it is set, which must not make a holder.
        vars(owner)[ATTRIBUTE] = None
        # Keras forbids new state on a built layer, and another thread may be building this one. It
        # takes what its tracker knows already.
        owner._tracker.stored_ids["layers"].add(id(holder))
        owner._layers.append(holder)
        setattr(owner, ATTRIBUTE, holder)
        return holder
    if isinstance(owner, tf.Module):  # The layers of tf_keras are.
        if is_tf_keras_layer(owner):
            holder = ModuleHolder(owner.add_loss, functools.partial(setattr, owner))
        else:
            holder = ModuleHolder()
        vars(owner)[ATTRIBUTE] = None
        setattr(owner, ATTRIBUTE, holder)
        return holder
    raise TypeError(
        f"track_tf1_style_variables decorates a method of {type(owner).__name__}, which is neither "
        "a keras.Layer nor a tf.Module and so cannot track variables. Let the class inherit from "
        "one of them."
    )


def is_tf_keras_layer(candidate: Any) -> bool:
    """Whether this is a layer of tf_keras, Keras 2 beside Keras 3."""
    # Whoever has such a layer has imported tf_keras.
    tf_keras = sys.modules.get("tf_keras")
    return tf_keras is not None and isinstance(candidate, tf_keras.layers.Layer)


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


class LayerHolder(keras.Layer):
    """The variables and layers that the decorated methods of one Keras layer have made.

    A sub-layer of that layer, so that Keras finds them for training, losses and saving.
    """

    def __init__(self) -> None:
        super().__init__(name="tf1_variables", dtype="float32")
        self.store = VariableStore(self._on_create, self._take_pending_value, self._on_trainable)
        # Set past Keras, which would track what is in them a second time.
        object.__setattr__(self, "_tracked_by_name", {})
        object.__setattr__(self, "_made", [])
        object.__setattr__(self, "layers", CreatedLayers())
        object.__setattr__(self, "_pending_values", {})
        object.__setattr__(self, "called", set())
        object.__setattr__(self, "_unmade_layers", set())
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
        self._tracked_by_name[name] = tracked
        self._made.append(tracked)
        self._track_variable(tracked)
        # By its TF1 name in `tf.train.Checkpoint`; this also restores a value read before.
        self._track_trackable(variable, name=name, overwrite=True)

    def _on_trainable(self, name: str) -> None:
        tracked = self._tracked_by_name[name]
        self._untrack_variable(tracked)
        tracked.trainable = True
        self._track_variable(tracked)

    def add_layer(self, name: str, layer: Any) -> None:
        """Tracks a layer under its full name, the scope's included."""
        self.layers.add(name, layer)
        self._made.append(layer)
        if isinstance(layer, keras.Layer) and not self.trainable:
            layer.trainable = False
        with _unlocked(self):
            setattr(self, _layer_key(name), layer)

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
        for attribute, part in _attributes(owner):
            if isinstance(part, tf.Variable):
                self._adopt(attribute, part, None)
            elif isinstance(part, tf.Module):
                losses = _losses_by_variable(part)
                for path, variable in part._flatten(predicate=_is_variable, with_path=True):
                    place = "/".join(map(str, (attribute, *path)))
                    self._adopt(place, variable, losses.get(id(variable)))

    def _adopt(
        self, place: str, variable: tf.Variable, loss: Callable[[], tf.Tensor] | None
    ) -> None:
        variable = without_autocast(variable)
        if any(tracked.value is variable for tracked in self._tracked_by_name.values()):
            return
        regularizer = None if loss is None else lambda variable: loss()
        tracked = TrackedVariable(variable, variable.name.removesuffix(":0"), regularizer)
        name = f"attribute {place}"
        self._tracked_by_name[name] = tracked
        self._made.append(tracked)
        self._track_variable(tracked)
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

    def _get_own_losses(self) -> list[Any]:
        # Keras itself asks trainable weights only; TF1 regularizes the others too.
        regularized = self.store.regularization_losses
        return super()._get_own_losses() + [
            loss() for name, loss in regularized.items() if not self.store.is_trainable(name)
        ]

    def save_own_variables(self, store: Any) -> None:
        for name, variable in self._tracked_by_name.items():
            store[_saved_key(name)] = variable
        for name in self.layers:  # Keras saves them beside; this says that they are there.
            store[_layer_key(name)] = np.zeros([0], "uint8")

    def load_own_variables(self, store: Any) -> None:
        keys = list(store.keys())
        layer_keys = {key for key in keys if key.startswith(_LAYER)}
        if keys:  # Keras comes by several ways; by all but one it brings nothing.
            self._unmade_layers.clear()
            self._unmade_layers.update(map(_name_of_saved_key, layer_keys))
        self._unmade_layers.difference_update(self.layers)
        if self._unmade_layers:
            raise ValueError(
                "The weights file holds Keras layers that this object makes in its first call: "
                f"{', '.join(sorted(self._unmade_layers))}. Call it once, then load."
            )
        saved = {_name_of_saved_key(key): key for key in keys if key not in layer_keys}
        missing = [name for name in self._tracked_by_name if name not in saved]
        if missing:
            raise ValueError(
                f"The weights file does not fit this layer: {len(missing)} of its variables are "
                f"not in the file ({', '.join(missing[:3])}). Load it into the model that saved it."
            )
        for name, key in saved.items():
            if name in self._tracked_by_name:
                self._tracked_by_name[name].assign(store[key])
            else:  # Of a decorated method that has not been called yet.
                self._pending_values[name] = np.array(store[key])

    def _take_pending_value(self, name: str) -> np.ndarray | None:
        return self._pending_values.pop(name, None)


def _saved_key(name: str) -> str:
    # HDF5 reads "/" as a path; "|" cannot be in a TF1 scope name.
    return name.replace("/", "|")


def _name_of_saved_key(key: str) -> str:
    return key.removeprefix(_LAYER).replace("|", "/")


_LAYER = "layer:"


def _layer_key(name: str) -> str:
    return _LAYER + _saved_key(name)


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


class ModuleHolder(tf.Module):
    """The variables and layers that the decorated methods of one `tf.Module` have made.

    Args:
        add_loss: where the module is a layer of tf_keras: told of each loss, as a callable without
            arguments that returns a scalar tensor or None.
        add_sublayer: likewise: given the name and the layer for each layer of tf_keras that is
            made, which no plain `tf.Module` can keep the losses of.
    """

    def __init__(
        self,
        add_loss: Callable[[Callable[[], tf.Tensor | None]], None] | None = None,
        add_sublayer: Callable[[str, Any], None] | None = None,
    ) -> None:
        super().__init__(name="tf1_variables")
        self.store = VariableStore(self._on_create)
        self.layers = CreatedLayers()
        # The names of the methods that have been called.
        self.called: set[str] = set()
        self._add_loss = add_loss
        self._add_sublayer = add_sublayer
        self._in_creation_order: tuple[tf.Variable, ...] = ()
        self._of_keras_layers: tuple[tf.Variable, ...] = ()

    def _on_create(
        self,
        variable: tf.Variable,
        name: str,
        regularizer: Callable | None,
        constraint: Callable | None,
    ) -> None:
        # `tf.Module` finds variables in attributes; checkpoints find them by their TF1 name.
        with self._no_dependency():
            self._in_creation_order = (*self._in_creation_order, variable)
        self._track_trackable(variable, name=name, overwrite=True)
        if regularizer is not None and self._add_loss is not None:
            self._add_loss(functools.partial(regularizer, variable))

    def add_layer(self, name: str, layer: Any) -> None:
        """Tracks a layer under its full name, the scope's included."""
        with self._no_dependency():
            self.layers.add(name, layer)
        if self._add_sublayer is not None and is_tf_keras_layer(layer):
            self._add_sublayer(_layer_key(name), layer)
            return
        setattr(self, _layer_key(name), layer)
        if self._add_loss is not None and isinstance(layer, keras.Layer):
            self._add_loss(lambda: tf.add_n(layer.losses) if layer.losses else None)

    def after_call(self, owner: tf.Module) -> None:
        """Takes up what a call of the owner's method has made beside TF1 variables.

        `tf.Module` does not look into Keras layers, be they made in the call or attributes.
        """
        self.layers.take_names()
        layers = [*self.layers.values(), *(part for _, part in _attributes(owner))]
        with self._no_dependency():
            self._of_keras_layers = tuple(
                variable.value
                for layer in layers
                if isinstance(layer, keras.Layer)
                for variable in layer.variables
            )

    def regularization_losses(self) -> Iterator[Callable[[], tf.Tensor]]:
        yield from self.store.regularization_losses.values()
        for layer in self.layers.values():
            if isinstance(layer, keras.Layer):
                for variable in layer.trainable_variables:
                    if variable.regularizer is not None:
                        yield functools.partial(variable.regularizer, variable)

    @contextlib.contextmanager
    def _no_dependency(self) -> Iterator[None]:
        before = getattr(self, "_self_setattr_tracking", True)
        self._self_setattr_tracking = False
        try:
            yield
        finally:
            self._self_setattr_tracking = before


def _attributes(owner: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of an object, those in lists and dictionaries one by one."""
    for name, value in list(vars(owner).items()):
        if isinstance(value, dict):
            yield from ((f"{name}/{key}", part) for key, part in value.items())
        elif isinstance(value, list | tuple):
            yield from ((f"{name}/{number}", part) for number, part in enumerate(value))
        elif name != ATTRIBUTE:
            yield name, value


def _is_variable(candidate: Any) -> bool:
    return isinstance(candidate, tf.Variable)


def _losses_by_variable(module: tf.Module) -> dict[int, Callable[[], tf.Tensor]]:
    holders = (part for part in (module, *module.submodules) if isinstance(part, ModuleHolder))
    return {
        id(variable): holder.store.regularization_losses[name]
        for holder in holders
        for name, variable in holder.store.regularized_variables()
    }


def regularization_losses(module: tf.Module) -> list[Callable[[], tf.Tensor]]:
    """The regularization losses of a `tf.Module`'s TF1 variables.

    Args:
        module: a `tf.Module` with decorated methods, itself or in its submodules. (Keras layers
            set as its attributes tell theirs in `layer.losses`.)

    Returns:
        A callable without arguments for each regularized variable, in creation order within a
        module. It computes the loss, a float scalar, from the variable's current value.
    """
    losses: list[Callable[[], tf.Tensor]] = []
    for submodule in (module, *module.submodules):
        if isinstance(submodule, ModuleHolder):
            losses.extend(submodule.regularization_losses())
    return losses
