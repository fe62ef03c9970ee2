"""Decorated methods that are `tf.function`s themselves."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function


class FunctionMethod:
    """The decorated method of a class: for each object a `tf.function` of its own, as ever.

    Args:
        function: the method.
        tracked: lets a callable `(object, *arguments)` run as a decorated method of the object.
    """

    def __init__(self, function: Function, tracked: Callable[[Callable], Callable]) -> None:
        self._function = function
        self._call = tracked(self._running(Function.__call__))
        self._trace = tracked(self._running(Function.get_concrete_function))
        functools.update_wrapper(self, self._call)

    def _running(self, run: Callable) -> Callable:
        @functools.wraps(self._function.python_function)
        def running(owner: Any, *args: Any, **kwargs: Any) -> Any:
            return run(self._function.__get__(owner, type(owner)), *args, **kwargs)

        return running

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = self._function.__get__(instance, owner)
        if not isinstance(bound, _BoundFunction):
            # TensorFlow makes it, and keeps it as long as the object lives.
            bound.__class__ = _BoundFunction
            bound.decorate(instance, self._call, self._trace)
        return bound

    def __call__(self, owner: Any, *args: Any, **kwargs: Any) -> Any:
        return self._call(owner, *args, **kwargs)


class _BoundFunction(Function):
    """An object's `tf.function`, which is called and traced in decorated calls of the object."""

    _owner: weakref.ref
    _decorated_call: Callable
    _decorated_trace: Callable

    def decorate(self, owner: Any, call: Callable, trace: Callable) -> None:
        """Takes up the object and how the function runs in its decorated calls."""
        self._owner = weakref.ref(owner)
        self._decorated_call = call
        self._decorated_trace = trace

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._decorated_call(self._owner(), *args, **kwargs)

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> Any:
        return self._decorated_trace(self._owner(), *args, **kwargs)
