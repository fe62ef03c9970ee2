"""G20: the traps that shim/README.md names, each with the Keras layer that is the same and not."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

shim.install()

import tf_slim as slim  # noqa: E402  (TF1 code, imported as its users do, after install)
from tf_slim.nets import resnet_utils  # noqa: E402

tf1 = tf.compat.v1
RANDOM = np.random.default_rng(0)
EVEN = RANDOM.normal(2.0, 3.0, (4, 6, 6, 3)).astype("float32")
ODD = EVEN[:, :5, :5]


class Runs(keras.Layer):
    """Runs TF1 code given as a function of the inputs, in the scope "net"."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("net"):
            return self.code(inputs, training)


def called(code, inputs, training=False):
    layer = Runs(code)
    return layer, layer(inputs, training=training)


def with_weights_of(native, layer, inputs):
    native.build(inputs.shape)
    pairs = zip(layer.weights, native.weights, strict=True)
    native.set_weights([ours.numpy().reshape(theirs.shape) for ours, theirs in pairs])
    return native


def close(ours, theirs):
    return np.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def loss_of(regularizer):
    layer, _ = called(
        lambda x, _: shim.layers.dense(x, 2, kernel_regularizer=regularizer, name="dense"),
        np.ones([1, 3]),
    )
    kernel = layer.weights[0].numpy()
    return layer.losses[0] / np.sum(kernel**2)


def test_g20_slims_l2_regularizer_has_half_the_factor_of_keras():
    np.testing.assert_allclose(loss_of(slim.l2_regularizer(0.1)), 0.05, rtol=1e-5)
    np.testing.assert_allclose(loss_of(keras.regularizers.L2(0.1)), 0.1, rtol=1e-5)
    np.testing.assert_allclose(loss_of(keras.regularizers.L2(0.05)), 0.05, rtol=1e-5)


def test_g20_slims_l1_regularizer_has_the_factor_of_keras():
    weights = tf.constant([1.0, -2.0])
    np.testing.assert_allclose(
        slim.l1_regularizer(0.1)(weights), keras.regularizers.L1(0.1)(weights), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("dropout", "kept"),
    [
        (lambda x: slim.dropout(x, keep_prob=0.8), 0.8),
        (lambda x: slim.dropout(x, 0.8), 0.8),
        (lambda x: shim.layers.dropout(x, 0.8, training=True), 0.2),
        (lambda x: keras.layers.Dropout(0.8)(x, training=True), 0.2),
    ],
    ids=["slim", "slim by position", "tf.layers", "keras"],
)
def test_g20_keep_prob_is_what_rate_is_not(dropout, kept):
    _, outputs = called(lambda x, _: dropout(x), np.ones([200, 200], "float32"))
    assert np.mean(outputs != 0) == pytest.approx(kept, abs=0.02)
    np.testing.assert_allclose(outputs[outputs != 0], 1 / kept, rtol=1e-5)


def test_g20_slims_dropout_is_on_unless_told():
    dropped = called(lambda x, _: slim.dropout(x, 0.5), np.ones([9, 9], "float32"))[1]
    kept = called(lambda x, _: shim.layers.dropout(x, 0.5), np.ones([9, 9], "float32"))[1]
    assert np.any(dropped == 0)
    assert np.all(kept == 1)


NORMS = {
    "slim": (lambda x, training: slim.batch_norm(x, is_training=training), 0.999),
    "tf.layers": (lambda x, training: shim.layers.batch_normalization(x, training=training), 0.99),
}


@pytest.mark.parametrize("name", NORMS)
def test_g20_batch_norm_defaults(name):
    norm, decay = NORMS[name]
    layer, outputs = called(norm, EVEN, training=True)
    names = [v.path.rpartition("/")[2] for v in layer.weights]
    gamma = ["gamma"] if name == "tf.layers" else []
    assert names == [*gamma, "beta", "moving_mean", "moving_variance"]
    mean, variance = EVEN.mean((0, 1, 2)), EVEN.var((0, 1, 2))
    np.testing.assert_allclose(layer.weights[-2], mean * (1 - decay), rtol=1e-3)
    # Epsilon, seen where the variance is small.
    small = EVEN[:1, :1, :2] * np.float32(1e-2)
    _, outputs = called(norm, small, training=True)
    expected = (small - small.mean((0, 1, 2))) / np.sqrt(small.var((0, 1, 2)) + 0.001)
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-5)
    assert variance.min() > 1


def test_g20_keras_batch_norm_has_the_defaults_of_tf_layers():
    native = keras.layers.BatchNormalization()
    ours = shim.layers.BatchNormalization()
    for name in ("momentum", "epsilon", "center", "scale"):
        assert getattr(native, name) == getattr(ours, name)
    assert (native.momentum, native.epsilon, native.scale) == (0.99, 0.001, True)


