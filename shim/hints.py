"""What to do about errors of TensorFlow's that don't say it, where TF1 code meets them."""

from __future__ import annotations

import sys
from typing import Any

from tensorflow.python.client import session
from tensorflow.python.framework import ops
from tensorflow.python.framework.func_graph import FuncGraph
from tensorflow.python.ops import gen_array_ops

from .call_state import current_call
from .user_code import is_users

_FEED = "Nothing is fed inside of a decorated method: make it an argument of the method."
_INSTALL = "TF1's layers and TF-Slim are there after shim.install(), called before their import."
_CELLS = (
    "TF1's cells are left out of the shim: write the cell with get_variable, or take Keras' by "
    'get_or_create_layer("cell", lambda: keras.layers.LSTMCell(...)).'
)
_HINTS: list[tuple[type[Exception], tuple[str, ...], str]] = [
    (RuntimeError, ("tf.placeholder() is not compatible with eager execution",), _FEED),
    (AttributeError, ("RNNCell` is not", "LSTMCell` is not", "GRUCell` is not"), _CELLS),
    (AttributeError, ("is not available with Keras 3",), _INSTALL),
    (AttributeError, ("'keras.utils' has no attribute 'get_or_create_layer'",), _INSTALL),
    (ImportError, ("tf_keras.legacy_tf_layers", "tensorflow.python.keras.legacy"), _INSTALL),
]


def add_hint(error: Exception) -> None:
    """Adds to an error's message what to do about it, if it is one that TF1 code often meets."""
    message = str(error)
    for kind, parts, hint in _HINTS:
        if isinstance(error, kind) and any(part in message for part in parts):
            if hint not in message:
                error.args = (f"{message.rstrip('.')}. {hint}",)
                if isinstance(error, ImportError):
                    error.msg = error.args[0]
            return


def _placeholder(*args: Any, **kwargs: Any) -> Any:
    """`tf.compat.v1.placeholder` in a `tf.function`, which would only fail once it is called."""
    is_in_function = isinstance(ops.get_default_graph(), FuncGraph)
    if is_in_function and current_call() is not None and is_users(sys._getframe(2)):
        raise RuntimeError(f"tf.placeholder() was called in a tf.function. {_FEED}")
    return _PLACEHOLDER(*args, **kwargs)


def _make_session(
    made: session.BaseSession, target: str = "", graph: Any = None, config: Any = None
) -> None:
    call = current_call()
    if call is not None and graph is None and ops.executing_eagerly_outside_functions():
        made._session = None  # Its `__del__` looks at this.
        raise RuntimeError(
            "tf.compat.v1.Session() was called in a decorated method of "
            f"{type(call.owner).__name__}, where no graph is there to run: tensors have their "
            "values. Leave the session out, and make what was fed arguments of the method."
        )
    _MAKE_SESSION(made, target, graph, config)


_PLACEHOLDER = gen_array_ops.placeholder
_MAKE_SESSION = session.BaseSession.__init__
# As those of `eager_tf1`.
REPLACEMENTS: list[tuple[Any, str, Any]] = [
    (gen_array_ops, "placeholder", _placeholder),
    (session.BaseSession, "__init__", _make_session),
]
