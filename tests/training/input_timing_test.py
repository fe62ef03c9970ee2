"""Waiting for input is measured where it happens."""

import time

import pytest
import tensorflow as tf
from shimzoo.training.input_timing import InputTiming, describe_input

PAUSE_S = 0.05
ELEMENTS = 8


def slow(_):
    time.sleep(PAUSE_S)
    return 1


def slow_dataset():
    numbers = tf.data.Dataset.range(ELEMENTS)
    return numbers.map(lambda n: (n, tf.numpy_function(slow, [n], tf.int64)))


def test_a_slow_pipeline_is_waited_for():
    timing = InputTiming()
    seen = [int(number) for number, _ in timing.timed(slow_dataset())]
    assert seen == list(range(ELEMENTS))
    assert timing.elements == ELEMENTS
    assert timing.waited_s >= PAUSE_S * ELEMENTS


def test_what_a_prefetch_has_ready_is_not_waited_for():
    timing = InputTiming()
    iterator = iter(timing.timed(slow_dataset().prefetch(ELEMENTS)))
    next(iterator)
    first = timing.waited_s
    time.sleep(PAUSE_S * ELEMENTS * 2)
    assert sum(1 for _ in iterator) == ELEMENTS - 1
    # Less than one of the seven pauses that were slept through meanwhile.
    assert timing.waited_s - first < PAUSE_S


def test_a_second_pass_adds_to_the_first():
    timing = InputTiming()
    dataset = timing.timed(tf.data.Dataset.range(5))
    assert [len(list(dataset)) for _ in range(2)] == [5, 5]
    assert timing.elements == 10


@pytest.mark.parametrize(
    ("waited_s", "total_s", "text"),
    [
        (0.0, 10.0, "input 0 % of the time"),
        (0.5, 10.0, "input 5 % of the time"),
        (6.0, 10.0, "input-bound: input 60 % of the time"),
        (11.0, 10.0, "input-bound: input 100 % of the time"),
    ],
)
def test_the_share_is_told_and_what_it_means(waited_s, total_s, text):
    assert describe_input(waited_s, total_s) == text
