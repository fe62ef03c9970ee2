"""Batch norm as TF1 code writes it by hand: moving averages of the moments of its inputs."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
RANDOM = np.random.default_rng(0)
BATCHES = [RANDOM.normal(size=(4, 3)).astype("float32") for _ in range(3)]
both_ways = pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])


def batch_norm(inputs, is_training, decay=0.5):
    mean, variance = tf.nn.moments(inputs, [0])
    average = tf.train.ExponentialMovingAverage(decay=decay)

    def updated():
        with tf.control_dependencies([average.apply([mean, variance])]):
            return tf.identity(mean), tf.identity(variance)

    def kept():
        return tf.identity(average.average(mean)), tf.identity(average.average(variance))

    mean, variance = tf.cond(is_training, updated, kept)
    return tf.nn.batch_normalization(inputs, mean, variance, None, None, 1e-3)


def net(inputs, is_training):
    with tf1.variable_scope("first", regularizer=keras.regularizers.L2(0.1)):
        inputs = batch_norm(inputs, is_training)
    with tf1.variable_scope("second"):
        return batch_norm(2.0 * inputs + 1.0, is_training, decay=0.9)


class Layer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        return net(inputs, tf.cast(training, tf.bool))


@pytest.fixture(scope="module")
def in_session():
    """Outputs in training, batch by batch, then out of training; and the averages."""
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = tf1.placeholder(tf.float32, [4, 3])
        is_training = tf1.placeholder(tf.bool, [])
        outputs = net(inputs, is_training)
        session.run(tf1.global_variables_initializer())
        runs = [session.run(outputs, {inputs: x, is_training: True}) for x in BATCHES]
        runs.append(session.run(outputs, {inputs: BATCHES[0], is_training: False}))
        return runs, session.run(tf1.global_variables())


@both_ways
@pytest.mark.parametrize("first_call", [True, False], ids=["train first", "infer first"])
def test_g05_averages_of_tensors_are_those_of_a_session(in_session, wrap, first_call):
    expected, averages = in_session
    layer = Layer()
    call = wrap(lambda x, training: layer(x, training=training))
    if not first_call:
        call(BATCHES[0], tf.constant(False))
    outputs = [call(x, tf.constant(True)) for x in BATCHES]
    outputs.append(call(BATCHES[0], tf.constant(False)))
    for ours, theirs in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert [v.path for v in layer.weights] == [
        "first/ExponentialMovingAverage",
        "first/ExponentialMovingAverage_1",
        "second/ExponentialMovingAverage",
        "second/ExponentialMovingAverage_1",
    ]
    for ours, theirs in zip(layer.weights, averages, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    assert layer.trainable_weights == []
    assert layer.losses == []


def test_g05_eager_calls_and_functions_share_the_averages():
    layer = Layer()
    layer(BATCHES[0], training=True)
    tf.function(lambda x: layer(x, training=True))(BATCHES[1])
    assert len(layer.weights) == 4


@both_ways
def test_g07_averages_of_tensors_under_a_strategy(wrap):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = Layer()

    def replica_step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return layer(tf.gather(np.stack(BATCHES[:2]), replica), training=True)

    wrap(lambda: strategy.run(replica_step))()
    means = np.mean([x.mean(0) for x in BATCHES[:2]], 0)
    np.testing.assert_allclose(layer.weights[0].numpy(), means / 2, rtol=1e-5)


@both_ways
def test_mixed_precision_keeps_averages_in_float32(wrap):
    layer = Layer(dtype="mixed_bfloat16")
    call = wrap(lambda x: layer(x, training=True))
    assert call(BATCHES[0]).dtype == tf.bfloat16
    assert {v.dtype for v in layer.weights} == {"float32"}


@both_ways
def test_g05_num_updates_and_variables_beside_tensors(wrap):
    class Both(tf.Module):
        def __init__(self):
            super().__init__()
            self.average = tf.train.ExponentialMovingAverage(0.9, num_updates=0)

        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            scale = tf1.get_variable("scale", [3], initializer=tf1.ones_initializer())
            with tf.control_dependencies([self.average.apply([scale, inputs])]):
                return tf.identity(self.average.average(inputs))

    module = Both()
    call = wrap(lambda x: module(x))
    call(BATCHES[0])
    np.testing.assert_allclose(call(BATCHES[0]), BATCHES[0] * 0.99, rtol=1e-5)
    assert len(module.average._averages) == 1


def test_g19_a_correction_for_the_start_at_zero_is_refused():
    class Corrects(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            tf.train.ExponentialMovingAverage(0.9, zero_debias=True).apply([inputs])

    with pytest.raises(ValueError, match=r"ExponentialMovingAverage: .* Leave zero_debias out"):
        Corrects()(BATCHES[0])
