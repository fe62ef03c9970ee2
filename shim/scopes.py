"""Variable scopes that keep TF1's semantics when TensorFlow runs eagerly."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.ops.variable_scope import VariableScope as _PlainVariableScope

from .call_state import current_call


class _OfAnyVariableScope(type):
    """TensorFlow tells scopes from names by `isinstance`; scopes made outside must pass too."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _PlainVariableScope)


class TF1VariableScope(_PlainVariableScope, metaclass=_OfAnyVariableScope):
    """TensorFlow's variable scope, without what it drops eagerly: `reuse` and `caching_device`.

    The arguments are those of `tf.compat.v1.VariableScope`. Outside of decorated calls that is what
    is made.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and current_call() is None:  # Another thread; a copy is made without arguments.
            return _PlainVariableScope(*args, **kwargs)
        return super().__new__(cls)

    def __init__(self, reuse: Any, *args: Any, caching_device: Any = None, **kwargs: Any) -> None:
        super().__init__(reuse, *args, **kwargs)
        self._reuse = reuse
        self._caching_device = caching_device
        call, name_scope = current_call(), self.original_name_scope
        if call is not None and name_scope.endswith("/"):
            self._name_scope = call.tf1_name_scope(name_scope)

    def set_caching_device(self, caching_device: Any) -> None:
        self._caching_device = caching_device

    def get_variable(
        self,
        var_store: Any,
        name: str,
        dtype: Any = None,
        initializer: Any = None,
        reuse: Any = None,
        **arguments: Any,
    ) -> tf.Variable:
        """Asks the store for the variable `name` of this scope, with the scope's defaults."""
        if not ops.executing_eagerly_outside_functions():
            return super().get_variable(
                var_store, name, dtype=dtype, initializer=initializer, reuse=reuse, **arguments
            )
        defaults: dict[str, Any] = {
            "regularizer": self._regularizer,
            "caching_device": self._caching_device,
            "partitioner": self._partitioner,
            "custom_getter": self._custom_getter,
            "constraint": self._constraint,
        }
        for argument, default in defaults.items():
            if arguments.get(argument) is None:
                arguments[argument] = default
        is_recipe = callable(initializer) or isinstance(initializer, str)
        if dtype is not None and initializer is not None and not is_recipe:
            initializer = tf.convert_to_tensor(initializer)
            if initializer.dtype.base_dtype != tf.as_dtype(dtype).base_dtype:
                raise ValueError(
                    f"Variable {name}: its initializer is of dtype {initializer.dtype.name}, but "
                    f"dtype={tf.as_dtype(dtype).name} is asked for. Give both the same dtype."
                )
        return var_store.get_variable(
            f"{self._name}/{name}" if self._name else name,
            dtype=self._dtype if dtype is None else dtype,
            initializer=self._initializer if initializer is None else initializer,
            reuse=self._reuse if reuse is None else reuse,
            **arguments,
        )
