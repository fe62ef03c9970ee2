"""The modeling shim: TF1 code inside Keras 3 layers and `tf.Module`s."""

from . import layers
from .installation import install, uninstall
from .tracked_variable import TrackedVariable
from .tracking import regularization_losses, track_tf1_style_variables

__all__ = [
    "TrackedVariable",
    "install",
    "layers",
    "regularization_losses",
    "track_tf1_style_variables",
    "uninstall",
]
