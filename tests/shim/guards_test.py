"""G18: guards against variables that a model makes anew in a later call."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
ONES = np.ones([2, 3], "float32")
EAGER_AND_FUNCTION = pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "fn"])
GUARDS = pytest.mark.parametrize(
    "guard", [shim.assert_no_variable_creations, shim.catch_variable_creations]
)


class TF1Layer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            x = shim.layers.dense(inputs, 4)
            x = shim.get_or_create_layer("native", lambda: keras.layers.Dense(4, name="native"))(x)
            return x + tf1.get_variable("offset", [4])


class BrokenLayer(keras.Layer):
    """Makes a Keras layer in every call."""

    def call(self, inputs):
        x = keras.layers.Dense(4, name="fresh")(inputs)
        return keras.layers.Dense(2, name="another")(x)


def native():
    return keras.Sequential([keras.layers.Dense(4), keras.layers.Dropout(0.5)])


@GUARDS
@EAGER_AND_FUNCTION
@pytest.mark.parametrize("make", [TF1Layer, native])
def test_g18_a_later_call_that_finds_its_variables_passes(make, run, guard):
    layer = make()
    call = run(lambda x: layer(x, training=True) if make is native else layer(x))
    call(tf.constant(ONES))
    with guard():
        call(tf.constant(ONES))
        call(tf.ones([5, 3]))
        layer.weights[0].assign(layer.weights[0] + 1)
        run(lambda x: layer(x))(tf.constant(ONES))


@EAGER_AND_FUNCTION
def test_g18_assert_raises_where_a_tf1_variable_is_made(run):
    layer = TF1Layer()
    with (
        pytest.raises(ValueError, match="Variable net/dense/kernel would be made here") as error,
        shim.assert_no_variable_creations(),
    ):
        run(lambda x: layer(x))(tf.constant(ONES))
    assert any(entry.name == "call" for entry in error.traceback)


@EAGER_AND_FUNCTION
def test_g18_assert_raises_where_a_keras_variable_is_made(run):
    layer = BrokenLayer()
    layer(ONES)
    with (
        pytest.raises(ValueError, match=r"Variable .*fresh/kernel would be made here"),
        shim.assert_no_variable_creations(),
    ):
        run(lambda x: layer(x))(tf.constant(ONES))


@EAGER_AND_FUNCTION
def test_g18_assert_raises_where_a_tf_variable_is_made(run):
    made = []

    def code():
        with tf.name_scope("scope"):
            made.append(tf.Variable(1.0, name="mine"))

    with (
        pytest.raises(ValueError, match="Variable scope/mine would be made here"),
        shim.assert_no_variable_creations(),
    ):
        run(code)()
    assert made == []


@EAGER_AND_FUNCTION
def test_g18_catch_runs_through_and_names_all_variables_made(run):
    layer = TF1Layer()
    outputs, plain = [], []

    def code(inputs):
        outputs.append(layer(inputs))
        plain or plain.append(tf.Variable(1.0))

    with (
        pytest.raises(ValueError, match=r"^6 variable\(s\) were made") as error,
        shim.catch_variable_creations(),
    ):
        run(code)(tf.constant(ONES))
    assert outputs[0].shape == (2, 4)
    names = str(error.value).split(": ", 1)[1].split(". ")[0].split(", ")
    assert names[:2] == ["net/dense/kernel", "net/dense/bias"]
    assert names[2].endswith("native/kernel")
    assert names[3].endswith("native/bias")
    assert names[4:] == ["net/offset", "Variable"]


@GUARDS
@EAGER_AND_FUNCTION
def test_g18_exceptions_of_the_block_pass_through(run, guard):
    class MineError(Exception):
        pass

    with pytest.raises(MineError, match=r"^mine$"), guard():
        _raise(MineError("mine"))


def _raise(error):
    raise error


def test_g18_exceptions_of_the_block_win_over_variables_made():
    with pytest.raises(KeyError), shim.catch_variable_creations():
        {}[tf.Variable(1.0).name]


@GUARDS
def test_g18_nothing_is_guarded_afterwards(guard):
    with guard():
        pass
    with pytest.raises(ValueError, match="made"), guard():
        tf.Variable(1.0)
    tf.Variable(1.0)
    TF1Layer()(ONES)


@GUARDS
def test_g18_a_guard_may_stand_inside_the_function(guard):
    def guarded_call(layer):
        def call(inputs):
            with guard():
                return layer(inputs)

        return tf.function(call)

    with pytest.raises(ValueError, match="net/dense/kernel"):
        guarded_call(TF1Layer())(tf.constant(ONES))
    layer = TF1Layer()
    expected = layer(ONES)
    np.testing.assert_allclose(guarded_call(layer)(tf.constant(ONES)), expected, rtol=1e-6)


@GUARDS
@EAGER_AND_FUNCTION
def test_g18_a_guard_may_stand_inside_the_decorated_method(run, guard):
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs, may_create):
            with contextlib.nullcontext() if may_create else guard():
                plain = tf.Variable(2.0, name="plain")
                return tf1.get_variable("kernel", [3]) * plain * inputs

    layer = Layer()
    expected = layer(ONES, may_create=True)
    call = run(lambda x: layer(x, may_create=False))
    np.testing.assert_allclose(call(tf.constant(ONES)), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="plain"):
        Layer()(ONES, may_create=False)


@GUARDS
def test_g18_a_tf1_graph_is_guarded_from_inside(guard):
    with tf.Graph().as_default():
        first = tf1.get_variable("first", [2])
        with guard(), tf1.variable_scope("", reuse=True):
            assert tf1.get_variable("first", [2]) is first
        with pytest.raises(ValueError, match="scope/second"), guard(), tf1.variable_scope("scope"):
            tf1.get_variable("second", [2])


@GUARDS
def test_g18_under_a_strategy_a_variable_counts_once(guard):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def step_of(layer):
        def in_replica():
            return layer(tf.constant(ONES))

        return tf.function(lambda: strategy.run(in_replica))

    with strategy.scope():
        first, second = TF1Layer(), TF1Layer()
    with pytest.raises(ValueError, match="net/dense/kernel") as error, guard():
        step_of(first)()
    assert str(error.value).count("net/dense/kernel") == 1
    step = step_of(second)
    step()
    with guard():
        step()
