"""What is true while a decorated method runs: its variable store, names and collections."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops import variable_scope

from . import call_state
from .call_collections import collection_set_to, own_collections
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
    with contextlib.ExitStack() as stack:
        graph, enclosing_scope = ops.get_default_graph(), _enclosing_variable_scope()
        collections = call_state.current_collections()
        if collections is None:
            stack.enter_context(tf1_behaviour())
            collections = stack.enter_context(own_collections(graph))
        enclosing_default = call_state.default_dtype()
        stack.enter_context(collection_set_to(variable_scope._VARSTORE_KEY, store))
        scopes = variable_scope._VariableScopeStore()
        call = call_state.DecoratedCall(owner, method, graph, collections, scopes, is_function)
        stack.enter_context(call_state.active(call))
        scopes.current_scope = _root_scope(enclosing_scope, enclosing_default)
        stack.enter_context(collection_set_to(variable_scope._VARSCOPESTORE_KEY, scopes))
        plain_variables = PlainVariables(store, call)
        stack.callback(plain_variables.close)
        stack.enter_context(tf.variable_creator_scope(plain_variables.create))
        yield call


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
    return stores[0].current_scope if stores else None
