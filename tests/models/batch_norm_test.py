"""`BatchNorm` against TF1's op and against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo.models.batch_norm import BatchNorm
from shimzoo.tests.models.tolerances import GRADIENT, HALF, SAME, assert_close

EPSILON, MOMENTUM = 0.001, 0.9
# The same values in other shapes; only images take the fused kernel.
SHAPES = [(6, 5, 4, 3), (6, 20, 3), (120, 3)]


def make(shape, *, scale=True, **kwargs):
    layer = BatchNorm(momentum=MOMENTUM, epsilon=EPSILON, scale=scale, **kwargs)
    layer.build(shape)
    random = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(random.uniform(0.5, 2, weight.shape))
    return layer


def images(shape, seed=0):
    return np.random.default_rng(seed).normal(2, 3, shape).astype("float32")


def expected(layer, x, training):
    """Outputs and new moving statistics, as defined."""
    gamma = layer.gamma.numpy() if layer.scale else 1
    beta = layer.beta.numpy() if layer.center else 0
    moving_mean, moving_variance = layer.moving_mean.numpy(), layer.moving_variance.numpy()
    mean, variance = moving_mean, moving_variance
    if training:
        axes = tuple(range(x.ndim - 1))
        x = x.astype("float64")
        mean, variance = x.mean(axes), x.var(axes)
        unbiased = x.var(axes, ddof=1)
        moving_mean = moving_mean * MOMENTUM + mean * (1 - MOMENTUM)
        moving_variance = moving_variance * MOMENTUM + unbiased * (1 - MOMENTUM)
    outputs = (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta
    return outputs, moving_mean, moving_variance


def call(layer, x, how, training):
    if how == "eager":
        return layer(x, training=training)
    function = tf.function(lambda x: layer(x, training=training), jit_compile=how == "xla")
    return function(x)


@pytest.mark.parametrize("how", ["eager", "function", "xla"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_statistics(shape, training, how):
    layer, x = make(shape), images(shape)
    outputs, mean, variance = expected(layer, x, training)
    assert_close(call(layer, tf.constant(x), how, training), outputs, SAME, "outputs")
    assert_close(layer.moving_mean.numpy(), mean, SAME, "moving_mean")
    assert_close(layer.moving_variance.numpy(), variance, SAME, "moving_variance")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("scale", "center"), [(False, True), (True, False), (False, False)])
def test_without_gamma_or_beta(shape, scale, center):
    layer, x = make(shape, scale=scale, center=center), images(shape)
    outputs, _, _ = expected(layer, x, training=True)
    assert len(layer.trainable_weights) == scale + center
    assert_close(layer(x, training=True), outputs, SAME)


def test_equals_tf1_in_a_session():
    shape = SHAPES[0]
    layer, batches = make(shape), [images(shape, seed) for seed in range(3)]
    gamma, beta, *statistics = layer.get_weights()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, shape)
        moving = [tf.compat.v1.Variable(statistic) for statistic in statistics]
        outputs, *batch = tf.compat.v1.nn.fused_batch_norm(
            x, gamma, beta, epsilon=EPSILON, is_training=True
        )
        updates = [
            old.assign_sub((old - new) * (1 - MOMENTUM))
            for old, new in zip(moving, batch, strict=True)
        ]
        session.run(tf.compat.v1.global_variables_initializer())
        tf1_outputs = [session.run([outputs, updates], {x: batch})[0] for batch in batches]
        tf1_moving = session.run(moving)
    for batch, tf1_output in zip(batches, tf1_outputs, strict=True):
        assert_close(layer(batch, training=True), tf1_output, SAME)
    assert_close(layer.moving_mean.numpy(), tf1_moving[0], SAME)
    assert_close(layer.moving_variance.numpy(), tf1_moving[1], SAME)


def gradients(shape, training, *, jit_compile=False):
    layer, x = make(shape), tf.constant(images(SHAPES[0]).reshape(shape))

    @tf.function(jit_compile=jit_compile)
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, training=training)))
        return tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])

    by_x, by_gamma, by_beta = compute(x)
    return tf.reshape(by_x, SHAPES[0]), by_gamma, by_beta


@pytest.mark.parametrize("training", [False, True])
def test_the_kernels_gradients_are_those_of_the_formula(training):
    fused = gradients(SHAPES[0], training)
    others = [gradients(shape, training) for shape in SHAPES[1:]]
    others.append(gradients(SHAPES[0], training, jit_compile=True))
    for other in others:
        for gradient, expected in zip(other, fused, strict=True):
            assert_close(gradient, expected, GRADIENT)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(shape, policy):
    layer, x = make(shape, dtype=policy), images(shape)
    half = tf.cast(x, policy.removeprefix("mixed_"))
    outputs, mean, variance = expected(layer, tf.cast(half, tf.float32).numpy(), training=True)
    actual = layer(half, training=True)
    assert actual.dtype == half.dtype
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    assert_close(tf.cast(actual, tf.float32), outputs, HALF if "bf" not in policy else 8 * HALF)
    assert_close(layer.moving_mean.numpy(), mean, HALF)
    assert_close(layer.moving_variance.numpy(), variance, HALF)


@pytest.mark.parametrize("shape", SHAPES)
def test_double_precision(shape):
    layer, x = make(shape, dtype="float64"), images(shape).astype("float64")
    outputs, mean, variance = expected(layer, x, training=True)
    assert_close(layer(x, training=True), outputs, 1e-12)
    assert_close(layer.moving_mean.numpy(), mean, 1e-12)
    assert_close(layer.moving_variance.numpy(), variance, 1e-12)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_images_take_one_kernel_and_no_casts(policy):
    layer = make(SHAPES[0], dtype=policy)
    dtype = layer.compute_dtype
    function = tf.function(lambda x: layer(x, training=True))
    graph = function.get_concrete_function(tf.TensorSpec((None, 5, 4, 3), dtype)).graph
    operations = [operation.type for operation in graph.get_operations()]
    assert operations.count("FusedBatchNormV3") == 1
    assert not {"Cast", "Mean", "Mul", "Sub"} & set(operations)


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 1, 3), (1, 3)])
def test_a_single_value_has_no_variance(shape):
    layer = make(shape)
    before = layer.moving_variance.numpy()
    outputs = layer(np.full(shape, 7.0, "float32"), training=True)
    assert_close(np.ravel(outputs), layer.beta.numpy(), SAME)
    assert_close(layer.moving_variance.numpy(), before * MOMENTUM, SAME)


@pytest.mark.parametrize("how", ["eager", "function"])
@pytest.mark.parametrize("shape", [(0, 20, 3), (0, 3)])
def test_a_replica_without_an_image_learns_nothing(shape, how):
    layer = make(shape)
    _, mean, variance = expected(layer, images((1, 3)), training=False)
    assert call(layer, tf.zeros(shape), how, training=True).shape == shape
    assert_close(layer.moving_mean.numpy(), mean, 0.0)
    assert_close(layer.moving_variance.numpy(), variance, 0.0)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_frozen_layer_learns_nothing(shape):
    layer, x = make(shape), images(shape)
    layer.trainable = False
    outputs, mean, _ = expected(layer, x, training=False)
    assert_close(layer(x, training=True), outputs, SAME)
    assert_close(layer.moving_mean.numpy(), mean, 0.0)


def test_unknown_sizes_and_fit():
    inputs = keras.Input((None, None, 3))
    layer = BatchNorm(momentum=MOMENTUM, epsilon=EPSILON, scale=True)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(layer(inputs)))
    x = images(SHAPES[0])
    _, mean, variance = expected(layer, x, training=True)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    model.fit(x, np.zeros((6, 3)), batch_size=6, verbose=0)
    assert_close(layer.moving_mean.numpy(), mean, SAME)
    assert_close(layer.moving_variance.numpy(), variance, SAME)


def test_config_makes_the_same_layer():
    layer = make(SHAPES[0], scale=False, name="BatchNorm")
    copy = BatchNorm.from_config(layer.get_config())
    copy.build(SHAPES[0])
    copy.set_weights(layer.get_weights())
    x = images(SHAPES[0])
    assert_close(copy(x, training=True), layer(x, training=True), 0.0)
    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize("bad", [{"axis": 1}, {"renorm": True}])
def test_what_tf1_statistics_exclude(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        BatchNorm(momentum=MOMENTUM, epsilon=EPSILON, scale=True, **bad)


@pytest.mark.parametrize("shape", SHAPES)
def test_synchronized_on_one_device_is_the_same_function(shape):
    own, together = make(shape), make(shape, synchronized=True)
    together.set_weights(own.get_weights())
    x = images(shape)
    assert_close(together(x, training=True), own(x, training=True), SAME)
    for one, other in zip(together.weights, own.weights, strict=True):
        assert_close(one.numpy(), other.numpy(), SAME)
