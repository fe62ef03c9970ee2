"""G4: TF1's layers compute what TF1's computed, checked against plain ops and NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim
from shimzoo.shim.layers import spatial

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


class RunsModule(tf.Module):
    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return self.code(inputs)


@pytest.mark.parametrize("owner", [Runs, RunsModule], ids=["layer", "module"])
def test_g04_dropout_of_everything_is_refused_in_training_as_in_tf1(owner):
    with pytest.raises(ValueError, match=r"Dropout dropout has rate=1.0 in training"):
        owner(lambda x: layers.dropout(x, 1.0, training=True))(IMAGES)
    np.testing.assert_array_equal(owner(lambda x: layers.dropout(x, 1.0))(IMAGES), IMAGES)


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])
def test_g04_channels_first_on_a_cpu_beside_an_accelerator(monkeypatch, wrap):
    monkeypatch.setattr(spatial, "_has_accelerator", lambda: True)
    first = IMAGES.transpose(0, 3, 1, 2)

    @wrap
    def pooled(inputs):
        with tf.device("/CPU:0"):  # Where this op knows channels_last alone.
            return layers.max_pooling2d(inputs, 2, 2, data_format="channels_first")

    expected = layers.max_pooling2d(IMAGES, 2, 2).numpy()
    np.testing.assert_array_equal(pooled(first), expected.transpose(0, 3, 1, 2))


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


def objects_code():
    convolution, normalization = layers.Conv2D(2, 3), layers.BatchNormalization(name="norm")
    dense = layers.Dense(3, kernel_regularizer="l2", activity_regularizer=tf.reduce_sum)

    def code(inputs):
        return dense(layers.flatten(normalization(convolution(inputs), True)))

    code.layers = convolution, normalization, dense
    return code


def functional_code(inputs):
    x = layers.conv2d(inputs, 2, 3)
    x = layers.batch_normalization(x, training=True, name="norm")
    return layers.dense(layers.flatten(x), 3)


@pytest.mark.parametrize("wrap", [lambda call: call, tf.function])
def test_g15_layer_objects_keep_their_weights_from_call_to_call(wrap):
    layer = Runs(objects_code())
    call = wrap(layer)
    np.testing.assert_allclose(call(IMAGES), call(IMAGES), rtol=1e-6)
    convolution, normalization, dense = layer.code.layers
    names = {"conv2d": ["kernel", "bias"], "dense": ["kernel", "bias"]}
    names["norm"] = ["gamma", "beta", "moving_mean", "moving_variance"]
    assert [v.path for v in layer.weights] == [
        f"net/{name}/{weight}" for name in ("conv2d", "norm", "dense") for weight in names[name]
    ]
    assert (convolution.scope_name, normalization.name) == ("net/conv2d", "norm")
    # The attributes are the variables, not tensors of a traced function.
    assert convolution.kernel is layer.weights[0].value
    assert [v.name for v in convolution.trainable_variables] == [
        "net/conv2d/kernel:0",
        "net/conv2d/bias:0",
    ]
    assert [v.numpy().shape for v in normalization.non_trainable_variables] == [(2,), (2,)]
    assert np.any(normalization.moving_mean.numpy())
    dense.trainable = False
    assert dense.trainable_weights == []
    assert dense.variables == [dense.kernel, dense.bias]


def test_g15_two_owners_with_equal_layers_share_nothing():
    first, second = Runs(objects_code()), Runs(objects_code())
    for layer in (first, second, first):
        layer(IMAGES)
    assert not {id(v.value) for v in first.weights} & {id(v.value) for v in second.weights}
    assert first.code.layers[0].kernel is not second.code.layers[0].kernel


def test_g15_a_layer_object_given_to_two_owners_has_weights_in_both():
    code = objects_code()
    first, second = Runs(code), Runs(code)
    first(IMAGES), second(IMAGES)
    assert code.layers[0].kernel is second.weights[0].value
    first(IMAGES)
    assert code.layers[0].kernel is first.weights[0].value
    assert [v.path for v in first.weights] == [v.path for v in second.weights]


@pytest.mark.parametrize("is_called_before", [False, True])
def test_g15_functional_layers_checkpoint_restores_into_layer_objects(is_called_before, tmp_path):
    functional = Runs(functional_code)
    functional(IMAGES)
    for number, variable in enumerate(functional.weights):
        variable.assign(np.full(variable.shape, 0.1 * (number + 1)))
    path = tf.train.Checkpoint(model=functional).save(tmp_path / "functional")
    expected = functional(IMAGES)

    with_objects = Runs(objects_code())
    if is_called_before:
        with_objects(IMAGES)
    status = tf.train.Checkpoint(model=with_objects).restore(path)
    found = with_objects(IMAGES)
    status.assert_existing_objects_matched()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    for new, old in zip(with_objects.weights, functional.weights, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5)


def test_g04_objects_beside_functions_take_their_turn_in_automatic_names():
    first, last = layers.Dense(2), layers.Dense(2, name="dense")

    def code(x):
        return last(layers.dense(first(x), 2))

    _, variables = run(code, IMAGES[:, 0, 0])
    assert list(variables)[::2] == ["dense/kernel", "dense_1/kernel", "dense_2/kernel"]


def test_g04_names_and_reuse_by_scope_object():
    def code(x):
        with tf1.variable_scope("shared") as scope:
            first = layers.dense(x, 3, name=scope)
        second = layers.Dense(3, _scope=scope, _reuse=True)(first)
        third = layers.dense(second, 3, None, True, name="shared", reuse=tf1.AUTO_REUSE)
        return layers.Dense(3, _reuse=True, name="shared").apply(third)

    _, variables = run(code, IMAGES[:, 0, 0])
    assert list(variables) == ["shared/kernel", "shared/bias"]


def test_g04_reuse_of_what_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="net/dense/kernel does not exist"):
        run(lambda x: layers.dense(x, 3, name="dense", reuse=True), IMAGES)


def test_g04_losses_of_a_layer_object():
    code = objects_code()
    layer = Runs(code)
    outputs = layer(IMAGES)
    kernel = code.layers[-1].kernel.numpy()
    expected = [0.01 * np.sum(kernel**2), np.sum(outputs) / 2]
    np.testing.assert_allclose(code.layers[-1].losses, expected, rtol=1e-5)
    np.testing.assert_allclose(sorted(layer.losses), sorted(expected), rtol=1e-5)


def test_g04_constraints_hold_after_an_optimizers_step():
    layer = Runs(
        lambda x: layers.dense(
            x, 2, kernel_constraint="non_neg", bias_constraint=lambda bias: tf.minimum(bias, -1.0)
        )
    )
    model = keras.Sequential([layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(IMAGES[:, 0, 0], -np.ones([2, 2]), verbose=0)
    kernel, bias = layer.trainable_variables
    assert np.all(kernel.numpy() >= 0)
    assert np.all(bias.numpy() <= -1)


def test_g04_dense_takes_sparse_inputs():
    dense_inputs = np.diag([1.0, 2.0, 3.0]).astype("float32")
    layer = Runs(lambda x: layers.dense(tf.sparse.from_dense(x), 2, name="dense"))
    np.testing.assert_allclose(
        layer(dense_inputs), dense_inputs @ layer.weights[0].numpy(), rtol=1e-6
    )


def test_g04_dropout_in_a_tf1_graph_follows_its_seeds():
    def numbers():
        with tf.Graph().as_default(), tf1.Session() as session:
            tf1.set_random_seed(3)
            ours = layers.dropout(tf.ones([50]), 0.5, seed=7, training=True)
            plain = tf.nn.dropout(tf.ones([50]), rate=0.5, seed=7)
            return session.run([ours, plain])

    first, second = numbers(), numbers()
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first[0], second[0])


def test_g04_layers_without_weights_work_outside_of_decorated_methods():
    np.testing.assert_array_equal(layers.flatten(IMAGES), IMAGES.reshape(2, -1))
    assert layers.max_pooling2d(IMAGES, 2, 2).shape == (2, 3, 4, 3)


def test_g04_output_shapes_without_a_call():
    convolution = layers.Conv2D(5, 3, strides=2)
    assert convolution.compute_output_shape([None, 9, 9, 3]).as_list() == [None, 4, 4, 5]
    assert layers.Dense(4).compute_output_shape((None, 7)).as_list() == [None, 4]
    with pytest.raises(ValueError, match="no scope name yet"):
        _ = convolution.scope_name


def test_g04_layers_of_ones_own_may_come_without_build():
    class Scaled(layers.Layer):
        def call(self, inputs, power=1):
            scale = tf1.get_variable("scale", [], initializer=tf1.ones_initializer())
            return inputs**power * scale

    outputs, variables = run(lambda x: Scaled(name="scaled")(x, power=2), IMAGES)
    np.testing.assert_allclose(outputs, IMAGES**2, rtol=1e-6)
    assert list(variables) == ["scaled/scale"]


def test_g04_layer_objects_in_tf1_graphs():
    conv = layers.Conv2D(2, 3, name="conv")
    for _ in range(2):
        with tf.Graph().as_default():
            images = tf.constant(IMAGES)
            conv(images)
            conv(images)
            assert [v.op.name for v in tf1.global_variables()] == ["conv/kernel", "conv/bias"]


def test_g04_ops_in_tf1_graphs_are_named_by_layer():
    with tf.Graph().as_default() as graph:
        layer = layers.Dense(2)
        with tf1.variable_scope("net"):
            outputs = layer(layers.flatten(tf.constant(IMAGES), name="flat"))
            again = layer(tf.ones([1, 168]))
        assert outputs.op.name == "net/dense/BiasAdd"
        assert again.op.name == "net/dense/BiasAdd_1"
        assert "net/flat/Reshape" in {operation.name for operation in graph.get_operations()}
        assert layers.max_pooling2d(IMAGES, 2, 2).op.name == "max_pooling2d/MaxPool"


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (lambda x: layers.conv2d(x), TypeError, r"conv2d\(\): missing .* 'filters'"),
        (lambda x: layers.conv2d(x, 2, 3, padding="sam"), ValueError, "'same' or 'valid', got"),
        (lambda x: layers.conv2d(x, 2, [3, 3, 3]), ValueError, "kernel_size must be"),
        (lambda x: layers.conv1d(x, 2, 3), ValueError, "needs inputs of rank 3"),
        (lambda x: layers.max_pooling1d(x, 2, 2), ValueError, "needs inputs of rank 3"),
        (lambda x: layers.batch_normalization(x, axis=7), ValueError, "axis between -4 and 3"),
        (lambda x: layers.Conv2D(2, 3, size=1), TypeError, "does not know.*size"),
        (lambda x: layers.conv2d(x, 2, 3, size=1), TypeError, r"conv2d\(\):.* 'size'"),
        (lambda x: layers.flatten(x, reuse=True), TypeError, "'reuse'"),
        (lambda x: layers.conv2d(x, 2, 0), ValueError, "positive integer or 2 of them, got 0"),
        (lambda x: layers.conv2d(x, 2, 3, padding="causal"), ValueError, "'same' or 'valid', got"),
        (lambda x: layers.conv2d(x, 2, 3, data_format="NHWC"), ValueError, "'channels_last' or"),
        (lambda x: layers.flatten(x, data_format="NHWC"), ValueError, "'channels_last' or"),
        (lambda x: layers.dense(tf.ones([2, 3], tf.int32), 2), TypeError, "floating-point.*int32"),
        (lambda x: layers.conv2d(tf.cast(x, tf.uint8), 2, 3), TypeError, "floating-point.*uint8"),
        (lambda x: layers.conv1d(tf.ones([1, 9, 3], tf.int32), 2, 3), TypeError, "Cast the inputs"),
        (
            lambda x: layers.conv2d_transpose(tf.cast(x, tf.int32), 2, 3),
            TypeError,
            "Conv2DTranspose layer .*int32",
        ),
        (
            lambda x: layers.separable_conv2d(tf.cast(x, tf.int32), 2, 3),
            TypeError,
            "SeparableConv2D layer .*int32",
        ),
        (lambda x: layers.dropout(x, 1.5), ValueError, "rate in .0, 1.*1.5"),
    ],
)
def test_g04_wrong_arguments_say_what_is_allowed(code, error, message):
    with pytest.raises(error, match=message):
        run(code, IMAGES)
