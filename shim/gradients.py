"""Gradient functions of decorated calls, which run when the calls are over."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import custom_gradient
from tensorflow.python.util import tf_decorator

from .call_state import current_call

# What TensorFlow says where TF1 code such as Slim's takes gradients with no tape.
_NEEDS_GRAPH = "tf.gradients is not supported when eager execution is enabled"
_EAGERLY, _IN_GRAPH = custom_gradient._eager_mode_decorator, custom_gradient._graph_mode_decorator


def call_eagerly(function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """In place of what calls a function under `tf.custom_gradient` eagerly."""
    return _EAGERLY(_resuming(function), args, kwargs)


def call_in_graph(function: Callable, args: tuple, kwargs: dict[str, Any]) -> Any:
    """In place of what calls a function under `tf.custom_gradient` in a graph."""
    return _IN_GRAPH(_resuming(function), args, kwargs)


def _resuming(function: Callable) -> Callable:
    """Lets the gradient of `function` find the variables of the decorated call we are in.

    It runs when somebody asks for the gradient, most often after the call; and where it computes
    something again, as `tf.recompute_grad` does, it asks for variables.

    Args:
        function: callable that returns outputs and a gradient function.
    """
    call = current_call()
    if call is None or not ops.executing_eagerly_outside_functions():
        return function
    resumed = functools.partial(call.resumed, dict(call.scopes.variable_scopes_count))

    @functools.wraps(function)
    def forward(*args: Any, **kwargs: Any) -> tuple[Any, Callable]:
        outputs, gradient = function(*args, **kwargs)

        def resuming_gradient(*args: Any, **kwargs: Any) -> Any:
            with resumed():
                return gradient(*args, **kwargs)

        def in_graph_if_need_be(*args: Any, **kwargs: Any) -> Any:
            try:
                return resuming_gradient(*args, **kwargs)
            except RuntimeError as error:
                if not tf.executing_eagerly() or _NEEDS_GRAPH not in str(error):
                    raise
            return tf.function(lambda: resuming_gradient(*args, **kwargs), autograph=False)()

        # TensorFlow asks for its arguments.
        return outputs, tf_decorator.make_decorator(gradient, in_graph_if_need_be)

    return forward
