"""Decorated objects called by several threads at once, compiled by XLA, and ten thousand times."""

import gc
import sys
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

shim.install()

import tf_slim as slim  # noqa: E402  (TF1 code, imported as its users do, after install)

tf1 = tf.compat.v1

INPUTS = np.random.default_rng(0).normal(size=[4, 3]).astype("float32")
IMAGES = np.random.default_rng(1).normal(size=[2, 8, 8, 3]).astype("float32")
WRAPS = {"eager": lambda f: f, "function": tf.function}


def net(x, training):
    """All the ways to make variables, and collections that only this call may see."""
    with tf1.variable_scope("net"):
        hidden = tf1.layers.dense(x, 4, activation=tf.nn.relu, kernel_regularizer="l2")
        hidden = hidden * tf1.get_variable("scale", [4], initializer=tf1.ones_initializer())
        hidden = hidden + tf.Variable(tf.zeros([4]), name="shift")
        hidden = slim.fully_connected(
            hidden,
            3,
            normalizer_fn=slim.batch_norm,
            normalizer_params={"is_training": training},
            weights_regularizer=slim.l2_regularizer(0.1),
            outputs_collections="end_points",
        )
        assert len(tf1.get_collection("end_points")) == 1
        assert len(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == 2
        if training:
            hidden = tf1.layers.dropout(hidden, 0.0, training=True)
            hidden = hidden * tf1.get_variable("gate", [3], initializer=tf1.ones_initializer())
        return tf1.layers.dense(hidden, 2)


NAMES = [
    "net/dense/kernel",
    "net/dense/bias",
    "net/scale",
    "net/shift",
    "net/fully_connected/weights",
    "net/fully_connected/BatchNorm/beta",
    "net/fully_connected/BatchNorm/moving_mean",
    "net/fully_connected/BatchNorm/moving_variance",
    "net/dense_1/kernel",
    "net/dense_1/bias",
]


class NetLayer(keras.Layer):
    def __init__(self):
        super().__init__()
        self.template = tf1.make_template("head", lambda x: tf1.layers.dense(x, 2))

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        outputs = net(inputs, training)
        with tf1.variable_scope("net"):
            native = shim.get_or_create_layer("native", lambda: keras.layers.Dense(2))
            return self.template(native(outputs))

    def names(self):
        return [variable.path for variable in self.weights]


class NetModule(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, inputs, training=False):
        return net(inputs, training)

    def names(self):
        return [variable.name.removesuffix(":0") for variable in self.variables]


LAYER_NAMES = [
    *NAMES,
    "net/native/kernel",
    "net/native/bias",
    "net/head/dense/kernel",
    "net/head/dense/bias",
]
OWNERS = [(NetLayer, LAYER_NAMES), (NetModule, NAMES)]


@pytest.fixture
def hasty_threads():
    """Python changes threads after each few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(functions):
    """What the functions return, each called in a thread of its own, all at the same time."""
    barrier, results = threading.Barrier(len(functions)), [None] * len(functions)

    def run(number, function):
        barrier.wait()
        try:
            results[number] = function()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    errors = [result for result in results if isinstance(result, Exception)]
    if errors:
        raise errors[0]
    return results


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize(("make", "names"), OWNERS)
def test_g01_threads_make_the_first_call_of_one_object_at_once(make, names, wrap):
    for _ in range(3):
        owner = make()
        calls = [WRAPS[wrap](lambda x, owner=owner: owner(x)) for _ in range(6)]
        results = at_once([lambda call=call: call(tf.constant(INPUTS)) for call in calls])
        assert owner.names() == names
        for result in results:
            np.testing.assert_allclose(result, owner(INPUTS), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("hasty_threads")
def test_g01_threads_make_the_first_call_of_one_function_at_once():
    for _ in range(3):
        layer = NetLayer()
        function = tf.function(lambda x, layer=layer: layer(x))
        results = at_once([lambda f=function: f(tf.constant(INPUTS))] * 6)
        assert layer.names() == LAYER_NAMES
        for result in results:
            np.testing.assert_allclose(result, layer(INPUTS), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("hasty_threads")
def test_g01_threads_make_the_first_calls_of_several_objects_at_once():
    owners = [(make(), names) for make, names in OWNERS * 4]
    results = at_once([lambda owner=owner: owner(tf.constant(INPUTS)) for owner, _ in owners])
    for (owner, names), result in zip(owners, results, strict=True):
        assert owner.names() == names
        np.testing.assert_allclose(result, owner(INPUTS), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize(("make", "names"), OWNERS)
def test_g01_threads_need_a_new_variable_of_a_later_call_at_once(make, names):
    owner = make()
    owner(tf.constant(INPUTS))
    at_once([lambda: owner(tf.constant(INPUTS), training=True)] * 6)
    assert sorted(owner.names()) == sorted([*names, "net/gate"])


@pytest.mark.usefixtures("hasty_threads")
def test_g02_threads_that_train_and_infer_see_their_own_losses():
    layer = NetLayer()
    layer(tf.constant(INPUTS))
    expected = [float(loss) for loss in layer.losses]

    def losses(training):
        for _ in range(5):
            layer(tf.constant(INPUTS), training=training)
        return [float(loss) for loss in layer.losses]

    for found in at_once([lambda training=n % 2 == 0: losses(training) for n in range(6)]):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


class SlimImages(keras.Layer):
    """Slim's convolution with batch norm; dropout lets everything pass."""

    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        with slim.arg_scope(
            [slim.conv2d],
            normalizer_fn=slim.batch_norm,
            normalizer_params={"is_training": training, "scale": True, "decay": 0.9},
            weights_regularizer=slim.l2_regularizer(0.1),
        ):
            x = slim.conv2d(images, 4, 3, stride=2, scope="conv")
            x = slim.dropout(x, keep_prob=1.0, is_training=training)
            return slim.fully_connected(slim.flatten(x), 2, activation_fn=None, scope="logits")


class TF1Layers(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        with tf1.variable_scope("net"):
            x = tf1.layers.conv2d(images, 4, 3, activation=tf.nn.relu, kernel_regularizer="l2")
            x = tf1.layers.batch_normalization(x, training=training, momentum=0.9)
            x = tf1.layers.separable_conv2d(x, 4, 3, padding="same")
            x = tf1.layers.max_pooling2d(x, 2, 2)
            x = tf1.layers.dropout(x, 0.0, training=training)
            return tf1.layers.dense(tf1.layers.flatten(x), 2, use_bias=False)


@pytest.mark.parametrize("make", [SlimImages, TF1Layers])
def test_g01_g05_xla_gives_the_same_numbers(make):
    def step(layer, images, training):
        with tf.GradientTape() as tape:
            outputs = layer(images, training=training)
            loss = tf.reduce_sum(outputs**2) + tf.add_n(layer.losses)
        variables = [v.value for v in layer.trainable_variables]
        return outputs, loss, tape.gradient(loss, variables)

    plain, compiled = make(), make()
    plain(IMAGES)
    # The first call too is compiled.
    compiled_step = tf.function(step, jit_compile=True)
    compiled_step(compiled, tf.constant(IMAGES), False)
    assert [v.path for v in compiled.weights] == [v.path for v in plain.weights]
    for ours, theirs in zip(compiled.weights, plain.weights, strict=True):
        ours.assign(theirs)
    for training in (True, False):
        expected = tf.nest.flatten(step(plain, IMAGES, training))
        found = tf.nest.flatten(compiled_step(compiled, tf.constant(IMAGES), training))
        for ours, theirs in zip(found, expected, strict=True):
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * scale)
        for ours, theirs in zip(compiled.weights, plain.weights, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


class SmallLayer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("small"):
            kernel = tf1.get_variable("kernel", [3, 2], regularizer=slim.l2_regularizer(0.1))
            outputs = tf.matmul(inputs, kernel)
            tf1.add_to_collection("end_points", outputs)
            return outputs


class BusyLayer(keras.Layer):
    """Uses all of TF1's bookkeeping."""

    def __init__(self):
        super().__init__()
        self.scale = tf1.make_template("scale", lambda x: x * tf1.get_variable("v", []))

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("busy"):
            x = slim.fully_connected(
                inputs,
                2,
                weights_regularizer=slim.l2_regularizer(0.1),
                outputs_collections="end_points",
            )
            x = self.scale(tf1.layers.dropout(x, 0.5, training=training))
            tf1.losses.add_loss(tf.reduce_sum(x) + tf.Variable(1.0))
            return tf.identity(x, name=x.op.name.replace("/", "_"))


def sizes():
    gc.collect()
    graph = tf1.get_default_graph()
    keys = graph.get_all_collection_keys()
    return {
        "collections": {key: len(graph.get_collection_ref(key)) for key in keys},
        "ops": len(graph.get_operations()),
        "objects": len(gc.get_objects()),
    }


@pytest.mark.parametrize(
    ("make", "training", "calls"),
    [(SmallLayer, False, 10_000), (BusyLayer, False, 1_000), (BusyLayer, True, 1_000)],
)
def test_g11_ten_thousand_calls_leave_nothing_behind(make, training, calls):
    layer, inputs = make(), tf.constant(INPUTS)
    for _ in range(20):
        layer(inputs, training=training)
    before, weights = sizes(), layer.weights
    for _ in range(calls):
        layer(inputs, training=training)
    after = sizes()
    assert after["collections"] == before["collections"]
    assert after["ops"] == before["ops"]
    # Of the interpreter's and TensorFlow's own a few come and go; a leak would be one a call.
    assert abs(after["objects"] - before["objects"]) < 100
    assert [id(v) for v in layer.weights] == [id(v) for v in weights]
