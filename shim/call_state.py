"""Which decorated calls this thread is in."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.ops import control_flow_v2_func_graphs, variable_scope

from .call_collections import CallCollections

_CONTROL_FLOW = (
    control_flow_v2_func_graphs.CondBranchFuncGraph,
    control_flow_v2_func_graphs.WhileBodyFuncGraph,
    control_flow_v2_func_graphs.WhileCondFuncGraph,
)


@dataclasses.dataclass(frozen=True)
class DTypes:
    """What a call computes in, and what its variables are kept in."""

    compute: tf.DType
    variable: tf.DType


_TF1_DTYPES = DTypes(tf.float32, tf.float32)


def is_tf_keras_layer(candidate: Any) -> bool:
    """Whether this is a layer of tf_keras, Keras 2 beside Keras 3."""
    # Whoever has such a layer has imported tf_keras.
    tf_keras = sys.modules.get("tf_keras")
    return tf_keras is not None and isinstance(candidate, tf_keras.layers.Layer)


def _is_layer(candidate: Any) -> bool:
    return isinstance(candidate, keras.Layer) or is_tf_keras_layer(candidate)


def _dtypes_of(layer: Any) -> DTypes:
    if layer.variable_dtype is None:  # tf_keras: it is to take the dtype of its inputs.
        return _TF1_DTYPES
    return DTypes(tf.as_dtype(layer.compute_dtype), tf.as_dtype(layer.variable_dtype))


def policy_of(owner: Any) -> DTypes:
    """The dtypes of a call of `owner`: by its policy, or by that of the Keras layer around it."""
    layer = owner if _is_layer(owner) else current_keras_layer()
    return _TF1_DTYPES if layer is None else _dtypes_of(layer)


@dataclasses.dataclass(frozen=True)
class DecoratedCall:
    """One call of a decorated method.

    Args:
        owner: the object whose method runs.
        method: the method's full name.
        graph: the default graph at the call.
        collections: those of the outermost decorated call.
        scopes: TF1's bookkeeping of the call's variable scopes.
        is_function: whether the method is a `tf.function`.
        policy: the dtypes of the call.
        resumed: returns a context manager that is the call's state once more, any time later;
            given the number of variable scopes opened by each name.
        outer_name_scope: the name scopes around the call.
    """

    owner: Any
    method: str
    graph: ops.Graph
    collections: CallCollections
    scopes: variable_scope._VariableScopeStore
    is_function: bool
    policy: DTypes
    resumed: Callable[[dict[str, int]], contextlib.AbstractContextManager[None]]
    outer_name_scope: str = dataclasses.field(default_factory=tf.get_current_name_scope)
    # The moving averages of tensors that the call has asked for, in order.
    tensor_averages: list[Any] = dataclasses.field(default_factory=list)
    # What the method was told its name scopes are called -> what they are called.
    _full_name_scopes: dict[str, str] = dataclasses.field(default_factory=dict)

    def in_name_scope(self, name: str) -> str:
        """`name` below the name scopes that the method has opened, not those around the call."""
        name_scope = tf.get_current_name_scope()
        return self._within(f"{name_scope}/{name}" if name_scope else name)

    def tf1_name_scope(self, full_name: str) -> str:
        """The name, ending in a slash, that a name scope has where the method is a TF1 graph."""
        name = self._within(full_name)
        self._full_name_scopes[name] = full_name
        return name

    def full_name_scope(self, name: str) -> str:
        """The name scope for which `tf1_name_scope` gave that name; else `name` as it is."""
        return self._full_name_scopes.get(name, name)

    def _within(self, name: str) -> str:
        return name.removeprefix(f"{self.outer_name_scope}/") if self.outer_name_scope else name

    def nested_function(self) -> FuncGraph | None:
        """The `tf.function` inside of this call that is being traced, None if there is none.

        Branches and loop bodies are no functions of their own, and a method that is a `tf.function`
        itself belongs to its object.
        """
        functions = []
        graph = ops.get_default_graph()
        while graph is not self.graph and isinstance(graph, FuncGraph):
            if not isinstance(graph, _CONTROL_FLOW):
                functions.append(graph)
            graph = graph.outer_graph
        if self.is_function:
            functions = functions[:-1]
        return functions[-1] if functions else None


class _ActiveCalls(threading.local):
    def __init__(self) -> None:
        self.calls: list[DecoratedCall] = []


_active = _ActiveCalls()


@contextlib.contextmanager
def active(call: DecoratedCall) -> Iterator[None]:
    """Makes `call` this thread's innermost one."""
    _active.calls.append(call)
    try:
        yield
    finally:
        _active.calls.pop()


def current_call() -> DecoratedCall | None:
    """The innermost decorated call that this thread is in, None outside of one."""
    return _active.calls[-1] if _active.calls else None


def current_owner() -> Any | None:
    """The innermost object whose decorated method this thread is running, None outside of one."""
    return _active.calls[-1].owner if _active.calls else None


def current_keras_layer() -> Any | None:
    """The innermost layer of Keras or tf_keras whose decorated method this thread is running.

    Its dtype policy also holds in the `tf.Module`s that it calls, which have none.
    """
    owners = (call.owner for call in reversed(_active.calls))
    return next((owner for owner in owners if _is_layer(owner)), None)


def default_dtype() -> tf.DType:
    """The dtype of variables for which TF1 code names none: TF1's, or by the policy of a layer."""
    call = current_call()
    return tf.float32 if call is None else call.policy.compute


def current_collections() -> CallCollections | None:
    """The collections of the decorated call this thread is in, None outside of one."""
    return _active.calls[-1].collections if _active.calls else None
