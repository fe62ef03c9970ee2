"""Moving averages against TF1's `ExponentialMovingAverage`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo.training import ema


@pytest.fixture
def net():
    inputs = keras.Input([2])
    outputs = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(3)(inputs))
    return keras.Model(inputs, outputs)


def move(net, step):
    for number, weight in enumerate(net.weights):
        values = np.random.default_rng(100 * step + number).normal(size=weight.shape)
        weight.assign(values)


@pytest.mark.parametrize("decay", [0.2, 0.9, 0.9999])
def test_averages_are_tf1s(net, decay):
    averages = ema.MovingAverages(net, decay)
    shadows = [tf.Variable(weight.numpy()) for weight in net.weights]
    steps = tf.Variable(0, dtype=tf.int64)
    of_tf1 = tf.train.ExponentialMovingAverage(decay, steps)
    of_tf1.apply(shadows)
    for step in range(15):
        move(net, step)
        for shadow, weight in zip(shadows, net.weights, strict=True):
            shadow.assign(weight.numpy())
        of_tf1.apply(shadows)
        averages.update(step, True)
        steps.assign_add(1)
    found = list(averages.by_tf1_name().values())
    assert len(found) == len(net.weights) == 6  # Statistics of batch norm as well.
    for average, shadow in zip(found, shadows, strict=True):
        np.testing.assert_allclose(average.numpy(), of_tf1.average(shadow).numpy(), rtol=1e-5)


def test_a_step_without_an_update_moves_nothing(net):
    averages = ema.MovingAverages(net, 0.5)
    before = [average.numpy() for average in averages.by_tf1_name().values()]
    move(net, 1)
    averages.update(3, False)
    for average, value in zip(averages.by_tf1_name().values(), before, strict=True):
        np.testing.assert_array_equal(average.numpy(), value)


def test_weights_come_back_as_they_were(net):
    averages = ema.MovingAverages(net, 0.5)
    move(net, 1)
    weights = [weight.numpy() for weight in net.weights]
    expected = [average.numpy() for average in averages.by_tf1_name().values()]
    with averages.in_use():
        for weight, average in zip(net.weights, expected, strict=True):
            np.testing.assert_array_equal(weight.numpy(), average)
    for weight, value in zip(net.weights, weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
