"""What is true while a decorated method runs: its variable store, names and collections."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import variable_scope

from . import call_state
from .call_collections import CallCollections, collection_set_to, own_collections
from .eager_tf1 import tf1_behaviour
from .plain_variables import PlainVariables
from .variable_store import VariableStore


@contextlib.contextmanager
def decorated_call(
    owner: Any, store: VariableStore, *, method: str, is_function: bool
) -> Iterator[call_state.DecoratedCall]:
    """Makes `store` TF1's variable store for a decorated call of `owner`.

    Automatic names start anew with every call, below the enclosing variable scope; so the same
    forward pass always asks for the same names.

    Args:
        owner: the object whose method runs.
        store: the store of its variables.
        method: the method's full name.
        is_function: whether the method is a `tf.function`.
    """
    graph, enclosing_scope = ops.get_default_graph(), _enclosing_variable_scope()
    enclosing_default, policy = call_state.default_dtype(), call_state.policy_of(owner)
    with _collections(graph) as collections:
        scopes = variable_scope._VariableScopeStore()
        call = call_state.DecoratedCall(
            owner,
            method,
            graph,
            collections,
            scopes,
            is_function,
            policy,
            functools.partial(_resumed_call, owner, store, method, policy),
        )
        with _running(call, store):
            scopes.current_scope = _root_scope(enclosing_scope, enclosing_default)
            yield call


@contextlib.contextmanager
def _resumed_call(
    owner: Any,
    store: VariableStore,
    method: str,
    policy: call_state.DTypes,
    scope_counts: dict[str, int],
) -> Iterator[None]:
    """The state of a call for what it has put off, its gradient functions; it may be over.

    As in TF1, where gradients are taken of the whole network, no variable scope is open. But scopes
    are numbered from where the call was, so that what is computed again has the same automatic
    names again.

    Args:
        owner: the object whose method ran.
        store: the store of its variables.
        method: the method's full name.
        policy: the call's dtypes.
        scope_counts: the number of variable scopes that the call had opened by each name.
    """
    losses = list(owner._losses) if isinstance(owner, keras.Layer) else None
    graph = ops.get_default_graph()
    with _collections(graph) as collections:
        scopes = variable_scope._VariableScopeStore()
        resumed = functools.partial(_resumed_call, owner, store, method, policy)
        call = call_state.DecoratedCall(
            owner, method, graph, collections, scopes, False, policy, resumed
        )
        with _running(call, store):
            scopes.current_scope = _root_scope(None, policy.compute)
            scopes.variable_scopes_count = dict(scope_counts)
            yield
    if losses is not None:  # They have been added by the forward pass.
        owner._losses[:] = losses


@contextlib.contextmanager
def _collections(graph: ops.Graph) -> Iterator[CallCollections]:
    """The collections of this thread's outermost decorated call; begins them if there is none."""
    collections = call_state.current_collections()
    if collections is not None:
        yield collections
        return
    with tf1_behaviour(), own_collections(graph) as collections:
        yield collections


@contextlib.contextmanager
def _running(call: call_state.DecoratedCall, store: VariableStore) -> Iterator[None]:
    plain_variables = PlainVariables(store, call)
    with (
        collection_set_to(variable_scope._VARSTORE_KEY, store),
        call_state.active(call),
        collection_set_to(variable_scope._VARSCOPESTORE_KEY, call.scopes),
        contextlib.ExitStack() as stack,
        tf.variable_creator_scope(plain_variables.create),
    ):
        stack.callback(plain_variables.close)
        yield


def _root_scope(
    enclosing_scope: variable_scope.VariableScope | None, enclosing_default: tf.DType
) -> variable_scope.VariableScope:
    """The variable scope that a call starts in: the enclosing one, with the call's default dtype.

    A dtype that the enclosing code set on its scope goes on.
    """
    scope = enclosing_scope or variable_scope.VariableScope(False, dtype=enclosing_default)
    dtype = call_state.default_dtype()
    if scope.dtype == enclosing_default != dtype:
        scope = copy.copy(scope)
        scope.set_dtype(dtype)
    return scope


def _enclosing_variable_scope() -> variable_scope.VariableScope | None:
    # Read without `get_variable_scope_store`, which would leave a store behind in the graph.
    stores = ops.get_collection(variable_scope._VARSCOPESTORE_KEY)
    if not stores:
        return None
    scope = stores[0].current_scope
    if call_state.current_call() is None and scope.reuse is variable_scope.AUTO_REUSE:
        # What TensorFlow makes of any `reuse` outside of decorated calls, at the root as well.
        scope = copy.copy(scope)
        scope._reuse = False
    return scope