@pytest.mark.parametrize(
    ("inputs", "is_unbiased"), [(EVEN, True), (EVEN[:, 0, 0], False)], ids=["images", "vectors"]
)
def test_g20_the_fused_kernel_averages_the_unbiased_variance_and_keras_the_biased_one(
    inputs, is_unbiased
):
    layer, ours = called(NORMS["tf.layers"][0], inputs, training=True)
    native = keras.layers.BatchNormalization()
    theirs = native(inputs, training=True)
    assert close(ours, theirs)
    count = inputs.size / inputs.shape[-1]
    moved = layer.weights[-1].numpy() - 0.99, native.moving_variance.numpy() - 0.99
    factor = count / (count - 1) if is_unbiased else 1.0
    np.testing.assert_allclose(moved[0], moved[1] * factor, rtol=1e-3)
    biased = inputs.var(tuple(range(inputs.ndim - 1)))
    np.testing.assert_allclose(moved[1], 0.01 * biased, rtol=1e-3)


@pytest.mark.parametrize("inputs", [EVEN, ODD], ids=["even", "odd"])
def test_g20_same_padding_with_stride_2_depends_on_the_size(inputs):
    layer, outputs = called(
        lambda x, _: slim.conv2d(x, 2, 3, stride=2, activation_fn=None, scope="conv"), inputs
    )
    same = with_weights_of(keras.layers.Conv2D(2, 3, 2, "same"), layer, inputs)
    assert close(outputs, same(inputs))
    valid = keras.layers.Conv2D(2, 3, 2, "valid")
    padded = np.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
    explicit = with_weights_of(valid, layer, padded)(padded)
    assert explicit.shape == outputs.shape
    is_even = inputs.shape[1] % 2 == 0
    assert close(outputs, explicit) != is_even
    below = np.pad(inputs, [[0, 0], [0, 1], [0, 1], [0, 0]])
    assert not is_even or close(outputs, valid(below))


@pytest.mark.parametrize("inputs", [EVEN, ODD], ids=["even", "odd"])
def test_g20_code_that_pads_itself_pads_both_sides(inputs):
    def code(x, _):
        with slim.arg_scope([slim.conv2d], activation_fn=None):
            return resnet_utils.conv2d_same(x, 2, 3, stride=2, scope="conv")

    layer, outputs = called(code, inputs)
    padded = np.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
    native = with_weights_of(keras.layers.Conv2D(2, 3, 2, "valid"), layer, padded)
    assert close(outputs, native(padded))
    same = with_weights_of(keras.layers.Conv2D(2, 3, 2, "same"), layer, inputs)
    assert close(outputs, same(inputs)) == (inputs.shape[1] % 2 == 1)


def test_g20_separable_convolution_without_outputs_is_the_depthwise_half():
    layer, outputs = called(
        lambda x, _: slim.separable_conv2d(x, None, 3, 2, activation_fn=None, scope="conv"), EVEN
    )
    assert [v.path for v in layer.weights] == ["net/conv/depthwise_weights", "net/conv/biases"]
    native = keras.layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)
    assert close(outputs, with_weights_of(native, layer, EVEN)(EVEN))


def test_g20_separable_convolution_with_outputs_has_nothing_between_its_halves():
    layer, outputs = called(
        lambda x, _: slim.separable_conv2d(x, 4, 3, 2, scope="conv", normalizer_fn=None), EVEN
    )
    native = keras.layers.SeparableConv2D(4, 3, padding="same", depth_multiplier=2)
    linear = with_weights_of(native, layer, EVEN)(EVEN)
    assert close(outputs, tf.nn.relu(linear))
    depthwise, pointwise = layer.weights[:2]
    between = tf.nn.depthwise_conv2d(EVEN, depthwise.value, [1, 1, 1, 1], "SAME")
    halves = tf.nn.conv2d(between, pointwise.value, 1, "SAME")
    assert close(linear, halves)
    assert not close(linear, tf.nn.conv2d(tf.nn.relu(between), pointwise.value, 1, "SAME"))


def test_g20_automatic_names_are_counted_anew_in_every_call():
    def code(x, _):
        return shim.layers.dense(shim.layers.dense(x, 3), 2)

    layer, first = called(code, EVEN[:, 0, 0])
    assert [v.path for v in layer.weights[::2]] == ["net/dense/kernel", "net/dense_1/kernel"]
    np.testing.assert_array_equal(layer(EVEN[:, 0, 0]), first)
    assert len(layer.weights) == 4


def test_g20_two_methods_without_a_scope_meet_in_the_same_names():
    class TwoMethods(tf.Module):
        @shim.track_tf1_style_variables
        def encode(self, inputs):
            return shim.layers.dense(inputs, 3)

        @shim.track_tf1_style_variables
        def decode(self, inputs):
            return shim.layers.dense(inputs, 3)

    module = TwoMethods()
    with pytest.warns(UserWarning, match="TwoMethods makes variables under automatic names"):
        module.encode(EVEN[:, 0, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.decode(EVEN[:, 0, 0])
    assert [v.name for v in module.variables] == ["dense/kernel:0", "dense/bias:0"]
