"""Graph collections that live for one decorated call.

TF1 code talks to itself through the default graph's collections (`slim.losses`, `UPDATE_OPS`,
`outputs_collections`, and `variable_scope`'s own bookkeeping). Run eagerly they would pile up in
the process' global graph, so while a decorated method runs the default graph is given a collection
store of that call's own, which is dropped at the end.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from tensorflow.python.framework import ops
from tensorflow.python.ops import variable_scope

from .scopes import tf1_variable_scopes

_REGULARIZATION_LOSSES = ops.GraphKeys.REGULARIZATION_LOSSES


class CallCollections(dict):
    """The collections of one outermost decorated call.

    Regularization losses are kept as callables until somebody asks for them: most calls never do,
    and an eager forward pass should not pay for them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pending_losses: list[Callable[[], Any]] = []
        self._seen_variables: set[int] = set()

    def register_variable(
        self,
        variable: Any,
        collections: list[str] | None,
        trainable: bool,
        regularization_loss: Callable[[], Any] | None,
    ) -> None:
        """Enters a variable as TF1 does on creation, the first time this call meets it."""
        if id(variable) in self._seen_variables:
            return
        self._seen_variables.add(id(variable))
        names = list(collections) if collections else [ops.GraphKeys.GLOBAL_VARIABLES]
        if trainable and ops.GraphKeys.TRAINABLE_VARIABLES not in names:
            names.append(ops.GraphKeys.TRAINABLE_VARIABLES)
        for name in names:
            self.setdefault(name, []).append(variable)
        if regularization_loss is not None:
            self._pending_losses.append(regularization_loss)

    def compute_pending_losses(self) -> None:
        pending, self._pending_losses = self._pending_losses, []
        if pending:
            self.setdefault(_REGULARIZATION_LOSSES, []).extend(loss() for loss in pending)


class _PerThreadCollections(MutableMapping):
    """Stands in for a graph's collections: each thread inside a decorated call sees its call's.

    Threads matter because `MirroredStrategy` runs its replicas in threads that share one graph and
    take turns in the middle of a forward pass.
    """

    def __init__(self, outside: dict) -> None:
        self.outside = outside
        self.calls = 0
        self._local = threading.local()

    @property
    def _current(self) -> dict:
        return getattr(self._local, "collections", self.outside)

    def enter(self, collections: CallCollections) -> None:
        self._local.collections = collections

    def exit(self) -> None:
        del self._local.collections

    def __getitem__(self, key: Any) -> list:
        current = self._current
        if key == _REGULARIZATION_LOSSES and isinstance(current, CallCollections):
            current.compute_pending_losses()
        return current[key]

    def __setitem__(self, key: Any, value: list) -> None:
        self._current[key] = value

    def __delitem__(self, key: Any) -> None:
        del self._current[key]

    def __iter__(self) -> Iterator:
        return iter(self._current)

    def __len__(self) -> int:
        return len(self._current)


class _ActiveCalls(threading.local):
    def __init__(self) -> None:
        self.collections: CallCollections | None = None
        self.owners: list[Any] = []


_active = _ActiveCalls()
_graph_lock = threading.Lock()


def current_collections() -> CallCollections | None:
    """The collections of the decorated call this thread is in, None outside of one."""
    return _active.collections


def current_owner() -> Any | None:
    """The innermost object whose decorated method this thread is running, None outside of one."""
    return _active.owners[-1] if _active.owners else None


@contextlib.contextmanager
def decorated_call(owner: Any, store: variable_scope._VariableStore) -> Iterator[None]:
    """Makes `store` TF1's variable store for a decorated call of `owner`.

    Automatic names start anew with every call, below the enclosing variable scope; so the same
    forward pass always asks for the same names.
    """
    with contextlib.ExitStack() as stack:
        enclosing_scope = _enclosing_variable_scope()
        if _active.collections is None:
            stack.enter_context(tf1_variable_scopes())
            stack.enter_context(_own_collections(ops.get_default_graph()))
        scopes = variable_scope._VariableScopeStore()
        if enclosing_scope is not None:
            scopes.current_scope = enclosing_scope
        stack.enter_context(_collection_set_to(variable_scope._VARSTORE_KEY, store))
        stack.enter_context(_collection_set_to(variable_scope._VARSCOPESTORE_KEY, scopes))
        _active.owners.append(owner)
        try:
            yield
        finally:
            _active.owners.pop()


def _enclosing_variable_scope() -> variable_scope.VariableScope | None:
    # Read without `get_variable_scope_store`, which would leave a store behind in the graph.
    stores = ops.get_collection(variable_scope._VARSCOPESTORE_KEY)
    return stores[0].current_scope if stores else None


@contextlib.contextmanager
def _own_collections(graph: ops.Graph) -> Iterator[None]:
    with _graph_lock:
        if not isinstance(graph._collections, _PerThreadCollections):
            graph._collections = _PerThreadCollections(graph._collections)
        per_thread = graph._collections
        per_thread.calls += 1
    _active.collections = CallCollections()
    per_thread.enter(_active.collections)
    try:
        yield
    finally:
        per_thread.exit()
        _active.collections = None
        with _graph_lock:
            per_thread.calls -= 1
            if per_thread.calls == 0:
                graph._collections = per_thread.outside


@contextlib.contextmanager
def _collection_set_to(key: Any, value: Any) -> Iterator[None]:
    # In place: function graphs made inside the call hold a reference to these very lists.
    collection = ops.get_collection_ref(key)
    before = list(collection)
    collection[:] = [value]
    try:
        yield
    finally:
        collection[:] = before
