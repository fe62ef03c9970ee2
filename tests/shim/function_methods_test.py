"""A decorated method that is a `tf.function`, the decorator above `tf.function`."""

import copy
import gc
import logging
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
INPUTS = np.ones([2, 3], "float32")
SIGNATURE = tf.TensorSpec([None, 3])


class Module(tf.Module):
    @shim.track_tf1_style_variables
    @tf.function
    def __call__(self, inputs):
        with tf1.variable_scope("net"):
            return inputs * tf1.get_variable("scale", [3])


class WithSignature(tf.Module):
    @shim.track_tf1_style_variables
    @tf.function(input_signature=[SIGNATURE])
    def __call__(self, inputs):
        with tf1.variable_scope("net"):
            return inputs * tf1.get_variable("scale", [3])


class Layer(keras.Layer):
    @shim.track_tf1_style_variables
    @tf.function
    def call(self, inputs, training=False):
        with tf1.variable_scope("net"):
            hidden = shim.layers.dense(inputs, 4, kernel_regularizer="l2")
            return shim.layers.batch_normalization(hidden, training=training)


modules = pytest.mark.parametrize("make", [Module, WithSignature], ids=["plain", "signature"])


@modules
def test_g01_each_object_has_its_own_variables(make):
    first, second = make(), make()
    first(INPUTS), second(INPUTS)
    first.variables[0].assign([2.0, 2.0, 2.0])
    second.variables[0].assign([3.0, 3.0, 3.0])
    np.testing.assert_array_equal(first(INPUTS), INPUTS * 2)
    np.testing.assert_array_equal(make.__call__(second, INPUTS), INPUTS * 3)
    assert [v.name for v in first.variables] == ["net/scale:0"]


@modules
def test_g01_it_is_a_tf_function(make):
    module = make()
    function = module.__call__
    concrete = function.get_concrete_function(SIGNATURE)
    assert [v.name for v in module.variables] == ["net/scale:0"]
    np.testing.assert_array_equal(concrete(INPUTS), module(INPUTS))
    assert module.__call__ is function
    traces = function.experimental_get_tracing_count()
    module(INPUTS)
    assert function.experimental_get_tracing_count() == traces


@modules
def test_g01_it_keeps_no_object_alive(make):
    module = make()
    module(INPUTS)
    reference = weakref.ref(module)
    del module
    gc.collect()
    assert reference() is None


def test_g01_a_copy_has_variables_of_its_own():
    module = Module()
    expected = module(INPUTS)
    copied = copy.deepcopy(module)
    module.variables[0].assign([2.0, 2.0, 2.0])
    np.testing.assert_array_equal(copied(INPUTS), expected)


@modules
def test_g03_a_saved_module_is_called_after_loading(make, tmp_path):
    module = make()
    expected = module(tf.constant(INPUTS))
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    np.testing.assert_array_equal(loaded(tf.constant(INPUTS)), expected)


def test_g03_a_layer_in_a_model(tmp_path):
    model = keras.Sequential([keras.Input([3]), Layer()])
    model.compile("sgd", "mse")
    model.fit(INPUTS, np.zeros([2, 4]), verbose=0)
    assert len(model.losses) == 1
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", {"Layer": Layer})
    np.testing.assert_array_equal(loaded(INPUTS), model(INPUTS))
    assert model.layers[0].call.experimental_get_tracing_count() <= 4


class ManyLayers(tf.Module):
    @shim.track_tf1_style_variables
    @tf.function
    def __call__(self, inputs):
        with tf1.variable_scope("net"):
            if tf.reduce_sum(inputs) > 0:  # Which AutoGraph has to convert.
                inputs += 1.0
            net = shim.layers.conv2d(inputs, 2, 3, kernel_regularizer=keras.regularizers.L2(0.1))
            net = shim.layers.Conv2D(2, 1).apply(shim.layers.Conv2D(2, 1)(net))
            net = shim.layers.batch_normalization(net, training=True)
            net = shim.layers.dropout(shim.layers.max_pooling2d(net, 2, 2), training=True)
            net = shim.layers.dense(shim.layers.flatten(net), 2)
            shim.record_scope("dense")
            return shim.get_or_create_layer("native", make_dense)(net)


def make_dense():
    return keras.layers.Dense(2)


def test_g04_autograph_has_nothing_to_say(caplog):
    with caplog.at_level(logging.WARNING, "tensorflow"):
        ManyLayers()(np.ones([2, 6, 6, 3], "float32"))
    assert not [r.getMessage() for r in caplog.records if "AutoGraph" in r.getMessage()]
