"""Batch norm that goes into a depthwise convolution: the same numbers, in fewer operations."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import models
from shimzoo.models.batch_norm import BatchNorm
from shimzoo.models.mobilenet.depthwise import normalized_depthwise_conv

CHANNELS = 5
KERNEL = np.random.default_rng(0).normal(size=(3, 3, CHANNELS, 1)).astype(np.float32)
IMAGES = np.random.default_rng(1).normal(2.0, size=(4, 9, 8, CHANNELS)).astype(np.float32)
STRIDES_AND_RATES = [(1, 1), (2, 1), ((2, 2), (1, 1)), (1, 2)]


def make(**options):
    layer = BatchNorm(**{"momentum": 0.9, "epsilon": 1e-3, "scale": True} | options)
    layer.build(IMAGES.shape)
    random = np.random.default_rng(2)
    for weight in layer.weights:
        weight.assign(random.uniform(0.5, 2.0, CHANNELS))
    return layer


def convolved_by_tensorflow(stride, rate):
    stride, rate = (np.broadcast_to(value, 2) for value in (stride, rate))
    return tf.nn.depthwise_conv2d(IMAGES, KERNEL, [1, *stride, 1], "SAME", dilations=rate)


@pytest.mark.parametrize(("stride", "rate"), STRIDES_AND_RATES)
@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_inference_is_the_convolution_and_then_batch_norm(stride, rate, options):
    layer = make(**options)
    expected = layer(convolved_by_tensorflow(stride, rate), training=False)
    actual = normalized_depthwise_conv(IMAGES, KERNEL, stride, rate, layer, training=False)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("stride", "rate"), STRIDES_AND_RATES)
def test_training_is_the_convolution_and_then_batch_norm(stride, rate):
    layer, other = make(), make()
    expected = other(convolved_by_tensorflow(stride, rate), training=True)
    actual = normalized_depthwise_conv(IMAGES, KERNEL, stride, rate, layer, training=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)
    for moved, expected in zip(layer.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(moved, expected, rtol=1e-6)


def test_in_training_a_frozen_norm_keeps_its_averages():
    layer, other = make(trainable=False), make(trainable=False)
    expected = other(convolved_by_tensorflow(1, 1), training=False)
    actual = normalized_depthwise_conv(IMAGES, KERNEL, 1, 1, layer, training=True)
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-6)
    for kept, expected in zip(layer.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, expected)


@pytest.mark.parametrize("training", [False, True])
def test_half_precision_is_the_convolution_and_then_batch_norm(training):
    layer, other = make(dtype="mixed_bfloat16"), make(dtype="mixed_bfloat16")
    images, kernel = (tf.cast(value, tf.bfloat16) for value in (IMAGES, KERNEL))
    convolved = tf.nn.depthwise_conv2d(images, kernel, [1, 1, 1, 1], "SAME")
    actual = normalized_depthwise_conv(images, kernel, 1, 1, layer, training)
    assert actual.dtype == tf.bfloat16
    np.testing.assert_array_equal(actual, other(convolved, training=training))


def test_the_gradients_in_inference_are_those_of_both_parts():
    layer, kernel = make(), tf.Variable(KERNEL)
    weights = [kernel, layer.gamma.value, layer.beta.value]

    def gradients(forward):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(forward()))
        return tape.gradient(loss, weights)

    def in_two():
        convolved = tf.nn.depthwise_conv2d(IMAGES, kernel, [1, 1, 1, 1], "SAME")
        return layer(convolved, training=False)

    actual = gradients(lambda: normalized_depthwise_conv(IMAGES, kernel, 1, 1, layer, False))
    for gradient, expected in zip(actual, gradients(in_two), strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)


def test_inference_has_batch_norm_behind_full_convolutions_alone():
    model = models.create("mobilenet_v1_0.25_128", "native")

    def operations(training):
        images = tf.TensorSpec([1, 96, 96, 3])
        function = tf.function(lambda images: model(images, training=training))
        return [op.type for op in function.get_concrete_function(images).graph.get_operations()]

    training, inference = operations(True), operations(False)
    depthwise = inference.count("DepthwiseConv2dNative")
    assert depthwise > 0
    norms = training.count("FusedBatchNormV3")
    assert inference.count("FusedBatchNormV3") == norms - depthwise


def test_a_models_input_may_be_symbolic():
    layer = make()
    inputs = keras.Input(IMAGES.shape[1:])
    assert normalized_depthwise_conv(inputs, KERNEL, 2, 1, layer, False).shape == (None, 5, 4, 5)
