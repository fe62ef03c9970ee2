"""What TF1's layers tell of themselves: weights as arrays, sizes, arguments."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import ops

from ..autocast_variable import without_autocast
from .autograph import without_autograph

# What a layer of TF1 answered by the tensors of its calls.
_OF_TENSORS = {
    *(f"{side}{kind}" for side in ("input", "output") for kind in ("", "_shape", "_mask")),
    *(f"get_{side}{kind}_at" for side in ("input", "output") for kind in ("", "_shape", "_mask")),
    *("inbound_nodes", "outbound_nodes"),
}


@without_autograph
class Inspected:
    """The part of `tf.compat.v1.layers.Layer` that computes nothing."""

    name: str
    built: bool
    variables: list[tf.Variable]
    losses: list[tf.Tensor]
    updates: list[Any]
    _losses: list[Any]
    _built_in: weakref.ref[ops.Graph] | None

    def get_losses_for(self, inputs: Any) -> list[tf.Tensor]:
        """The losses by the inputs of the last call; with None, those of the weights."""
        losses = self.losses
        kept = len(losses) - len(self._losses)
        return losses[:kept] if inputs is None else losses[kept:]

    def get_updates_for(self, inputs: Any) -> list[Any]:
        """The update ops in a TF1 graph; with None, those that depend on no inputs: none."""
        return [] if inputs is None else list(self.updates)

    def get_weights(self) -> list[np.ndarray]:
        """The values of the weights, in creation order; in a TF1 graph by the default session."""
        variables = list(map(without_autocast, self.variables))
        if ops.executing_eagerly_outside_functions():
            return [variable.numpy() for variable in variables]
        return self._session("get_weights").run(variables)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Sets the values of the weights.

        Args:
            weights: arrays as `get_weights` returns them.

        Raises:
            ValueError: another number of arrays, or one of another shape.
        """
        variables = list(map(without_autocast, self.variables))
        shapes = [tuple(variable.shape) for variable in variables]
        if [np.shape(value) for value in weights] != shapes:
            raise ValueError(
                f"Layer {self.name} has weights of the shapes {shapes}, got "
                f"{[np.shape(value) for value in weights]}. Give one array for each."
            )
        for variable, value in zip(variables, weights, strict=True):
            if ops.executing_eagerly_outside_functions():
                variable.assign(value)
            else:
                variable.load(value, self._session("set_weights"))

    def _session(self, method: str) -> tf.compat.v1.Session:
        session = tf.compat.v1.get_default_session()
        if session is None:
            raise RuntimeError(
                f"{method} of layer {self.name} needs a session in a TF1 graph. Call it under "
                "`with session.as_default():`."
            )
        return session

    def count_params(self) -> int:
        """The number of parameters in all weights.

        Raises:
            ValueError: the layer has not been built.
        """
        if not self.built:
            raise ValueError(f"Layer {self.name} has no weights to count yet: call it first.")
        return sum(int(np.prod(variable.shape)) for variable in self.variables)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, for `from_config`; initializers and such as they are.

        Raises:
            NotImplementedError: the constructor has arguments that are no attributes.
        """
        parameters = inspect.signature(type(self)).parameters.values()
        names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD and p.name[0] != "_"]
        if any(p.kind is p.VAR_KEYWORD for p in parameters):
            names += [name for name in ("name", "trainable", "dtype") if name not in names]
        missing = [name for name in names if not hasattr(self, name)]
        if missing:
            raise NotImplementedError(
                f"{type(self).__name__} does not keep its argument(s) {', '.join(missing)}. Keep "
                "them as attributes, or give the class a get_config of its own."
            )
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A new layer by the `get_config` of another."""
        return cls(**config)

    @property
    def graph(self) -> tf.Graph:
        """The TF1 graph that the layer was built in.

        Raises:
            RuntimeError: there is none.
        """
        graph = self._built_in() if self._built_in else None
        if graph is None or ops.executing_eagerly_outside_functions():
            raise RuntimeError(
                f"Layer {self.name} has a graph only once it is called in a TF1 one."
            )
        return graph

    if not TYPE_CHECKING:  # Which is to know misspelt attributes.

        def __getattr__(self, name: str) -> Any:
            if name in _OF_TENSORS:
                raise AttributeError(
                    f"Layer {self.name} keeps no tensors of its calls, and so has no {name!r}. "
                    "Keep what you pass to it and what it returns."
                )
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
