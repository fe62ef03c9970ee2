"""G5 and G17: TF-Slim and `tf.compat.v1.layers` under the shim; TF1 graphs after `install()`."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

shim.install()

import tf_slim as slim  # noqa: E402  (TF1 code, imported as its users do, after install)

tf1 = tf.compat.v1

IMAGES = np.random.default_rng(0).normal(1.0, 2.0, (4, 8, 8, 3)).astype("float32")
DECAY, EPSILON = 0.9, 1e-3


@pytest.fixture(autouse=True)
def installed():
    shim.install()
    yield
    shim.install()


class SlimNet(keras.Layer):
    """Every layer of Slim that MobileNet v1 uses, as a TF1 author writes them."""

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        return self.net(inputs, training)[0]

    @shim.track_tf1_style_variables
    def end_points(self, inputs):
        return self.net(inputs, False)[1]

    def net(self, inputs, training):
        batch_norm = {"is_training": training, "decay": DECAY, "epsilon": EPSILON, "scale": True}
        with (
            slim.arg_scope(
                [slim.conv2d, slim.separable_conv2d],
                activation_fn=tf.nn.relu6,
                normalizer_fn=slim.batch_norm,
                normalizer_params=batch_norm,
                outputs_collections="end_points",
            ),
            slim.arg_scope([slim.conv2d], weights_regularizer=slim.l2_regularizer(0.1)),
            tf1.variable_scope("Net"),
        ):
            net = slim.conv2d(inputs, 4, [3, 3], stride=2, scope="Conv2d_0")
            net = slim.separable_conv2d(net, None, [3, 3], depth_multiplier=1, scope="depthwise")
            net = slim.avg_pool2d(net, [4, 4], scope="AvgPool")
            net = slim.dropout(net, keep_prob=0.5, is_training=training, scope="Dropout")
            logits = slim.conv2d(
                net, 5, [1, 1], activation_fn=None, normalizer_fn=None, scope="Logits"
            )
            end_points = slim.utils.convert_collection_to_dict("end_points")
            return tf.squeeze(logits, [1, 2]), end_points


SLIM_VARIABLES = [
    "Net/Conv2d_0/weights",
    "Net/Conv2d_0/BatchNorm/gamma",
    "Net/Conv2d_0/BatchNorm/beta",
    "Net/Conv2d_0/BatchNorm/moving_mean",
    "Net/Conv2d_0/BatchNorm/moving_variance",
    "Net/depthwise/depthwise_weights",
    "Net/depthwise/BatchNorm/gamma",
    "Net/depthwise/BatchNorm/beta",
    "Net/depthwise/BatchNorm/moving_mean",
    "Net/depthwise/BatchNorm/moving_variance",
    "Net/Logits/weights",
    "Net/Logits/biases",
]


def test_g17_slim_runs_and_its_variables_are_tf1s():
    layer = SlimNet()
    assert layer(IMAGES).shape == (4, 5)
    layer(IMAGES, training=True)
    assert [v.path for v in layer.weights] == SLIM_VARIABLES
    trainable = [name for name in SLIM_VARIABLES if "moving" not in name]
    assert [v.path for v in layer.trainable_weights] == trainable


def test_g02_slims_regularizer_is_half_the_sum_of_squares():
    layer = SlimNet()
    layer(IMAGES)
    kernels = [
        v.numpy() for v in layer.weights if v.path in (SLIM_VARIABLES[0], SLIM_VARIABLES[-2])
    ]
    expected = [0.1 * np.square(kernel).sum() / 2 for kernel in kernels]
    np.testing.assert_allclose(layer.losses, expected, rtol=1e-5)


def test_g11_slims_end_points_work_eagerly():
    layer = SlimNet()
    end_points = layer.end_points(tf.constant(IMAGES))
    assert list(end_points) == ["Net/Conv2d_0", "Net/depthwise", "Net/Logits"]
    assert end_points["Net/depthwise"].shape == (4, 4, 4, 4)


def test_g17_a_tf1_session_and_the_shimmed_layer_agree():
    layer = SlimNet()
    expected = layer(IMAGES)
    values = {v.path: v.numpy() for v in layer.weights}
    with tf.Graph().as_default(), tf1.Session() as session:
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3])
        logits, _ = SlimNet().net(images, False)
        variables = tf1.global_variables()
        assert [v.op.name for v in variables] == SLIM_VARIABLES
        for variable in variables:
            variable.load(values[variable.op.name], session)
        np.testing.assert_allclose(
            session.run(logits, {images: IMAGES}), expected, rtol=1e-4, atol=1e-5
        )


def test_g17_a_tf1_graph_fills_the_collections_as_tf1_did():
    with tf.Graph().as_default(), tf1.Session() as session:
        images = tf1.placeholder(tf.float32, [None, 8, 8, 3])
        SlimNet().net(images, True)
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        assert len(updates) == 4
        assert len(tf1.get_collection(tf1.GraphKeys.REGULARIZATION_LOSSES)) == 2
        assert [v.op.name for v in slim.get_model_variables()] == SLIM_VARIABLES
        session.run(tf1.global_variables_initializer())
        session.run(updates, {images: IMAGES})
        (moving_mean,) = slim.get_variables_by_name("moving_mean", "Net/Conv2d_0")
        assert np.abs(session.run(moving_mean)).max() > 0


class Norm(keras.Layer):
    def __init__(self, **arguments):
        super().__init__()
        self.arguments = arguments

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("net"):
            return tf1.layers.batch_normalization(
                inputs, momentum=DECAY, epsilon=EPSILON, training=training, **self.arguments
            )


def moving_averages(layer):
    return [v.numpy() for v in layer.non_trainable_weights]


def expected_moving_averages(inputs, unbiased):
    flat = inputs.reshape(-1, inputs.shape[-1]).astype("float64")
    return (1 - DECAY) * flat.mean(0), DECAY + (1 - DECAY) * flat.var(0, ddof=int(unbiased))


def train_eagerly(layer, inputs):
    layer(inputs, training=True)


def train_in_function(layer, inputs):
    tf.function(lambda x: layer(x, training=True))(tf.constant(inputs))


def train_under_xla(layer, inputs):
    tf.function(lambda x: layer(x, training=True), jit_compile=True)(tf.constant(inputs))


def train_by_fit(layer, inputs):
    model = keras.Sequential([layer, keras.layers.Flatten()])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    targets = np.zeros([len(inputs), inputs[0].size], "float32")
    model.fit(inputs, targets, batch_size=len(inputs), epochs=1, verbose=0)


@pytest.mark.parametrize("train", [train_eagerly, train_in_function, train_under_xla, train_by_fit])
@pytest.mark.parametrize(
    ("inputs", "unbiased"), [(IMAGES, True), (IMAGES[:, 0, 0], False)], ids=["fused", "plain"]
)
def test_g05_moving_averages_are_updated_at_once_in_training(train, inputs, unbiased):
    layer = Norm()
    train(layer, inputs)
    mean, variance = expected_moving_averages(inputs, unbiased)
    np.testing.assert_allclose(moving_averages(layer)[0], mean, rtol=1e-4)
    np.testing.assert_allclose(moving_averages(layer)[1], variance, rtol=1e-4)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
def test_g05_never_updated_out_of_training(wrap):
    layer = Norm()
    outputs = wrap(lambda x: layer(x, training=False))(tf.constant(IMAGES))
    np.testing.assert_allclose(outputs, IMAGES / np.sqrt(1 + EPSILON), rtol=1e-5)
    np.testing.assert_array_equal(moving_averages(layer), [[0] * 3, [1] * 3])


def test_g05_training_may_be_a_tensor():
    layer = Norm()

    @tf.function
    def call(training):
        return layer(tf.constant(IMAGES), training=training)

    call(tf.constant(False))
    np.testing.assert_array_equal(moving_averages(layer), [[0] * 3, [1] * 3])
    outputs = call(tf.constant(True)).numpy()
    np.testing.assert_allclose(outputs.mean((0, 1, 2)), [0] * 3, atol=1e-5)
    np.testing.assert_allclose(
        moving_averages(layer)[0], expected_moving_averages(IMAGES, True)[0], rtol=1e-4
    )


def test_g05_training_outputs_are_normalized_by_the_biased_variance():
    outputs = Norm()(IMAGES, training=True)
    flat = IMAGES.reshape(-1, 3).astype("float64")
    expected = (IMAGES - flat.mean(0)) / np.sqrt(flat.var(0) + EPSILON)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_g05_each_replica_updates_from_its_own_batch():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = Norm()
    halves = iter([IMAGES[:2], IMAGES[2:]] * 2)
    batches = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(next(halves))
    )
    with strategy.scope():
        strategy.run(tf.function(lambda x: layer(x, training=True)), (batches,))
    expected = np.mean(
        [expected_moving_averages(half, True) for half in (IMAGES[:2], IMAGES[2:])], 0
    )
    np.testing.assert_allclose(moving_averages(layer), expected, rtol=1e-4)


def test_g17_tf1_modules_have_the_layers_and_give_back_what_they_had():
    shim.uninstall()
    with pytest.raises((AttributeError, ModuleNotFoundError)):
        _ = tf1.layers.conv2d
    shim.install()
    assert tf1.layers.conv2d is shim.layers.conv2d
    utils = tf1.keras.utils
    assert utils.track_tf1_style_variables is shim.track_tf1_style_variables
    assert utils.to_categorical is keras.utils.to_categorical


def test_g17_importing_the_shim_changes_nothing_global():
    code = """
