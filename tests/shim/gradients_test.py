"""Gradient functions that TF1 code defines find the variables of the call that defined them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
INPUTS = np.array([[2.0, 3.0]], "float32")


class RunsLayer(keras.Layer):
    """Its forward pass is the function given, in the variable scope "net"."""

    def __init__(self, code, **arguments):
        super().__init__(**arguments)
        self.code = code

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return self.code(inputs)


class RunsModule(tf.Module):
    """As `RunsLayer`."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        with tf1.variable_scope("net"):
            return self.code(inputs)


owners = pytest.mark.parametrize("owner", [RunsLayer, RunsModule], ids=["layer", "module"])


def in_call(net, inputs):
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        outputs = net(inputs)
    return outputs, tape


def of_function(net, inputs):
    return in_call(tf.function(lambda x: net(x)), inputs)


def gradients(net, inputs, sources, how):
    """Gradients taken eagerly of the call or of a `tf.function`, or all in one `tf.function`."""
    inputs = tf.convert_to_tensor(inputs)
    if how == "in a tf.function":
        return tf.function(lambda x: gradients(net, x, sources, "eagerly"))(inputs)
    outputs, tape = (of_function if how == "of a tf.function" else in_call)(net, inputs)
    return tape.gradient(outputs, [inputs, *sources])


hows = pytest.mark.parametrize("how", ["eagerly", "of a tf.function", "in a tf.function"])


def constant(value):
    return tf1.constant_initializer(value)


def scaled(inputs):
    return inputs * tf1.get_variable("scale", [2], initializer=constant(3.0))


@hows
@owners
def test_g01_what_is_computed_again_for_the_gradient_has_the_same_variables(owner, how):
    net = owner(lambda x: tf.recompute_grad(scaled)(x))
    net(INPUTS)
    (variable,) = net.variables
    variable = variable.value if owner is RunsLayer else variable
    variable.assign([5.0, 7.0])
    of_inputs, of_variable = gradients(net, INPUTS, [variable], how)
    np.testing.assert_array_equal(of_inputs, [[5.0, 7.0]])
    np.testing.assert_array_equal(of_variable, [2.0, 3.0])
    assert len(net.variables) == 1


@hows
def test_g06_what_is_computed_again_has_its_automatic_names_again(how):
    def dense(inputs, value):
        return shim.layers.dense(inputs, 2, kernel_initializer=constant(value))

    def code(inputs):
        return dense(tf.recompute_grad(lambda x: dense(x, 3.0))(dense(inputs, 2.0)), 5.0)

    layer = RunsLayer(code)
    layer(INPUTS)
    kernels = [v.value for v in layer.weights if v.path.endswith("kernel")]
    of_inputs, *of_kernels = gradients(layer, INPUTS, kernels, how)
    np.testing.assert_array_equal(of_inputs, np.full([1, 2], 2 * 2.0 * 2 * 3.0 * 2 * 5.0))
    # Of each kernel: the layer's inputs times the kernels after it.
    np.testing.assert_array_equal(of_kernels[0], np.outer([2.0, 3.0], [60.0, 60.0]))
    np.testing.assert_array_equal(of_kernels[1], np.full([2, 2], 10.0 * 10.0))
    np.testing.assert_array_equal(of_kernels[2], np.full([2, 2], 60.0))
    assert [v.path for v in layer.weights][2] == "net/dense_1/kernel"
    assert len(layer.weights) == 6


@hows
def test_g06_a_gradient_function_begins_outside_of_all_scopes_as_in_tf1(how):
    seen = []

    @tf.custom_gradient
    def doubled(inputs):
        def gradient(upstream):
            seen.append(tf1.get_variable_scope().name)
            with tf1.variable_scope("net", reuse=True):
                return upstream * tf1.get_variable("slope")

        return inputs * 2, gradient

    def code(inputs):
        tf1.get_variable("slope", initializer=[4.0, 6.0])
        return doubled(inputs)

    layer = RunsLayer(code)
    layer(INPUTS)
    (of_inputs,) = gradients(layer, INPUTS, [], how)
    np.testing.assert_array_equal(of_inputs, [[4.0, 6.0]])
    assert set(seen) == {""}


@hows
def test_g09_each_object_computes_with_its_own_variables(how):
    inner = [RunsLayer(lambda x: tf.recompute_grad(scaled)(x)) for _ in range(2)]
    outer = RunsLayer(lambda x: inner[1](inner[0](x)))
    outer.inner = inner
    outer(INPUTS)
    for layer, value in zip(inner, ([5.0, 7.0], [10.0, 100.0]), strict=True):
        layer.weights[0].assign(value)
    (of_inputs,) = gradients(outer, INPUTS, [], how)
    np.testing.assert_array_equal(of_inputs, [[50.0, 700.0]])
    assert [v.path for v in outer.weights] == ["net/net/scale"] * 2


def test_g02_losses_are_not_added_again():
    def code(inputs):
        dense = shim.layers.Dense(2, activity_regularizer=tf.reduce_sum, name="dense")
        return tf.recompute_grad(dense)(inputs)

    layer = RunsLayer(code)
    gradients(layer, INPUTS, [], "eagerly")
    assert len(layer.losses) == 1


def test_g11_gradients_leave_nothing_in_the_global_graph():
    layer = RunsLayer(lambda x: tf.recompute_grad(scaled)(x))
    graph = tf1.get_default_graph()
    before = {key: len(graph.get_collection(key)) for key in graph.get_all_collection_keys()}
    gradients(layer, INPUTS, [], "eagerly")
    after = {key: len(graph.get_collection(key)) for key in graph.get_all_collection_keys()}
    assert after == before


@hows
def test_mixed_precision_computes_again_in_the_compute_dtype(how):
    def code(inputs):
        return tf.recompute_grad(lambda x: x * tf1.get_variable("scale", [2], x.dtype))(inputs)

    layer = RunsLayer(code, dtype="mixed_bfloat16")
    inputs = tf.cast(INPUTS, tf.bfloat16)
    layer(inputs)
    (variable,) = [v.value for v in layer.weights]
    variable.assign([5.0, 7.0])
    of_inputs, of_variable = gradients(layer, inputs, [variable], how)
    assert (of_inputs.dtype, of_variable.dtype) == (tf.bfloat16, tf.float32)
    np.testing.assert_array_equal(tf.cast(of_inputs, tf.float32), [[5.0, 7.0]])
    np.testing.assert_array_equal(of_variable, [2.0, 3.0])
