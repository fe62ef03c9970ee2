"""`track_tf1_style_variables`: TF1 code inside a method of a Keras layer or `tf.Module`."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common.symbolic_scope import in_symbolic_scope
from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
from tensorflow.python.framework import ops

from .call_state import current_owner
from .decorated_call import decorated_call
from .function_methods import FunctionMethod
from .held_parts import ATTRIBUTE
from .hints import add_hint
from .holders import holder_of
from .layer_holder import LayerHolder
from .module_holder import ModuleHolder
from .tracebacks import users_frames

_log = logging.getLogger(__name__)
_DECORATE_A_METHOD = (
    "The variables belong to an object: decorate a method, with self, of a class that inherits "
    "from keras.Layer, keras.Model or tf.Module."
)


def track_tf1_style_variables(method: Callable | None = None) -> Callable:
    """Lets a method run TF1 code that makes its variables with `get_variable`.

    Inside the method `tf.compat.v1.get_variable`, `variable_scope`, `tf.compat.v1.layers` and
    TF-Slim work as in TF1, eagerly and in `tf.function`. The first call makes the variables, later
    calls get the same ones. The object tracks them: they are in `weights` and `losses` of a Keras
    layer, in `variables` of a `tf.Module`, and are saved and restored with it.

    In a TF1 graph (`tf.Graph().as_default()` with a session) the method runs as it is. Python's
    `if` and `while` stay Python's in a `tf.function` too (no AutoGraph), as TF1 code expects.

    Put this decorator above others such as `tf.function`: weights can then be loaded into an object
    that has never been called. Threads may call one object at once, first calls included. In a
    layer with a mixed policy (`"mixed_float16"`) `get_variable` keeps a float32 variable and hands
    out its value in the compute dtype where that is asked for. A variable's name follows the
    variable scope that encloses the call, as in TF1: call the object in the same scope every time.

    Where Keras first calls a layer symbolically (a functional model, `build`), a method with an
    argument `training` may run twice, the second time with `training=True`: which variables are
    trainable TF1 code may say in training only. If that second run fails, a line in the debug log
    of `shimzoo.shim.tracking` says how.

    Args:
        method: a method of a `keras.Layer`, `keras.Model` or `tf.Module`, most often `call` or
            `__call__`.

    Returns:
        The decorated method.

    Raises:
        TypeError: if the method is a generator or a coroutine, static or a class method, or not
            given; at the call, if it is no method, or its object neither a Keras layer nor a
            `tf.Module`, or a Keras `Sequential`.

    Example:
    ```python
    class Dense(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf.compat.v1.variable_scope("dense"):
                kernel = tf.compat.v1.get_variable("kernel", [inputs.shape[-1], 10])
                return tf.matmul(inputs, kernel)
    ```
    """
    if method is None:
        raise TypeError(
            "track_tf1_style_variables() takes the method that it decorates, and no options. Write "
            "it without parentheses: @track_tf1_style_variables."
        )
    if isinstance(method, type | staticmethod | classmethod) or not callable(method):
        raise TypeError(
            f"track_tf1_style_variables decorates {method!r}, which is no method of an object. "
            f"{_DECORATE_A_METHOD}"
        )
    function = getattr(method, "python_function", method)
    kinds = (inspect.isgeneratorfunction, inspect.isasyncgenfunction, inspect.iscoroutinefunction)
    if any(is_of_kind(function) for is_of_kind in kinds):
        raise TypeError(
            f"track_tf1_style_variables decorates {function.__qualname__}, a generator or "
            "coroutine: its body runs after the call has ended, when nothing keeps its variables. "
            "Decorate a method that returns all results at once."
        )
    return _TrackedMethod(method)


class _TrackedMethod:
    """The decorated method, until its class exists; then a plain function takes its place.

    Being told of the class matters for loading: Keras loads weights by walking over attributes, so
    the variables' holder must be found on objects that have never been called.
    """

    def __init__(self, method: Callable) -> None:
        if isinstance(method, Function):
            self._function: Any = FunctionMethod(
                method, functools.partial(_tracked, is_function=True)
            )
        else:
            self._function = _tracked(method)
        functools.update_wrapper(self, method)

    def __set_name__(self, owner: type, name: str) -> None:
        is_build = name == "build"
        setattr(owner, name, _BuildMethod(self._function) if is_build else self._function)
        setattr(owner, ATTRIBUTE, _HolderOnFirstAccess())

    def __get__(self, instance: Any, owner: type | None = None) -> Callable:
        return self._function.__get__(instance, owner)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # Methods don't come by here, but those that are called as `Class.method(object)`.
        has_self = bool(args) and isinstance(args[0], keras.Layer | tf.Module)
        if not has_self and ops.executing_eagerly_outside_functions():
            raise TypeError(
                f"track_tf1_style_variables decorates {self._function.__qualname__}, which was "
                f"called as a function. {_DECORATE_A_METHOD}"
            )
        return self._function(*args, **kwargs)


class _BuildMethod:
    """A decorated `build`, which Keras puts a wrapper around in every layer.

    Keras reads the arguments off its wrapper, which has them from here: without `self`.
    """

    def __init__(self, function: Callable) -> None:
        self._function = function

    def __get__(self, instance: Any, owner: type | None = None) -> Callable:
        bound = self._function.__get__(instance, owner)
        if instance is None:
            return bound

        @functools.wraps(bound)
        def build(*args: Any, **kwargs: Any) -> Any:
            return bound(*args, **kwargs)

        build.__signature__ = inspect.signature(bound)  # type: ignore[attr-defined]
        return build


class _HolderOnFirstAccess:
    """Makes an object's variable holder when it is first looked at; then the object has it."""

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if not isinstance(instance, keras.Layer | tf.Module):
            raise AttributeError(ATTRIBUTE)
        return holder_of(instance)