import tensorflow as tf
from tensorflow.python.layers import convolutional, core
from tensorflow.python.framework import ops
from tensorflow.python.ops import variable_scope
def state():
    return [convolutional.Conv2D, core.Dense, variable_scope.VariableScope, vars(ops).get("Tensor"),
            sorted(vars(tf.compat.v1.layers)), "conv2d" in vars(tf.compat.v1.layers)]
before = state()
from shimzoo import shim
assert state() == before
shim.install(); shim.install()
assert state() != before
shim.uninstall()
assert state() == before
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_g19_tf1_layers_outside_of_a_decorated_method_say_what_to_do():
    message = r"'net/conv2d'.*outside of a decorated method"
    with tf1.variable_scope("net"), pytest.raises(RuntimeError, match=message):
        tf1.layers.conv2d(tf.constant(IMAGES), 2, 3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_half_and_keeps_float32(policy):
    layer, reference = SlimNet(dtype=policy), SlimNet()
    layer(IMAGES)
    reference(IMAGES)
    for variable, value in zip(layer.weights, reference.weights, strict=True):
        variable.assign(value)
    outputs = layer(IMAGES)
    assert outputs.dtype == policy.removeprefix("mixed_")
    assert {v.dtype for v in layer.weights} == {"float32"}
    np.testing.assert_allclose(tf.cast(outputs, tf.float32), reference(IMAGES), atol=0.1)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.cast(layer(IMAGES, training=True), tf.float32))
    gradients = tape.gradient(loss, layer.trainable_weights)
    assert {g.dtype.name for g in gradients} == {"float32"}
