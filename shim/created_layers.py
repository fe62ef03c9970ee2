"""`get_or_create_layer`: Keras layers made inside decorated methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import keras
import tensorflow as tf
from tensorflow.python.framework import ops

from . import automatic_names
from .call_state import current_owner
from .holders import holder_of
from .tracked_variable import outside_of_keras_scopes

_Layer = TypeVar("_Layer")


def get_or_create_layer(name: str, create_layer_method: Callable[[], _Layer]) -> _Layer:
    """Makes a Keras layer or model once inside a decorated method, and finds it on later calls.

    The object whose method it is tracks the layer: its weights, losses and checkpoints. The paths
    of the layer's variables begin with the enclosing variable scope and `name`
    (`"scope/name/kernel"`). In a TF1 graph the builder is simply called.

    Args:
        name: the layer's name, within the enclosing variable scope.
        create_layer_method: the builder; a callable without arguments that returns a
            `keras.Layer`, `keras.Model` or `tf.Module`.

    Returns:
        The builder's layer: of this call if it is the first under that name and scope, else of the
        first.

    Raises:
        RuntimeError: called outside of a decorated method.
        TypeError: the builder needs arguments, is a layer itself, or returns something else than
            one.
    """
    if isinstance(create_layer_method, keras.Layer | tf.Module):
        class_name = type(create_layer_method).__name__
        raise TypeError(
            f"get_or_create_layer({name!r}, ...) got a {class_name} where a builder belongs, which "
            "would be made anew in every call. Give a callable that makes it: "
            f"lambda: {class_name}(...)."
        )
    if not ops.executing_eagerly_outside_functions():
        return create_layer_method()
    owner = current_owner()
    if owner is None:
        raise RuntimeError(
            f"get_or_create_layer({name!r}, ...) was called outside of a decorated method, where "
            "nothing would keep the layer from call to call. Call it in a method of a keras.Layer "
            "or tf.Module decorated with track_tf1_style_variables, or make the layer in __init__."
        )
    holder = holder_of(owner)
    scope_name = tf.compat.v1.get_variable_scope().name
    full_name = f"{scope_name}/{name}" if scope_name else name
    if full_name not in holder.layers:
        with holder.store.lock:
            if full_name not in holder.layers:  # Another thread may have made it meanwhile.
                holder.add_layer(full_name, _made_by(create_layer_method, full_name))
        automatic_names.warn_of(full_name)
    return holder.layers[full_name]


def _made_by(create_layer_method: Callable[[], _Layer], full_name: str) -> _Layer:
    with tf.init_scope(), outside_of_keras_scopes():
        layer = create_layer_method()
    if not isinstance(layer, keras.Layer | tf.Module):
        raise TypeError(
            f"get_or_create_layer({full_name!r}, ...): the builder returned "
            f"{type(layer).__name__}, which is neither a keras.Layer nor a tf.Module. Return the "
            "layer itself, not its outputs."
        )
    return layer


def record_scope(name: str) -> None:
    """Takes an automatic layer name out of the sequence.

    Put it where a TF1 layer without a name has become a native Keras layer: the TF1 layers after it
    then keep the names, and so the checkpoints, that they had before.

    Args:
        name: the automatic name without number: `"conv2d"`, `"batch_normalization"`. The first
            `record_scope("conv2d")` in a variable scope takes `conv2d`, the next one `conv2d_1`.
    """
    with tf.compat.v1.variable_scope(None, default_name=name):
        pass
