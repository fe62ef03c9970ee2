"""The modeling shim: TF1 code inside Keras 3 layers and `tf.Module`s."""

from . import layers
from .created_layers import get_or_create_layer, record_scope
from .determinism import DeterministicRandomTestTool
from .guards import assert_no_variable_creations, catch_variable_creations
from .holders import regularization_losses
from .installation import install, uninstall
from .tracked_variable import TrackedVariable
from .tracking import track_tf1_style_variables

__all__ = [
    "DeterministicRandomTestTool",
    "TrackedVariable",
    "assert_no_variable_creations",
    "catch_variable_creations",
    "get_or_create_layer",
    "install",
    "layers",
    "record_scope",
    "regularization_losses",
    "track_tf1_style_variables",
    "uninstall",
]
