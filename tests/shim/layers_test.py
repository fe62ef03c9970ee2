"""G4: TF1's layers compute what TF1's computed, checked against plain ops and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
layers = shim.layers

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(2, 7, 8, 3)).astype("float32")


class Runs(keras.Layer):
    """Runs TF1 code given as a function of the inputs, in the scope "net"."""

    def __init__(self, code, **kwargs):
        super().__init__(**kwargs)
        self.code = code

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return self.code(inputs)


def run(code, inputs):
    """Outputs of a second call, when all variables exist, and the variables by name."""
    layer = Runs(code)
    layer(inputs)
    return layer(inputs).numpy(), {v.path.removeprefix("net/"): v for v in layer.weights}


def test_g04_automatic_names_count_up_in_every_call_anew():
    def code(x):
        x = layers.conv2d(x, 2, 3)
        x = layers.conv2d(x, 2, 3)
        x = layers.conv2d(x, 2, 3, name="named")
        return layers.dense(layers.flatten(x), 4)

    _, variables = run(code, IMAGES)
    assert list(variables) == [
        f"{layer}/{weight}"
        for layer in ("conv2d", "conv2d_1", "named", "dense")
        for weight in ("kernel", "bias")
    ]


def test_g04_reuse_shares_weights():
    def code(x):
        first = layers.conv2d(x, 3, 3, name="conv", padding="same")
        return layers.conv2d(first, 3, 3, name="conv", padding="same", reuse=True)

    _, variables = run(code, IMAGES)
    assert list(variables) == ["conv/kernel", "conv/bias"]


@pytest.mark.parametrize("arguments", [{"strides": 2}, {"dilation_rate": (2, 1)}])
@pytest.mark.parametrize("padding", ["same", "VALID"])
def test_g04_conv2d(arguments, padding):
    outputs, weights = run(
        lambda x: layers.conv2d(x, 4, (3, 2), padding=padding, activation="relu", **arguments),
        IMAGES,
    )
    expected = tf.nn.convolution(
        IMAGES,
        weights["conv2d/kernel"],
        strides=arguments.get("strides", 1),
        dilations=arguments.get("dilation_rate", 1),
        padding=padding.upper(),
    )
    np.testing.assert_allclose(outputs, tf.nn.relu(expected), atol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_g04_conv2d_transpose_is_the_gradient_of_conv2d(padding):
    outputs, weights = run(
        lambda x: layers.conv2d_transpose(x, 5, 3, strides=2, padding=padding, use_bias=False),
        IMAGES,
    )
    kernel = weights["conv2d_transpose/kernel"]
    assert tuple(kernel.shape) == (3, 3, 5, 3)
    with tf.GradientTape() as tape:
        wide = tf.zeros(outputs.shape)
        tape.watch(wide)
        narrow = tf.nn.conv2d(wide, kernel, 2, padding.upper())
    np.testing.assert_allclose(
        outputs, tape.gradient(narrow, wide, output_gradients=IMAGES), atol=1e-5
    )


@pytest.mark.parametrize("arguments", [{"strides": 2}, {"dilation_rate": 2}])
def test_g04_separable_conv2d(arguments):
    outputs, weights = run(
        lambda x: layers.separable_conv2d(x, 4, 3, depth_multiplier=2, **arguments), IMAGES
    )
    depthwise = tf.nn.depthwise_conv2d(
        IMAGES,
        weights["separable_conv2d/depthwise_kernel"],
        strides=[1, arguments.get("strides", 1), arguments.get("strides", 1), 1],
        padding="VALID",
        dilations=[arguments.get("dilation_rate", 1)] * 2,
    )
    expected = tf.nn.conv2d(depthwise, weights["separable_conv2d/pointwise_kernel"], 1, "VALID")
    np.testing.assert_allclose(outputs, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "rank", "shape"),
    [
        (lambda x: layers.conv1d(x, 2, 3, strides=2), 1, (2, 3, 2)),
        (lambda x: layers.conv3d(x, 2, 3, padding="same"), 3, (2, 8, 8, 8, 2)),
        (lambda x: layers.conv3d_transpose(x, 2, 2, strides=2), 3, (2, 16, 16, 16, 2)),
        (lambda x: layers.separable_conv1d(x, 2, 3, dilation_rate=2), 1, (2, 4, 2)),
        (lambda x: layers.max_pooling1d(x, 2, 2), 1, (2, 4, 3)),
        (lambda x: layers.average_pooling1d(x, 3, 2, padding="same"), 1, (2, 4, 3)),
        (lambda x: layers.max_pooling3d(x, 2, 2), 3, (2, 4, 4, 4, 3)),
        (lambda x: layers.average_pooling3d(x, 2, 2), 3, (2, 4, 4, 4, 3)),
    ],
)
def test_g04_one_and_three_dimensions(layer, rank, shape):
    inputs = RANDOM.normal(size=(2, *[8] * rank, 3)).astype("float32")
    assert run(layer, inputs)[0].shape == shape


@pytest.mark.parametrize(
    ("layer", "reduce"), [(layers.max_pooling2d, np.max), (layers.average_pooling2d, np.mean)]
)
def test_g04_pooling2d(layer, reduce):
    outputs, weights = run(lambda x: layer(x, 2, 2), IMAGES)
    windows = IMAGES[:, :6].reshape(2, 3, 2, 4, 2, 3)
    np.testing.assert_allclose(outputs, reduce(windows, axis=(2, 4)), rtol=1e-5)
    assert not weights


def test_g04_dense_on_any_rank():
    outputs, weights = run(lambda x: layers.dense(x, 5, kernel_initializer="ones"), IMAGES)
    np.testing.assert_allclose(outputs, np.repeat(IMAGES.sum(-1, keepdims=True), 5, -1), rtol=1e-4)
    assert tuple(weights["dense/kernel"].shape) == (3, 5)


def test_g04_dropout_drops_the_rate_and_keeps_the_mean():
    ones = np.ones([200, 200], "float32")
    outputs, _ = run(lambda x: layers.dropout(x, 0.25, training=True), ones)
    assert np.mean(outputs == 0) == pytest.approx(0.25, abs=0.02)
    np.testing.assert_allclose(outputs[outputs != 0], 4 / 3, rtol=1e-6)
    columns, _ = run(lambda x: layers.dropout(x, 0.5, noise_shape=[1, None], training=True), ones)
    assert {len(set(column)) for column in columns.T} == {1}
    np.testing.assert_array_equal(run(lambda x: layers.dropout(x, 0.25), ones)[0], ones)


def test_g04_flatten_orders_channels_alike_in_both_formats():
    last, _ = run(lambda x: layers.flatten(x), IMAGES)
    first, _ = run(
        lambda x: layers.flatten(x, data_format="channels_first"), IMAGES.transpose(0, 3, 1, 2)
    )
    np.testing.assert_array_equal(last, IMAGES.reshape(2, -1))
    np.testing.assert_array_equal(first, last)


def test_g04_batch_normalization_over_the_second_axis():
    images = IMAGES.transpose(0, 3, 1, 2)
    outputs, _ = run(
        lambda x: layers.batch_normalization(x, axis=1, training=True, fused=False), images
    )
    expected, _ = run(lambda x: layers.batch_normalization(x, training=True), IMAGES)
    np.testing.assert_allclose(outputs, expected.transpose(0, 3, 1, 2), atol=1e-5)


def test_g04_batch_normalization_of_float64_images():
    class Net(Runs):
        def __init__(self, code):
            super().__init__(code, dtype="float64")

    outputs = Net(lambda x: layers.batch_normalization(x, training=True))(IMAGES)
    assert outputs.dtype == tf.float64
    np.testing.assert_allclose(outputs.numpy().mean((0, 1, 2)), [0] * 3, atol=1e-6)


def test_g04_activity_regularizer_does_not_grow_with_the_batch():
    layer = Runs(lambda x: layers.dense(x, 2, activity_regularizer=tf.reduce_sum))
    outputs = layer(IMAGES[:, 0, 0])
    np.testing.assert_allclose(layer.losses, [outputs.numpy().sum() / 2], rtol=1e-5)


def test_g04_layer_objects_keep_their_weights_from_call_to_call():
    class Net(keras.Layer):
        def __init__(self):
            super().__init__()
            self.conv = layers.Conv2D(2, 3, name="conv")
            self.norm = layers.BatchNormalization(name="norm")

        @shim.track_tf1_style_variables
        def call(self, inputs):
            return self.norm(self.conv(inputs), True)

    net = Net()
    np.testing.assert_array_equal(net(IMAGES), net(IMAGES))
    assert len(net.weights) == 6
    assert [v.name for v in net.conv.trainable_variables] == ["conv/kernel:0", "conv/bias:0"]


def test_g04_layer_objects_in_tf1_graphs():
    conv = layers.Conv2D(2, 3, name="conv")
    for _ in range(2):
        with tf.Graph().as_default():
            images = tf.constant(IMAGES)
            conv(images)
            conv(images)
            assert [v.op.name for v in tf1.global_variables()] == ["conv/kernel", "conv/bias"]


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (lambda x: layers.conv2d(x), TypeError, r"conv2d\(\): missing .* 'filters'"),
        (lambda x: layers.conv2d(x, 2, 3, padding="sam"), ValueError, "'same' or 'valid', got"),
        (lambda x: layers.conv2d(x, 2, [3, 3, 3]), ValueError, "kernel_size must be"),
        (lambda x: layers.conv1d(x, 2, 3), ValueError, "needs inputs of rank 3"),
        (lambda x: layers.max_pooling1d(x, 2, 2), ValueError, "needs inputs of rank 3"),
        (lambda x: layers.batch_normalization(x, axis=7), ValueError, "axis between -4 and 3"),
        (lambda x: layers.batch_normalization(x, renorm=True), ValueError, "not supported"),
        (lambda x: layers.Conv2D(2, 3, size=1), TypeError, "does not know.*size"),
    ],
)
def test_g04_wrong_arguments_say_what_is_allowed(code, error, message):
    with pytest.raises(error, match=message):
        run(code, IMAGES)
