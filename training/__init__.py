"""Training the zoo's models.

Nothing heavy is imported before it is used: the command line reads recipes and checks run
directories without TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .interruption import TrainingFailed, TrainingInterrupted
    from .recipes import DEMO, Recipe
    from .result import TrainResult
    from .run import train
    from .train_config import TrainConfig

__all__ = [
    "DEMO",
    "Recipe",
    "TrainConfig",
    "TrainResult",
    "TrainingFailed",
    "TrainingInterrupted",
    "train",
]

_HOME = {
    "DEMO": "recipes",
    "Recipe": "recipes",
    "TrainConfig": "train_config",
    "TrainResult": "result",
    "TrainingFailed": "interruption",
    "TrainingInterrupted": "interruption",
    "train": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
