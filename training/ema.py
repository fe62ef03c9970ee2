"""Moving averages of all weights, as TF1's `ExponentialMovingAverage` keeps them for TF-Slim."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from .. import checkpoints

# Of a variable's name in a TF1 checkpoint.
_SUFFIX = "/ExponentialMovingAverage"


class MovingAverages:
    """Averages of a model's weights, batch norm's statistics included.

    An update keeps `min(decay, (1 + n) / (10 + n))` of the old average, n being the updates before
    it, so that early averages follow the weights; that is TF1's rule where the number of steps is
    given, as TF-Slim gives it. Keras' own averages have no such start and leave out the statistics.

    Args:
        model: A built model; its averages start at its weights.
        decay: 0 to below 1.
    """

    def __init__(self, model: keras.Model, decay: float) -> None:
        self._decay = decay
        self._variables = list(model.weights)
        self._averages = [_average_of(variable) for variable in self._variables]
        self._names = [checkpoints.tf1_name(variable) for variable in self._variables]

    def start(self) -> None:
        """Sets the averages to the weights."""
        for average, variable in zip(self._averages, self._variables, strict=True):
            average.assign(variable.value)

    def update(self, updates_before: Any, is_updated: Any) -> None:
        """Moves the averages towards the weights; to be called in the training step.

        Args:
            updates_before: Updates of the weights before this one, a scalar.
            is_updated: Whether the step has updated the weights, a scalar; if not, nothing moves.
        """
        n = keras.ops.cast(updates_before, "float32")
        moved = 1.0 - keras.ops.minimum(self._decay, (1.0 + n) / (10.0 + n))
        moved = moved * keras.ops.cast(is_updated, "float32")
        for average, variable in zip(self._averages, self._variables, strict=True):
            average.assign(average.value - moved * (average.value - variable.value))

    def swap(self) -> None:
        """Exchanges weights and averages."""
        for average, variable in zip(self._averages, self._variables, strict=True):
            weight = keras.ops.copy(variable.value)
            variable.assign(average.value)
            average.assign(weight)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Lets the model have the averages for its weights meanwhile."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def by_tf1_name(self) -> dict[str, Any]:
        """The averages' variables under the names that a TF1 checkpoint has them by."""
        averages = zip(self._names, self._averages, strict=True)
        return {f"{name}{_SUFFIX}": average.value for name, average in averages}


def _average_of(variable: keras.Variable) -> keras.Variable:
    """Makes a variable for a weight's average, which starts at the weight."""
    # Weights are the same on all replicas, statistics each replica's own, with a mean to be read.
    is_own = variable.synchronization == "on_read"
    return keras.Variable(
        keras.ops.convert_to_numpy(variable.value),  # A variable itself would be shared.
        dtype=variable.dtype,
        trainable=False,
        aggregation="mean" if is_own else "only_first_replica",
        synchronization="on_read" if is_own else "auto",
        name=f"{variable.name}_average",
    )


class TestAverages(keras.callbacks.Callback):
    """Lets a model be tested with its averages."""

    __test__ = False  # Not a test, as pytest would think.

    def __init__(self, averages: MovingAverages) -> None:
        super().__init__()
        self._averages = averages

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Takes the averages for the weights."""
        self._averages.swap()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """Takes the weights back."""
        self._averages.swap()
