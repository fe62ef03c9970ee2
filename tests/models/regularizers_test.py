"""The zoo's L2 is Keras', and half of a Slim scale gives what Slim's gives."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_slim as slim
from shimzoo.models.regularizers import L2


def weights_of(shape, dtype):
    values = np.random.default_rng(0).normal(size=shape)
    return keras.Variable(values, dtype=dtype)


def loss_and_gradient(regularizer, weights):
    with tf.GradientTape() as tape:
        loss = regularizer(weights)
    return loss.numpy(), tape.gradient(loss, weights.value).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (5,), (3, 3, 16, 8)])
def test_penalty_and_gradient_are_those_of_keras(shape, dtype):
    weights = weights_of(shape, dtype)
    loss, gradient = loss_and_gradient(L2(0.3), weights)
    expected, expected_gradient = loss_and_gradient(keras.regularizers.L2(0.3), weights)
    assert loss.dtype == dtype
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-6)


def test_half_of_slims_scale_is_slims_loss():
    weights = weights_of((3, 3, 4, 8), "float32")
    expected = slim.l2_regularizer(0.1)(weights.value)
    np.testing.assert_allclose(L2(0.05)(weights), expected, rtol=1e-6)


def test_a_saved_one_is_the_same():
    copy = keras.regularizers.deserialize(keras.regularizers.serialize(L2(0.25)))
    assert type(copy) is L2
    assert copy.l2 == 0.25
