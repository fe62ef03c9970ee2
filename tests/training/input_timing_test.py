"""Waiting for input is measured where it happens."""

import time

import keras
import pytest
import tensorflow as tf
from shimzoo.training import input_timing
from shimzoo.training.input_timing import InputTiming, describe_input

ELEMENTS = 8


class Work:
    """A pipeline whose elements take a second each, of a clock that only their making moves on."""

    def __init__(self):
        self.seconds = 0.0

    def clock(self):
        return tf.ensure_shape(tf.numpy_function(lambda: self.seconds, [], tf.float64), [])

    def dataset(self):
        def make(number):
            self.seconds += 1
            return number

        numbers = tf.data.Dataset.range(ELEMENTS)
        return numbers.map(lambda number: tf.numpy_function(make, [number], tf.int64))


@pytest.fixture
def work(monkeypatch):
    work = Work()
    monkeypatch.setattr(input_timing.tf, "timestamp", work.clock)
    return work


def test_a_slow_pipeline_is_waited_for(work):
    timing = InputTiming()
    assert [int(number) for number in timing.timed(work.dataset())] == list(range(ELEMENTS))
    assert timing.waited_s == ELEMENTS


def test_what_a_prefetch_has_ready_is_not_waited_for(work):
    timing = InputTiming()
    iterator = iter(timing.timed(work.dataset().prefetch(ELEMENTS)))
    next(iterator)
    waited = timing.waited_s
    while work.seconds < ELEMENTS:
        time.sleep(0.01)
    assert sum(1 for _ in iterator) == ELEMENTS - 1
    assert timing.waited_s == waited


def test_a_second_pass_adds_to_the_first(work):
    timing = InputTiming()
    dataset = timing.timed(work.dataset())
    assert [len(list(dataset)) for _ in range(2)] == [ELEMENTS, ELEMENTS]
    assert timing.waited_s == 2 * ELEMENTS


def test_what_is_measured_stays_on_the_cpu_whatever_else_is_there(monkeypatch):
    devices = []
    make = tf.Variable

    def variable(*args, **kwargs):
        devices.append(make(*args, **kwargs).device)
        return make(*args, **kwargs)

    monkeypatch.setattr(input_timing.tf, "Variable", variable)
    # Where TensorFlow would put it otherwise, as on a machine with a GPU.
    with tf.device("CPU:1"):
        InputTiming()
    assert devices
    assert all(device.endswith("/device:CPU:0") for device in devices)


def test_fit_is_measured_and_trains_as_without():
    timing = InputTiming()
    examples = tf.data.Dataset.from_tensors((tf.ones([4, 3]), tf.ones([4, 1]))).repeat(6)
    steps = {"epochs": 2, "steps_per_epoch": 3, "shuffle": False, "verbose": 0}
    losses = []
    for dataset in (examples, timing.timed(examples.prefetch(1))):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        losses.append(model.fit(dataset, **steps).history["loss"])
    assert losses[0] == losses[1]


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
