"""The holder of each object: of the variables and layers that its decorated methods make."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from .call_state import is_tf_keras_layer
from .held_parts import ATTRIBUTE, parts_of
from .layer_holder import LayerHolder
from .module_holder import ModuleHolder, holder_for_tf_keras


def holder_of(owner: Any) -> LayerHolder | ModuleHolder:
    """The holder of what an object's decorated methods make; made on first use.

    Raises:
        TypeError: the object is neither a Keras layer nor a `tf.Module`, or a Keras `Sequential`.
    """
    holder = vars(owner).get(ATTRIBUTE) if hasattr(owner, "__dict__") else None
    if holder is not None:
        return holder
    with _lock:
        holder = vars(owner).get(ATTRIBUTE) if hasattr(owner, "__dict__") else None
        return _given_holder(owner) if holder is None else holder


_lock = threading.RLock()


def _given_holder(owner: Any) -> LayerHolder | ModuleHolder:
    is_tf_keras = is_tf_keras_layer(owner)
    if isinstance(owner, keras.Sequential) or (
        is_tf_keras and isinstance(owner, sys.modules["tf_keras"].Sequential)
    ):
        raise TypeError(
            f"track_tf1_style_variables decorates a method of {type(owner).__name__}, a Sequential "
            "model: all layers in it are its forward pass, with no room for one that holds TF1 "
            "variables. Let the class inherit from keras.Model and have a Sequential as attribute."
        )
    if isinstance(owner, keras.Layer):
        holder: Any = LayerHolder()
        holder.trainable = owner.trainable
        # An attribute's old value is looked at when it is set, which must not make a holder.
        vars(owner)[ATTRIBUTE] = None
        # Keras forbids new state on a built layer, and another thread may be building this one. It
        # takes what its tracker knows already.
        owner._tracker.stored_ids["layers"].add(id(holder))
        owner._layers.append(holder)
    elif isinstance(owner, tf.Module):  # The layers of tf_keras are.
        holder = holder_for_tf_keras() if is_tf_keras else ModuleHolder()
        vars(owner)[ATTRIBUTE] = None
    else:
        raise TypeError(
            f"track_tf1_style_variables decorates a method of {type(owner).__name__}, which is "
            "neither a keras.Layer nor a tf.Module and so cannot track variables. Let the class "
            "inherit from one of them."
        )
    object.__setattr__(holder, "owner_class", type(owner))
    setattr(owner, ATTRIBUTE, holder)
    return holder


def regularization_losses(module: tf.Module) -> list[Callable[[], tf.Tensor]]:
    """The regularization losses of a `tf.Module`'s variables.

    Args:
        module: a `tf.Module` with decorated methods, itself or in its submodules.

    Returns:
        A callable without arguments for each regularized variable, those of Keras layers in the
        module's attributes included. It computes the loss, a float scalar, from the variable's
        current value.
    """
    losses: dict[Any, Callable[[], tf.Tensor]] = {}
    holder = vars(module).get(ATTRIBUTE)
    for part in (*(holder.parts() if holder else ()), *parts_of(module)):
        if isinstance(part.value, keras.Layer):
            for variable in part.value.trainable_variables:
                if variable.regularizer is not None:
                    loss = functools.partial(variable.regularizer, variable)
                    losses.setdefault(id(variable), loss)
            for layer in part.value._flatten_layers():
                if isinstance(layer, LayerHolder):
                    losses.update(
                        {(id(layer), n): of for n, of in enumerate(layer.untrained_losses())}
                    )
        elif part.loss is not None:
            losses.setdefault(id(part.value), part.loss)
    return list(losses.values())
