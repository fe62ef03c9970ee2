"""`install()`: TF1 code that knows nothing of the shim works in this process."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import indexed_slices, ops, tensor
from tensorflow.python.layers import convolutional, core, normalization, pooling
from tensorflow.python.layers import layers as all_layers
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

from . import layers, stray_variables
from .created_layers import get_or_create_layer
from .determinism import DeterministicRandomTestTool
from .tracking import track_tf1_style_variables

_ABSENT = object()
_modules: dict[str, Any] = sys.modules
# A module, or a dictionary of names where setting a module's attribute would do more than that.
_Namespace = types.ModuleType | type | dict[str, Any]
# (namespace, name, what was there), in the order of installation.
_replaced: list[tuple[_Namespace, str, Any]] = []


def install() -> None:
    """Makes untouched TF1 code work in this process, third-party code included.

    Afterwards these work under Keras 3, in decorated methods eagerly and in `tf.function`, in TF1
    graphs with sessions as they always did:

    - `tf.compat.v1.layers`, in whatever way it is imported;
    - `tf.compat.v1.keras.utils` with `track_tf1_style_variables`, `get_or_create_layer` and
      `DeterministicRandomTestTool`;
    - TF-Slim 1.1.0 (`import tf_slim`).

    Call it before the code that is to find these is imported: a `from ... import conv2d` of an
    earlier time keeps what it found. Installing twice is the same as once.

    Where TF1 code asks for a variable eagerly and in no decorated method, there is a warning: it
    would get a new one every time.
    """
    if _replaced:
        return
    for namespace, name, value in _replacements():
        names = namespace if isinstance(namespace, dict) else vars(namespace)
        _replaced.append((namespace, name, names.get(name, _ABSENT)))
        _put(namespace, name, value)


def uninstall() -> None:
    """Puts back what `install` replaced; does nothing where nothing is installed."""
    while _replaced:
        _put(*_replaced.pop())


def _put(namespace: _Namespace, name: str, value: Any) -> None:
    if not isinstance(namespace, dict):
        setattr(namespace, name, value)
    elif value is _ABSENT:
        del namespace[name]
    else:
        namespace[name] = value


def _replacements() -> Iterator[tuple[_Namespace, str, Any]]:
    for api in _tf1_apis():
        # TensorFlow loads this on first access, and with Keras 3 refuses; what is already in the
        # loader's own namespace is not loaded.
        for name in layers.__all__:
            yield vars(api.layers), name, getattr(layers, name)
    yield from _keras_modules()
    yield from _importable_modules()
    yield from _layer_modules()
    yield from moved_names()
    yield stray_variables.REPLACEMENT


def _tf1_apis() -> list[types.ModuleType]:
    """`tf.compat.v1` and its twins: `import tensorflow.compat.v1` may make a module of its own."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("tensorflow.") and name.endswith("compat.v1")
    ]


def _keras_modules() -> Iterator[tuple[_Namespace, str, Any]]:
    # Keras' own modules stay as they are: they are `tf.keras` too.
    utils = _extended(
        "tensorflow.compat.v1.keras.utils",
        tf.keras.utils,
        DeterministicRandomTestTool=DeterministicRandomTestTool,
        get_or_create_layer=get_or_create_layer,
        track_tf1_style_variables=track_tf1_style_variables,
    )
    keras = _extended("tensorflow.compat.v1.keras", tf.keras, utils=utils)
    for api in _tf1_apis():
        # TensorFlow's API modules keep what they have been asked for; setting it they notice.
        yield api, "keras", keras
    for module in (keras, utils):
        yield _modules, module.__name__, module


def _extended(name: str, module: types.ModuleType, **names: Any) -> types.ModuleType:
    """A module `name` with all that `module` has, and more."""
    extended = types.ModuleType(name)
    extended.__dict__.update(names, __getattr__=functools.partial(getattr, module))
    return extended


def _importable_modules() -> Iterator[tuple[_Namespace, str, Any]]:
    """Lets `import tensorflow.compat.v1` find what `tf.compat.v1` is."""
    # TensorFlow's own first import of it makes a twin.
    for name, module in (("compat", tf.compat), ("compat.v1", tf.compat.v1)):
        if f"tensorflow.{name}" not in _modules:
            yield _modules, f"tensorflow.{name}", module
    api = _modules.get("tensorflow.compat.v1", tf.compat.v1)
    yield _modules, "tensorflow.compat.v1.layers", api.layers


def _layer_modules() -> Iterator[tuple[_Namespace, str, Any]]:
    """The modules that TF-Slim takes its layers from, under all the names they have there."""
    for module in (all_layers, convolutional, core, pooling):
        for name, value in list(vars(module).items()):
            ours = getattr(layers, getattr(value, "__name__", ""), None)
            if ours is not None and callable(value):
                yield vars(module), name, ours
    for name in ("BatchNormalization", "BatchNorm"):
        yield vars(normalization), name, layers.BatchNormalization
    for name in ("batch_normalization", "batch_norm"):
        yield vars(normalization), name, layers.batch_normalization


def moved_names() -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Names that TF-Slim 1.1.0 reads where they were in TF 2.12: (namespace, name, value)."""
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