def _tracked(method: Callable, is_function: bool = False) -> Callable:
    @tf.autograph.experimental.do_not_convert
    @functools.wraps(method)
    def tracked_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not ops.executing_eagerly_outside_functions():
            return method(self, *args, **kwargs)
        holder = holder_of(self)
        if self is current_owner():
            holder.called.add(name)
            return method(self, *args, **kwargs)
        if name in holder.called or _is_one_of_several_replicas():
            return run_decorated(holder, self, *args, **kwargs)
        with holder.store.lock:  # Threads take turns in first calls.
            return run_decorated(holder, self, *args, **kwargs)

    def run_decorated(
        holder: LayerHolder | ModuleHolder, owner: Any, *args: Any, **kwargs: Any
    ) -> Any:
        is_first = name not in holder.called
        try:
            with decorated_call(
                owner, holder.store, method=name, is_function=is_function
            ) as this_call:
                outputs = method(owner, *args, **kwargs)
        except Exception as error:
            add_hint(error)
            error.__traceback__ = users_frames(error.__traceback__)
            raise
        if this_call.collections.made_variables or is_first:
            holder.called.add(name)
            if is_first and in_symbolic_scope() and holder.store.may_become_trainable():
                _call_in_training_too(tracked_method, owner, args, kwargs)
            with holder.store.lock:
                holder.after_call(owner)
        return outputs

    name = tracked_method.__qualname__
    # Which arguments there are: tf_keras asks in a way that sees no further than this function.
    tracked_method.__signature__ = inspect.signature(method)
    # What a weights file may hold more than the object has made depends on it.
    arguments = tracked_method.__signature__.parameters
    tracked_method.takes_training = not {"training", "is_training"}.isdisjoint(arguments)
    return tracked_method


def _is_one_of_several_replicas() -> bool:
    # They are threads that wait for each other in the middle of a call, and take turns by that.
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def _call_in_training_too(
    method: Callable, owner: Any, args: tuple, kwargs: dict[str, Any]
) -> None:
    """Repeats a call that Keras makes to have variables made, with `training=True`.

    Keras builds models, and then the optimizer, out of training. Which variables are trainable TF1
    code with `trainable=is_training` says in training only.
    """
    arguments = inspect.signature(method).bind(owner, *args, **kwargs)
    has_argument = "training" in arguments.signature.parameters
    if not has_argument or not isinstance(owner, keras.Layer):
        return
    arguments.arguments["training"] = True
    losses = list(owner._losses)
    try:
        method(*arguments.args, **arguments.kwargs)
    except Exception:  # In training it may need arguments that it wasn't given.
        _log.debug("%s with training=True", type(owner).__name__, exc_info=True)
    owner._losses[:] = losses
