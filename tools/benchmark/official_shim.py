"""The official shim, tf_keras', made to run TF-Slim again: in a process of its own.

It needs `TF_USE_LEGACY_KERAS=1` in the environment before TensorFlow is imported. What TF-Slim
misses there is supplied as it was in TensorFlow 2.12, the last release on which both worked.
"""

from __future__ import annotations

import importlib
import sys

from tensorflow.python.layers import convolutional, core, pooling

from ...shim.installation import moved_names

_LAYERS = "tf_keras.src.legacy_tf_layers"


def restore() -> None:
    """Makes TF-Slim importable, with tf_keras' layers.

    Raises:
        ModuleNotFoundError: tf_keras is not installed.
    """
    # TensorFlow looks for it under the name that it had before tf_keras 2.16.
    old_name = _LAYERS.replace(".src", "")
    sys.modules[old_name] = importlib.import_module(_LAYERS)
    sys.modules[f"{old_name}.normalization"] = importlib.import_module(f"{_LAYERS}.normalization")
    # The others have come from TensorFlow's own copy of Keras since, which is not the shim's.
    for module in (convolutional, core, pooling):
        theirs = importlib.import_module(f"{_LAYERS}.{module.__name__.rpartition('.')[2]}")
        for name, value in list(vars(module).items()):
            if hasattr(theirs, getattr(value, "__name__", "")):
                setattr(module, name, getattr(theirs, value.__name__))
    for namespace, name, value in moved_names():
        namespace[name] = value
