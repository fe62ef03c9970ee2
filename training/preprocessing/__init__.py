"""From an image to what a model sees, by the name that a model's record has.

Nothing heavy is imported before a preprocessing is asked for, so that names can be checked at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .names import HOME, PREPROCESSINGS, check

if TYPE_CHECKING:
    from .base import Preprocessing

__all__ = ["PREPROCESSINGS", "check", "get"]


def get(name: str) -> Preprocessing:
    """A preprocessing by name.

    Args:
        name: `"inception"` and `"inception_full"` (TF-Slim's, with its fast and its full
            distortions), `"vgg"`, `"cifarnet"`, `"lenet"` (TF-Slim's), or `"resize"` (the whole
            image, scaled).

    Returns:
        The preprocessing.

    Raises:
        ValueError: There is none of that name.
    """
    check(name, 1)
    module, cls = HOME[name]
    return getattr(importlib.import_module(f".{module}", __name__), cls)()
