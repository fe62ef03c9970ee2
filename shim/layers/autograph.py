"""TF1's layers where AutoGraph converts the code that calls them."""

from __future__ import annotations

import inspect
from typing import Any

from tensorflow.python.autograph.impl.api import autograph_artifact


def without_autograph(code: Any) -> Any:
    """Marks a function, or the methods and objects of a class, for AutoGraph to leave as they are.

    It leaves TensorFlow's own layers so. Users' code in a `tf.function` below the decorator, which
    is converted, calls these.
    """
    if isinstance(code, type):
        for attribute in vars(code).values():
            if inspect.isfunction(attribute):
                autograph_artifact(attribute)
    return autograph_artifact(code)
