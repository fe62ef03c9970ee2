"""The same random numbers in TF1 graphs with sessions, eagerly, in functions, and from Keras 3."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import keras
import tensorflow as tf
from keras.src.backend.common import global_state as keras_global_state
from keras.src.backend.tensorflow import random as keras_random
from tensorflow.python.eager import context
from tensorflow.python.eager.polymorphic_function.polymorphic_function import (
    Function,
    UnliftedInitializerVariable,
)
from tensorflow.python.framework import ops, random_seed
from tensorflow.python.framework.func_graph import FuncGraph

MODES = ("constant", "num_random_ops")
# TensorFlow's kernels take the pair of seeds (0, 0) for "seed by chance".
_IN_PLACE_OF_TWO_ZEROS = (0, 2**31 - 1)


class DeterministicRandomTestTool:
    """Makes random ops draw the same numbers in TF1 and in TF2, to compare a model with itself.

    Inside `scope()` each random op is seeded by this tool when it is made (in a TF1 graph or a
    `tf.function`: when it is traced), whatever seeds it is given. That holds for TensorFlow's
    stateful ops (`tf.random`, `tf.nn.dropout`, TF1's initializers) and for those of Keras 3
    (`keras.random`, `keras.initializers`, `keras.layers.Dropout`), which draw the numbers of the
    stateful op of the same distribution. So a model starts with equal weights and drops equal
    units as a TF1 graph in a session, as TF1 code in a decorated layer, and as a Keras model.

    An op in a graph or `tf.function` goes on in its sequence with every run; eagerly each run is an
    op of its own. Not reached are ops that take their state themselves (`tf.random.stateless_*`,
    `tf.random.Generator`) and functions compiled by XLA, which seeds by chance: leave out
    `jit_compile`, and give Keras' `compile` False.

    Args:
        seed: the graph-level seed, an integer.
        mode: `"constant"`: all ops get the operation seed `operation_seed`, so the order of ops
            does not matter, but ops of the same kind and shape draw equal numbers.
            `"num_random_ops"`: the ops get 0, 1, 2, ... in the order in which they are made, which
            must be the same in the models compared. (A Keras functional model makes all variables
            before it drops units; a layer called directly does as TF1 did.)

    Raises:
        ValueError: another mode.

    Attributes:
        operation_seed: the seed of the next op, an integer; starts at 0, may be set.

    Example:
    ```python
    def first_outputs(layer):
        with shim.DeterministicRandomTestTool(mode="num_random_ops").scope():
            return layer(images, training=True)

    np.testing.assert_allclose(first_outputs(Shimmed()), first_outputs(Native()), rtol=1e-5)
    ```
    """

    def __init__(self, seed: int = 42, mode: str = "constant") -> None:
        if mode not in MODES:
            raise ValueError(
                f"DeterministicRandomTestTool has the modes {' and '.join(map(repr, MODES))}, got "
                f"mode={mode!r}."
            )
        self.operation_seed = 0
        self._seed = seed
        self._mode = mode
        self._used: set[int] = set()
        self._function_call: _FunctionCall | None = None

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Seeds all random ops made inside; may be entered again, and goes on counting then.

        Raises:
            ValueError: at a random op, in mode `"num_random_ops"`, if its operation seed has been
                used before.
        """
        with (
            mock.patch.object(random_seed, "get_seed", self._next_seeds),
            mock.patch.object(keras.random.SeedGenerator, "next", _next_state),
            mock.patch.multiple(keras_random, **_STATEFUL),
            self._during(Function, "_call", _FunctionCall),
            self._during(Function, "_get_concrete_function_garbage_collected", _FunctionCall),
            # A variable's initializer is traced once, and runs even if that trace is dropped.
            self._during(UnliftedInitializerVariable, "__init__", lambda: None),
        ):
            # Eager ops with equal seeds share a kernel, which goes on where the last one stopped.
            _restart_eager_ops()
            try:
                yield
            finally:
                _restart_eager_ops()

    def _during(
        self, owner: type, method_name: str, make_call: Callable[[], _FunctionCall | None]
    ) -> contextlib.AbstractContextManager:
        """Lets each call of a method have a `_FunctionCall` of its own, or none."""
        method = getattr(owner, method_name)

        def wrapped(instance: Any, *args: Any, **kwargs: Any) -> Any:
            enclosing, self._function_call = self._function_call, make_call()
            try:
                return method(instance, *args, **kwargs)
            finally:
                self._function_call = enclosing

        return mock.patch.object(owner, method_name, wrapped)

    def _next_seeds(self, given: int | None) -> tuple[int, int]:
        """Stands in for TensorFlow's `get_seed`: the seeds of the op about to be made."""
        del given
        operation_seed = self.operation_seed
        if keras_global_state.get_global_attribute("stateless_scope") is not None:
            pass  # Keras' symbolic pass, which only learns shapes: these ops never run.
        elif self._mode == "num_random_ops":
            operation_seed = self._next_unused_seed()
        elif tf.executing_eagerly():
            _restart_eager_ops()
        seeds = (self._seed, operation_seed)
        return _IN_PLACE_OF_TWO_ZEROS if seeds == (0, 0) else seeds

    def _next_unused_seed(self) -> int:
        function_call = None if tf.executing_eagerly() else self._function_call
        if function_call is not None:
            left_over = function_call.seed_of_dropped_trace()
            if left_over is not None:
                return left_over
        seed = self.operation_seed
        if seed in self._used:
            raise ValueError(
                f"Operation seed {seed} of this DeterministicRandomTestTool has been used before, "
                "so TF1 and TF2 would go different ways. Set operation_seed above all used ones "
                f"(the highest is {max(self._used)}), or take a new tool."
            )
        self._used.add(seed)
        self.operation_seed = seed + 1
        if function_call is not None:
            function_call.seeds.append(seed)
        return seed


class _FunctionCall:
    """The seeds that one call of a `tf.function` gives away while it traces.

    A call that makes variables traces twice and drops the first trace, whose ops never run. Those
    of the second one take over their seeds, so that they follow each other as in a TF1 graph.
    """

    def __init__(self) -> None:
        self.seeds: list[int] = []
        self._outside = ops.get_default_graph()
        self._trace: Any = None
        self._left_over: Iterator[int] = iter(())

    def seed_of_dropped_trace(self) -> int | None:
        trace: Any = ops.get_default_graph()
        while isinstance(trace, FuncGraph) and trace.outer_graph is not self._outside:
            trace = trace.outer_graph  # Out of the branches of conditions and loops.
        if trace is not self._trace:
            self._trace, self._left_over, self.seeds = trace, iter(self.seeds), []
        return next(self._left_over, None)


def _restart_eager_ops() -> None:
    context.context().clear_kernel_cache()


# In place of Keras' random functions, which are stateless: the stateful op of the distribution.
# Signatures are those of `keras.random`; its seeds are not heard.


def _normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> tf.Tensor:
    return tf.random.normal(shape, mean, stddev, dtype or keras.config.floatx())


def _truncated_normal(
    shape: Sequence[int],
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> tf.Tensor:
    return tf.random.truncated_normal(shape, mean, stddev, dtype or keras.config.floatx())


def _uniform(
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: Any = None,
    seed: Any = None,
) -> tf.Tensor:
    return tf.random.uniform(shape, minval, maxval, dtype or keras.config.floatx())


def _randint(
    shape: Sequence[int], minval: int, maxval: int, dtype: Any = "int32", seed: Any = None
) -> tf.Tensor:
    drawn_dtype = dtype if tf.as_dtype(dtype) in (tf.int32, tf.int64) else tf.int64
    return tf.cast(tf.random.uniform(shape, minval, maxval, drawn_dtype), dtype)


def _categorical(
    logits: tf.Tensor, num_samples: int, dtype: Any = "int64", seed: Any = None
) -> tf.Tensor:
    return tf.cast(tf.random.categorical(logits, num_samples), dtype)


def _dropout(
    inputs: tf.Tensor, rate: float, noise_shape: Any = None, seed: Any = None
) -> tf.Tensor:
    if rate == 1.0:  # Which `tf.nn.dropout` does not take.
        return tf.zeros_like(inputs)
    if noise_shape is not None:
        sizes = tf.shape(inputs)
        noise_shape = [sizes[i] if size is None else size for i, size in enumerate(noise_shape)]
    return tf.nn.dropout(inputs, rate, noise_shape)


def _shuffle(x: tf.Tensor, axis: int = 0, seed: Any = None) -> tf.Tensor:
    if axis == 0:
        return tf.random.shuffle(x)
    return tf.gather(x, tf.random.shuffle(tf.range(tf.shape(x)[axis])), axis=axis)


def _gamma(shape: Sequence[int], alpha: Any, dtype: Any = None, seed: Any = None) -> tf.Tensor:
    dtype = dtype or keras.config.floatx()
    alpha = tf.cast(alpha, dtype)
    if alpha.shape.rank == 0:
        return tf.random.gamma(shape, alpha, dtype=dtype)
    return tf.random.gamma([], tf.broadcast_to(alpha, shape), dtype=dtype)


_STATEFUL: dict[str, Any] = {
    "normal": _normal,
    "truncated_normal": _truncated_normal,
    "uniform": _uniform,
    "randint": _randint,
    "categorical": _categorical,
    "dropout": _dropout,
    "shuffle": _shuffle,
    "gamma": _gamma,
}


def _next_state(generator: keras.random.SeedGenerator, ordered: bool = True) -> tf.Tensor:
    """In place of `SeedGenerator.next`: a state [2] that is itself drawn by a stateful op."""
    del ordered
    return tf.cast(
        tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int64), generator.state.dtype
    )
