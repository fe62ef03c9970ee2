"""How long a run waits for its input."""

from __future__ import annotations

import tensorflow as tf

# Above this share of the time, faster input would make the run faster.
_INPUT_BOUND_SHARE = 0.1


class InputTiming:
    """Measures how long whoever reads a dataset waits for its elements.

    The clock is read in front of and behind each element's fetching, inside `tf.data`: what a
    prefetch has ready costs no time. To be made outside of a strategy's scope.
    """

    def __init__(self) -> None:
        # Where `tf.data` runs: on a GPU each element would wait for a copy.
        with tf.device("CPU:0"):
            self._waited_s = tf.Variable(0.0, trainable=False, dtype=tf.float64)

    @property
    def waited_s(self) -> float:
        """Seconds waited so far."""
        return float(self._waited_s.numpy())

    def timed(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        """The same dataset, measured.

        Args:
            dataset: Any; its last step should be a prefetch.

        Returns:
            A dataset of the same elements in the same order.
        """
        clock = tf.data.Dataset.counter().map(lambda _: tf.timestamp())
        # A zip fetches from its datasets one after the other.
        timed = tf.data.Dataset.zip(clock, dataset, clock).map(self._add)
        options = tf.data.Options()
        # A prefetch behind the clocks would measure itself.
        options.experimental_optimization.inject_prefetch = False
        return timed.with_options(options)

    def _add(self, begin: tf.Tensor, element: object, end: tf.Tensor) -> object:
        with tf.control_dependencies([self._waited_s.assign_add(end - begin)]):
            return tf.nest.map_structure(tf.identity, element)


def describe_input(waited_s: float, total_s: float) -> str:
    """Says what the waiting means.

    Args:
        waited_s: Seconds waited for input.
        total_s: Seconds that the steps took in all, waiting included, above 0.

    Returns:
        A short text, such as `input 3 % of the time` or `input-bound: input 60 % of the time`.
    """
    share = min(waited_s / total_s, 1.0)
    text = f"input {share:.0%} of the time".replace("%", " %")
    return f"input-bound: {text}" if share > _INPUT_BOUND_SHARE else text
