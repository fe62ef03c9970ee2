"""Graph collections that live for one decorated call.

TF1 code talks to itself through the default graph's collections (`slim.losses`, `UPDATE_OPS`,
`outputs_collections`, and `variable_scope`'s own bookkeeping). Run eagerly they would pile up in
the process' global graph, so while a decorated method runs the default graph is given a collection
store of that call's own, which is dropped at the end.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

_REGULARIZATION_LOSSES = ops.GraphKeys.REGULARIZATION_LOSSES


class CallCollections(dict):
    """The collections of one outermost decorated call.

    Regularization losses are kept as callables until somebody asks for them: most calls never do,
    and an eager forward pass should not pay for them.
    """

    def __init__(self) -> None:
        super().__init__()
        # Whether the call has made a variable, of whatever kind, and not only found them.
        self.made_variables = False
        # Automatic name of a variable scope at the root -> what it was made from.
        self.automatic_scopes: dict[str, str] = {}
        self._pending_losses: list[Callable[[], Any]] = []
        self._seen_variables: set[int] = set()
        # Name -> tensor, kept so that no other tensor of the call can get its identity.
        self._named_tensors: dict[str, tf.Tensor] = {}

    def register_variable(
        self,
        variable: Any,
        collections: list[str] | None,
        trainable: bool,
        regularization_loss: Callable[[], Any] | None,
    ) -> None:
        """Enters a variable as TF1 does on creation, the first time this call meets it."""
        if self.has_met(variable):
            return
        self._seen_variables.add(id(variable))
        names = [ops.GraphKeys.GLOBAL_VARIABLES] if collections is None else list(collections)
        if trainable and ops.GraphKeys.TRAINABLE_VARIABLES not in names:
            names.append(ops.GraphKeys.TRAINABLE_VARIABLES)
        for name in names:
            self.setdefault(name, []).append(variable)
        if regularization_loss is not None:
            self._pending_losses.append(regularization_loss)

    def has_met(self, variable: Any) -> bool:
        """Whether the call has asked for the variable before."""
        return id(variable) in self._seen_variables

    def tensor_name(self, tensor: tf.Tensor, wanted: str) -> str:
        """A name for an eager tensor, of its own in this call: `wanted`, or that with a number."""
        for name, named in self._named_tensors.items():
            if named is tensor:
                return name
        numbered = (f"{wanted}_{number}" for number in itertools.count(1))
        name = next(n for n in itertools.chain([wanted], numbered) if n not in self._named_tensors)
        self._named_tensors[name] = tensor
        return name

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


_graph_lock = threading.Lock()


@contextlib.contextmanager
def own_collections(graph: ops.Graph) -> Iterator[CallCollections]:
    """Gives this thread collections of its own in `graph`."""
    with _graph_lock:
        if not isinstance(graph._collections, _PerThreadCollections):
            graph._collections = _PerThreadCollections(graph._collections)
        per_thread = graph._collections
        per_thread.calls += 1
    collections = CallCollections()
    per_thread.enter(collections)
    try:
        yield collections
    finally:
        per_thread.exit()
        with _graph_lock:
            per_thread.calls -= 1
            if per_thread.calls == 0:
                graph._collections = per_thread.outside


@contextlib.contextmanager
def collection_set_to(key: Any, value: Any) -> Iterator[None]:
    """Makes `value` the one member of a collection."""
    # In place: function graphs made inside the call hold a reference to these very lists.
    collection = ops.get_collection_ref(key)
    before = list(collection)
    collection[:] = [value]
    try:
        yield
    finally:
        collection[:] = before
