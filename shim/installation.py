"""`install()`: TF1 code that knows nothing of the shim works in this process."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import indexed_slices, ops, tensor
from tensorflow.python.layers import convolutional, core, normalization, pooling
from tensorflow.python.ops import (
    array_ops,
    array_ops_stack,
    cond,
    control_flow_assert,
    control_flow_case,
    control_flow_ops,
    resource_variables_toggle,
    variable_scope,
    variable_v1,
    variables,
    while_loop,
)

from . import layers
from .tracking import track_tf1_style_variables

_ABSENT = object()
# (namespace, name, what was there), in the order of installation.
_replaced: list[tuple[dict[str, Any], str, Any]] = []


def install() -> None:
    """Makes untouched TF1 code work in this process, third-party code included.

    Afterwards `tf.compat.v1.layers`, `tf.compat.v1.keras.utils.track_tf1_style_variables` and
    TF-Slim 1.1.0's layers work under Keras 3: in decorated methods eagerly and in `tf.function`, in
    TF1 graphs with sessions as they always did. Installing twice is the same as once.
    """
    if _replaced:
        return
    for namespace, name, value in _replacements():
        _replaced.append((namespace, name, namespace.get(name, _ABSENT)))
        namespace[name] = value


def uninstall() -> None:
    """Puts back what `install` replaced; does nothing where nothing is installed."""
    while _replaced:
        namespace, name, before = _replaced.pop()
        if before is _ABSENT:
            del namespace[name]
        else:
            namespace[name] = before


def _replacements() -> Iterator[tuple[dict[str, Any], str, Any]]:
    for api in _tf1_apis():
        # TensorFlow loads these two on first access, and with Keras 3 refuses; what is already in
        # the loader's own namespace is not loaded.
        for name in layers.__all__:
            yield vars(api.layers), name, getattr(layers, name)
        yield vars(api.keras), "utils", _keras_utils()
    yield from _layer_modules()
    yield from _moved_names()


def _tf1_apis() -> list[types.ModuleType]:
    """`tf.compat.v1` and its twins: `import tensorflow.compat.v1` makes a module of its own."""
    importlib.import_module("tensorflow.compat.v1")
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("tensorflow.") and name.endswith("compat.v1")
    ]


def _keras_utils() -> types.ModuleType:
    utils = types.ModuleType("tensorflow.compat.v1.keras.utils")
    utils.__dict__.update(vars(tf.keras.utils), track_tf1_style_variables=track_tf1_style_variables)
    return utils


def _layer_modules() -> Iterator[tuple[dict[str, Any], str, Any]]:
    """The modules that TF-Slim takes its layers from, under all the names they have there."""
    for module in (convolutional, core, pooling):
        for name, value in list(vars(module).items()):
            ours = getattr(layers, getattr(value, "__name__", ""), None)
            if ours is not None and callable(value):
                yield vars(module), name, ours
    for name in ("BatchNormalization", "BatchNorm"):
        yield vars(normalization), name, layers.BatchNormalization
    for name in ("batch_normalization", "batch_norm"):
        yield vars(normalization), name, layers.batch_normalization


def _moved_names() -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Names that TF-Slim 1.1.0 reads where they were in TensorFlow 2.12."""
    yield vars(ops), "Tensor", tensor.Tensor
    yield vars(ops), "IndexedSlices", indexed_slices.IndexedSlices
    yield vars(array_ops), "stack", array_ops_stack.stack
    yield vars(array_ops), "unstack", array_ops_stack.unstack
    yield vars(control_flow_ops), "cond", cond.cond
    yield vars(control_flow_ops), "case", control_flow_case.case
    yield vars(control_flow_ops), "while_loop", while_loop.while_loop
    yield vars(control_flow_ops), "Assert", control_flow_assert.Assert
    yield vars(variables), "VariableV1", variable_v1.VariableV1
    yield vars(variable_scope), "variable", variable_v1.VariableV1
    for name in (
        "enable_resource_variables",
        "disable_resource_variables",
        "resource_variables_enabled",
    ):
        yield vars(variable_scope), name, getattr(resource_variables_toggle, name)
