"""G14: the tool that makes TF1 and TF2 draw the same random numbers."""

import functools
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow import random as keras_random
from shimzoo import shim
from tensorflow.python.framework import random_seed

tf1 = tf.compat.v1
tool_in = shim.DeterministicRandomTestTool
BOTH_MODES = pytest.mark.parametrize("mode", ["constant", "num_random_ops"])


def in_session(code, mode, seed=42):
    """Values of tensors that `code` makes in a TF1 graph, initialized and run in a session."""
    with tool_in(mode=mode, seed=seed).scope(), tf.Graph().as_default():
        tensors = code()
        with tf1.Session() as session:
            session.run(tf1.global_variables_initializer())
            return session.run(tensors)


def eagerly(code, mode, seed=42):
    with tool_in(mode=mode, seed=seed).scope():
        return [np.asarray(tensor) for tensor in code()]


def in_function(code, mode, seed=42):
    with tool_in(mode=mode, seed=seed).scope():
        return [np.asarray(tensor) for tensor in tf.function(code)()]


def assert_equal(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(a, e)


@functools.cache
def keras_dropout():
    return keras.layers.Dropout(0.5)


ONES = np.ones([4, 6], "float32")
LOGITS = np.log([[0.2, 0.3, 0.5]]).astype("float32")

# The same distribution in TF1, in TF2 and in Keras 3.
OPS = {
    "uniform": [
        lambda: tf1.random_uniform([3, 2], -1, 2),
        lambda: tf.random.uniform([3, 2], -1, 2),
        lambda: keras.random.uniform([3, 2], -1, 2, seed=7),
    ],
    "normal": [
        lambda: tf1.random_normal([3, 2], 1, 2),
        lambda: tf.random.normal([3, 2], 1, 2),
        lambda: keras.random.normal([3, 2], 1, 2),
    ],
    "truncated normal": [
        lambda: tf1.truncated_normal([3, 2], 1, 2),
        lambda: tf.random.truncated_normal([3, 2], 1, 2),
        lambda: keras.random.truncated_normal([3, 2], 1, 2),
    ],
    "integers": [
        lambda: tf1.random_uniform([5], 3, 90, tf.int32),
        lambda: tf.random.uniform([5], 3, 90, tf.int32),
        lambda: keras.random.randint([5], 3, 90),
    ],
    "categorical": [
        lambda: tf1.multinomial(LOGITS, 5),
        lambda: tf.random.categorical(LOGITS, 5),
        lambda: keras.random.categorical(LOGITS, 5, dtype="int64"),
    ],
    "shuffle": [
        lambda: tf1.random_shuffle(tf.range(8)),
        lambda: tf.random.shuffle(tf.range(8)),
        lambda: keras.random.shuffle(tf.range(8)),
    ],
    "gamma": [
        lambda: tf1.random_gamma([5], 2.0),
        lambda: tf.random.gamma([5], 2.0),
        lambda: keras.random.gamma([5], 2.0),
    ],
    "poisson": [
        lambda: tf1.random_poisson(3.0, [5]),
        lambda: tf.random.poisson([5], 3.0),
    ],
    "dropout": [
        lambda: tf1.nn.dropout(ONES, keep_prob=0.5),
        lambda: tf.nn.dropout(ONES, 0.5),
        lambda: keras.random.dropout(ONES, 0.5),
        lambda: keras_dropout()(ONES, training=True),
        lambda: shim.layers.dropout(ONES, 0.5, training=True),
    ],
    "dropout of rows": [
        lambda: tf.nn.dropout(ONES, 0.5, noise_shape=[4, 1]),
        lambda: keras.random.dropout(ONES, 0.5, noise_shape=[None, 1]),
        lambda: shim.layers.dropout(ONES, 0.5, noise_shape=[None, 1], training=True),
    ],
}
INITIALIZERS = {
    "glorot_uniform": [
        tf1.glorot_uniform_initializer,
        tf1.initializers.variance_scaling(1, "fan_avg", "uniform"),
        keras.initializers.GlorotUniform,
        keras.initializers.GlorotUniform(seed=3),
    ],
    "glorot_normal": [tf1.glorot_normal_initializer, keras.initializers.GlorotNormal],
    "he_normal": [tf1.initializers.he_normal(), keras.initializers.HeNormal],
    "he_uniform": [tf1.initializers.he_uniform(), keras.initializers.HeUniform],
    "lecun_normal": [tf1.initializers.lecun_normal(), keras.initializers.LecunNormal],
    "random_normal": [
        tf1.random_normal_initializer(1, 0.5, seed=4),
        keras.initializers.RandomNormal(1, 0.5),
    ],
    "truncated_normal": [
        tf1.truncated_normal_initializer(1, 0.5),
        keras.initializers.TruncatedNormal(1, 0.5),
    ],
    "random_uniform": [
        tf1.random_uniform_initializer(-1, 0.5),
        keras.initializers.RandomUniform(-1, 0.5),
    ],
    "variance_scaling": [
        tf1.variance_scaling_initializer(2, "fan_out", "untruncated_normal"),
        keras.initializers.VarianceScaling(2, "fan_out", "untruncated_normal"),
    ],
}


@BOTH_MODES
@pytest.mark.parametrize("distribution", OPS)
def test_g14_a_distribution_draws_the_same_numbers_everywhere(distribution, mode):
    tf1_op, *others = OPS[distribution]
    first, second = expected = in_session(lambda: [tf1_op(), tf1_op()], mode)
    assert np.array_equal(first, second) == (mode == "constant")
    for op in others:
        assert_equal(eagerly(lambda op=op: [op(), op()], mode), expected)
        assert_equal(in_function(lambda op=op: [op(), op()], mode), expected)


class TwoVariables(keras.Layer):
    """Makes two variables of one initializer, as TF1 code does."""

    def __init__(self, initializer):
        super().__init__()
        self.initializer = initializer

    @shim.track_tf1_style_variables
    def call(self, inputs=None):
        shape = [3, 3, 4, 5]
        names = ("first", "second")
        return [tf1.get_variable(name, shape, initializer=self.initializer) + 0 for name in names]


@BOTH_MODES
@pytest.mark.parametrize("name", INITIALIZERS)
def test_g14_tf1_and_keras_initializers_make_the_same_weights(name, mode):
    expected = in_session(TwoVariables(INITIALIZERS[name][0]).call, mode)
    assert np.array_equal(*expected) == (mode == "constant")
    for initializer in INITIALIZERS[name]:
        assert_equal(eagerly(TwoVariables(initializer), mode), expected)
        assert_equal(in_function(TwoVariables(initializer), mode), expected)


@BOTH_MODES
@pytest.mark.parametrize("name", INITIALIZERS)
def test_g14_keras_layers_start_with_the_weights_of_tf1(name, mode):
    def kernels():
        layers = [
            keras.layers.Conv2D(5, 3, kernel_initializer=INITIALIZERS[name][-1]) for _ in range(2)
        ]
        for layer in layers:
            layer.build([None, 9, 9, 4])
        return [layer.kernel for layer in layers]

    expected = in_session(TwoVariables(INITIALIZERS[name][0]).call, mode)
    assert_equal(eagerly(kernels, mode), expected)


@BOTH_MODES
def test_g14_a_function_goes_on_with_every_call_as_a_session_with_every_run(mode):
    def drop():
        return keras.random.dropout(ONES, 0.5)

    with tool_in(mode=mode).scope(), tf.Graph().as_default(), tf1.Session() as session:
        dropped = tf.nn.dropout(ONES, 0.5)
        expected = [session.run(dropped) for _ in range(3)]
    with tool_in(mode=mode).scope():
        function = tf.function(drop)
        assert_equal([function() for _ in range(3)], expected)
    assert not np.array_equal(expected[0], expected[1])


@BOTH_MODES
@pytest.mark.parametrize(
    "draw",
    [
        lambda: keras.random.beta([3], 2.0, 3.0),
        lambda: keras.random.binomial([3], 20, 0.5),
        lambda: keras.random.gamma([2, 3], [1.0, 2.0, 3.0]),
        lambda: keras.random.shuffle(ONES.cumsum(1), axis=1),
        lambda: keras.random.randint([3], 0, 200, "int16"),
        lambda: keras.random.uniform([3], dtype="bfloat16"),
        lambda: keras.random.SeedGenerator(1).next(),
        lambda: tf.random.stateless_normal([3], keras.random.SeedGenerator().next()),
        lambda: keras.initializers.Orthogonal()([3, 3]),
    ],
    ids=["beta", "binomial", "gamma", "columns", "int16", "bfloat16", "seed", "stateless", "qr"],
)
def test_g14_what_only_keras_has_follows_the_tool_too(draw, mode):
    first, second = eagerly(lambda: [draw(), draw()], mode)
    assert_equal(eagerly(lambda: [draw(), draw()], mode), [first, second])
    assert np.array_equal(first, second) == (mode == "constant")
    (other,) = eagerly(lambda: [draw()], mode, seed=43)
    assert not np.array_equal(first, other)


def test_g14_kept_properties_of_keras_random():
    draws = eagerly(
        lambda: [
            keras.random.gamma([2000, 3], [1.0, 2.0, 30.0]),
            keras.random.shuffle(tf.reshape(tf.range(12), [2, 6]), axis=1),
            keras.random.randint([2000], 5, 8, "int16"),
            keras.random.dropout(ONES, 1.0),
        ],
        "constant",
    )
    np.testing.assert_allclose(draws[0].mean(0), [1, 2, 30], rtol=0.1)
    assert sorted(draws[1][0]) == list(range(6))
    np.testing.assert_array_equal(draws[1][1], draws[1][0] + 6)
    assert draws[2].dtype == "int16"
    assert set(draws[2]) == {5, 6, 7}
    np.testing.assert_array_equal(draws[3], np.zeros_like(ONES))


class Net(keras.Layer):
    """TF1 code in which initializers and dropout take turns."""

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("net"):
            x = shim.layers.dense(inputs, 8, tf.nn.relu)
            x = shim.layers.dropout(x, 0.5, training=training)
            x = shim.layers.dense(x, 7, kernel_initializer=tf1.truncated_normal_initializer(0, 0.2))
            x = shim.layers.dropout(x, 0.5, training=training)
            return [shim.layers.dense(x, 3)]


class NativeNet(keras.Layer):
    """`Net` in Keras layers."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(8, "relu")
        self.dense_1 = keras.layers.Dense(
            7, kernel_initializer=keras.initializers.TruncatedNormal(0, 0.2)
        )
        self.dense_2 = keras.layers.Dense(3)
        self.dropout = keras.layers.Dropout(0.5)

    def build(self, input_shape):
        """Lets the sub-layers build themselves when called, between the dropouts."""

    def call(self, inputs, training=False):
        x = self.dropout(self.dense(inputs), training=training)
        x = self.dropout(self.dense_1(x), training=training)
        return [self.dense_2(x)]


@BOTH_MODES
@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("run", [eagerly, in_function])
@pytest.mark.parametrize("net", [Net, NativeNet])
def test_g14_a_session_and_a_layer_agree(net, run, training, mode):
    expected = in_session(lambda: Net().call(tf.constant(ONES), training), mode)
    layer = net()
    (outputs,) = run(lambda: layer(ONES, training=training), mode)
    np.testing.assert_allclose(outputs, expected[0], rtol=1e-5, atol=1e-6)


def test_g14_constant_mode_does_not_mind_the_order_of_a_functional_model():
    expected = in_session(lambda: Net().call(tf.constant(ONES), True), "constant")
    with tool_in().scope():
        inputs = keras.Input([6])
        model = keras.Model(inputs, Net()(inputs)[0])
        outputs = model(ONES, training=True)
    np.testing.assert_allclose(outputs, expected[0], rtol=1e-5, atol=1e-6)


def test_g14_a_function_that_traces_twice_counts_its_ops_once():
    inner_layer = keras.layers.Dense(2)

    @tf.function
    def inner():
        inner_layer(ONES)
        return tf.random.uniform([3])

    made = []

    def code():
        first = tf.random.uniform([3])
        made or made.append(tf.Variable(0.0))
        in_branch = tf.cond(first[0] < 2, lambda: tf.random.uniform([3]), lambda: first)
        return [first, in_branch, inner(), tf.random.uniform([3])]

    tool = tool_in(mode="num_random_ops")
    with tool.scope():
        actual = tf.function(code)()
        assert tool.operation_seed == 5
        after = tf.random.uniform([3])
    draws = eagerly(lambda: [tf.random.uniform([3]) for _ in range(6)], "num_random_ops")
    assert_equal([*actual, after], [draws[i] for i in (0, 1, 3, 4, 5)])


def test_g14_a_concrete_function_that_traces_twice_counts_its_ops_once():
    expected = in_session(lambda: Net().call(tf.constant(ONES), True), "num_random_ops")
    layer = Net()
    with tool_in(mode="num_random_ops").scope():
        step = tf.function(lambda: layer(ONES, training=True)).get_concrete_function()
        np.testing.assert_allclose(step()[0], expected[0], rtol=1e-5, atol=1e-6)


@BOTH_MODES
def test_g14_training_by_fit_repeats_itself(mode):
    def train():
        model = keras.Sequential([keras.layers.Dense(8), keras.layers.Dropout(0.5)])
        model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=False)
        inputs = np.arange(48, dtype="float32").reshape(8, 6) / 48
        history = model.fit(inputs, inputs[:, :1] * np.ones(8), batch_size=2, epochs=2, verbose=0)
        return [history.history["loss"], *model.get_weights()]

    assert_equal(eagerly(train, mode), eagerly(train, mode))


def test_g14_seeds_are_those_of_tensorflow():
    def draw():
        return [tf.random.uniform([4], seed=0), tf.random.uniform([4], seed=1)]

    tf.random.set_seed(42)
    assert_equal(eagerly(draw, "num_random_ops"), draw())


@BOTH_MODES
def test_g14_seed_zero_is_as_good_as_any(mode):
    def draw():
        return [tf.random.uniform([4])]

    assert_equal(eagerly(draw, mode, seed=0), eagerly(draw, mode, seed=0))


def test_g14_operation_seed_counts_and_can_be_set():
    tool = tool_in(mode="num_random_ops")
    with tool.scope():
        assert tool.operation_seed == 0
        a, b = tf.random.uniform([3]), tf.random.uniform([2])
        assert tool.operation_seed == 2
    other_order = tool_in(mode="num_random_ops")
    with other_order.scope():
        other_order.operation_seed = 1
        b_first = tf.random.uniform([2])
        other_order.operation_seed = 0
        assert_equal([tf.random.uniform([3]), b_first], [a, b])


def test_g14_operation_seed_chooses_the_numbers_in_constant_mode_too():
    tool = tool_in()
    with tool.scope():
        first = tf.random.uniform([3])
        tool.operation_seed = 5
        second, third = tf.random.uniform([3]), tf.random.uniform([3])
    assert tool.operation_seed == 5
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(second, third)


def test_g14_reuse_of_an_operation_seed_is_an_error_that_says_what_to_do():
    tool = tool_in(mode="num_random_ops")
    with tool.scope():
        tool.operation_seed = 7
        tf.random.uniform([3])
        tool.operation_seed = 6
        keras.random.uniform([3])
        with pytest.raises(ValueError, match=r"seed 7 .*operation_seed above .*highest is 7"):
            keras.random.uniform([3])
        tool.operation_seed = 8
        tf.random.uniform([3])


def test_g14_a_scope_can_be_entered_again_and_goes_on_counting():
    tool = tool_in(mode="num_random_ops")
    with tool.scope():
        first = tf.random.uniform([3])
    with tool.scope():
        second = tf.random.uniform([3])
    assert tool.operation_seed == 2
    assert_equal(
        eagerly(lambda: [tf.random.uniform([3]), tf.random.uniform([3])], "num_random_ops"),
        [first, second],
    )


def test_g14_scopes_nest():
    expected = eagerly(lambda: [tf.random.uniform([3]) for _ in range(2)], "num_random_ops")
    outer = tool_in(mode="num_random_ops")
    with outer.scope():
        first = tf.random.uniform([3])
        assert_equal(
            eagerly(lambda: [tf.random.uniform([3]) for _ in range(2)], "num_random_ops"), expected
        )
        assert_equal([first, tf.random.uniform([3])], expected)
        with outer.scope():
            tf.random.uniform([3])
        tf.random.uniform([3])
    assert outer.operation_seed == 4


@BOTH_MODES
def test_g14_nothing_is_left_behind(mode):
    def patched():
        return [random_seed.get_seed, keras.random.SeedGenerator.next, *vars(keras_random).values()]

    before, names = patched(), set(vars(keras_random))
    generator = keras.random.SeedGenerator(3)
    state = generator.state.numpy()
    tf.random.set_seed(5)
    expected = [tf.random.uniform([2]) for _ in range(2)]
    random.seed(5)
    expected_python = random.random()
    tf.random.set_seed(5)
    random.seed(5)
    first = tf.random.uniform([2])
    with pytest.raises(tf.errors.InvalidArgumentError), tool_in(mode=mode).scope():
        tf.ones([2]) @ keras.random.uniform([2], seed=generator)
    assert_equal([first, tf.random.uniform([2])], expected)
    assert random.random() == expected_python
    assert patched() == before
    assert set(vars(keras_random)) == names
    np.testing.assert_array_equal(generator.state, state)


def test_g14_another_mode_is_an_error():
    with pytest.raises(ValueError, match="'constant' and 'num_random_ops', got mode='order'"):
        shim.DeterministicRandomTestTool(mode="order")
