"""Checkpoints of TF1 and TF2: restore them into any version of a model, save, convert, inspect."""

from .conversion import Conversion, convert
from .inspection import Inspection, inspect
from .names import tf1_name
from .report import RestoreReport
from .restoring import restore
from .saving import FORMATS, SUFFIXES, checkpoint_objects, save

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "Conversion",
    "Inspection",
    "RestoreReport",
    "checkpoint_objects",
    "convert",
    "inspect",
    "restore",
    "save",
    "tf1_name",
]
