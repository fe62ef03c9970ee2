"""`track_tf1_style_variables`: TF1 code inside a method of a Keras layer or `tf.Module`."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from .call_collections import current_owner, decorated_call
from .tracked_variable import TrackedVariable
from .variable_store import VariableStore

_ATTRIBUTE = "_tf1_variables"


def track_tf1_style_variables(method: Callable) -> Callable:
    """Lets a method run TF1 code that makes its variables with `get_variable`.

    Inside the method `tf.compat.v1.get_variable`, `variable_scope`, `tf.compat.v1.layers` and
    TF-Slim work as in TF1, eagerly and in `tf.function`. The first call makes the variables, later
    calls get the same ones. The object tracks them: they are in `weights` and `losses` of a Keras
    layer, in `variables` of a `tf.Module`, and are saved and restored with it.

    In a TF1 graph (`tf.Graph().as_default()` with a session) the method runs as it is.

    Put this decorator above others such as `tf.function`: weights can then be loaded into an object
    that has never been called. Let one thread make the first call. In a layer with a mixed policy
    (`"mixed_float16"`) `get_variable` keeps a float32 variable and hands out its value in the
    compute dtype where that is asked for. A variable's name follows the variable scope that
    encloses the call, as in TF1: call the object in the same scope every time.

    Args:
        method: a method of a `keras.Layer`, `keras.Model` or `tf.Module`, most often `call` or
            `__call__`.

    Returns:
        The decorated method.

    Raises:
        TypeError: at the call, if the object is neither a Keras layer nor a `tf.Module`.

    Example:
    ```python
    class Dense(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf.compat.v1.variable_scope("dense"):
                kernel = tf.compat.v1.get_variable("kernel", [inputs.shape[-1], 10])
                return tf.matmul(inputs, kernel)
    ```
    """
    return _TrackedMethod(method)


class _TrackedMethod:
    """The decorated method, until its class exists; then a plain function takes its place.

    Being told of the class matters for loading: Keras loads weights by walking over attributes, so
    the variables' holder must be found on objects that have never been called.
    """

    def __init__(self, method: Callable) -> None:
        self._function = _tracked(method)
        functools.update_wrapper(self, method)

    def __set_name__(self, owner: type, name: str) -> None:
        setattr(owner, name, self._function)
        setattr(owner, _ATTRIBUTE, _HolderOnFirstAccess())

    def __get__(self, instance: Any, owner: type | None = None) -> Callable:
        return self._function.__get__(instance, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)


class _HolderOnFirstAccess:
    """Makes an object's variable holder when it is first looked at; then the object has it."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if not isinstance(instance, keras.Layer | tf.Module):
            raise AttributeError(_ATTRIBUTE)
        return variables_of(instance)


def _tracked(method: Callable) -> Callable:
    @functools.wraps(method)
    def tracked_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self is current_owner() or not ops.executing_eagerly_outside_functions():
            return method(self, *args, **kwargs)
        with decorated_call(self, variables_of(self).store):
            return method(self, *args, **kwargs)

    return tracked_method


def variables_of(owner: Any) -> LayerVariables | ModuleVariables:
    """The holder of the variables that an object's decorated methods make; made on first use."""
    holder = vars(owner).get(_ATTRIBUTE) if hasattr(owner, "__dict__") else None
    if holder is not None:
        return holder
    if isinstance(owner, keras.Layer):
        holder = LayerVariables()
        holder.trainable = owner.trainable
        # An attribute's old value is looked at when it is set, which must not make a holder.
        vars(owner)[_ATTRIBUTE] = None
        with _unlocked(owner):
            setattr(owner, _ATTRIBUTE, holder)
        return holder
    if isinstance(owner, tf.Module):
        holder = ModuleVariables()
        vars(owner)[_ATTRIBUTE] = None
        setattr(owner, _ATTRIBUTE, holder)
        return holder
    raise TypeError(
        f"track_tf1_style_variables decorates a method of {type(owner).__name__}, which is neither "
        "a keras.Layer nor a tf.Module and so cannot track variables. Let the class inherit from "
        "one of them."
    )


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


class LayerVariables(keras.Layer):
    """The variables that the decorated methods of one Keras layer have made.

    A sub-layer of that layer, so that Keras finds them for training, losses and saving.
    """

    def __init__(self) -> None:
        super().__init__(name="tf1_variables", dtype="float32")
        self.store = VariableStore(self._on_create, self._take_pending_value)
        # Set past Keras, which would track the variables in a dict a second time.
        object.__setattr__(self, "_tracked_by_name", {})
        object.__setattr__(self, "_pending_values", {})
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
        self._track_variable(tracked)
        # By its TF1 name in `tf.train.Checkpoint`; this also restores a value read before.
        self._track_trackable(variable, name=name, overwrite=True)

    @property
    def variables(self) -> list[keras.Variable]:
        return list(self._tracked_by_name.values())

    @property
    def weights(self) -> list[keras.Variable]:
        """The variables in TF1's creation order."""
        return self.variables

    def _get_own_losses(self) -> list[Any]:
        # Keras itself asks trainable weights only; TF1 regularizes the others too.
        regularized = self.store.regularization_losses
        return super()._get_own_losses() + [
            loss() for name, loss in regularized.items() if not self.store.is_trainable(name)
        ]

    def save_own_variables(self, store: Any) -> None:
        for name, variable in self._tracked_by_name.items():
            store[_saved_key(name)] = variable

    def load_own_variables(self, store: Any) -> None:
        saved = {_name_of_saved_key(key): key for key in list(store.keys())}
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
    return key.replace("|", "/")


class ModuleVariables(tf.Module):
    """The variables that the decorated methods of one `tf.Module` have made."""

    def __init__(self) -> None:
        super().__init__(name="tf1_variables")
        self.store = VariableStore(self._on_create)
        self._in_creation_order: tuple[tf.Variable, ...] = ()

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

    @contextlib.contextmanager
    def _no_dependency(self) -> Iterator[None]:
        before = getattr(self, "_self_setattr_tracking", True)
        self._self_setattr_tracking = False
        try:
            yield
        finally:
            self._self_setattr_tracking = before


def regularization_losses(module: tf.Module) -> list[Callable[[], tf.Tensor]]:
    """The regularization losses of a `tf.Module`'s TF1 variables.

    Args:
        module: a `tf.Module` with decorated methods, itself or in its submodules. (Keras layers
            that it holds tell theirs in `layer.losses`.)

    Returns:
        A callable without arguments for each regularized variable, in creation order within a
        module. It computes the loss, a float scalar, from the variable's current value.
    """
    losses: list[Callable[[], tf.Tensor]] = []
    for submodule in (module, *module.submodules):
        if isinstance(submodule, ModuleVariables):
            losses.extend(submodule.store.regularization_losses.values())
    return losses
