"""Checkpoints of TF1 and TF2: restore them into any version of a model, and save them."""

from .names import tf1_name
from .report import RestoreReport
from .restoring import restore
from .saving import FORMATS, checkpoint_objects, save

__all__ = ["FORMATS", "RestoreReport", "checkpoint_objects", "restore", "save", "tf1_name"]
