"""TF1's layers in object-based checkpoints, under the names that Keras layers have there."""

from __future__ import annotations

from typing import Any

from tensorflow.python.trackable.base import Trackable

from ..autocast_variable import without_autocast


class CheckpointedByAttribute(Trackable):
    """Lets `tf.train.Checkpoint` find a layer's weights where the layer is an attribute.

    The variables of a decorated object are saved under their TF1 names anyway. A layer set as its
    attribute has them a second time in the checkpoint, as `attribute/weight`. So when a Keras layer
    takes the attribute's place, the checkpoint restores into that.
    """

    _variables: dict[str, Any]

    def _trackable_children(self, save_type: str = "checkpoint", **kwargs: Any) -> dict[str, Any]:
        children = super()._trackable_children(save_type, **kwargs)
        for name, variable in self._variables.items():
            variable = without_autocast(variable)
            if isinstance(variable, Trackable):
                children[name] = variable
                if name == "kernel":  # Keras' `Dense` and `Conv2D` keep it as `_kernel`.
                    children["_kernel"] = variable
        return children

    def _lookup_dependency(
        self, name: str, cached_dependencies: dict[str, Any] | None = None
    ) -> Any:
        return (cached_dependencies or self._trackable_children()).get(name)
