"""G5: batch norm's moving averages move at once in training, and never else."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
layers = shim.layers

RANDOM = np.random.default_rng(5)
IMAGES = (2 + 3 * RANDOM.normal(size=(4, 5, 6, 3))).astype("float32")
MOMENTUM = 0.9
# Of the moving averages, after one step from zeros and ones: the fused kernel's unbiased variance.
MEAN = (1 - MOMENTUM) * IMAGES.mean((0, 1, 2))
VARIANCE = MOMENTUM + (1 - MOMENTUM) * IMAGES.var((0, 1, 2), ddof=1)

KINDS = {
    "fused": {},
    "not_fused": {"fused": False},
    "renorm": {"renorm": True},
    "virtual": {"virtual_batch_size": 2},
}


class Net(keras.Layer):
    def __init__(self, **arguments):
        super().__init__()
        self.arguments = {"momentum": MOMENTUM, **arguments}

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("net"):
            return layers.batch_normalization(inputs, training=training, **self.arguments)


def averages(net):
    return {v.path.rsplit("/", 1)[-1]: v.numpy() for v in net.non_trainable_variables}


def built(**arguments):
    net = Net(**arguments)
    net(IMAGES)
    return net


def run_in_model(net, training):
    # The first call of a functional model is one with symbolic tensors.
    inputs = keras.Input(IMAGES.shape[1:])
    model = keras.Model(inputs, net(inputs))
    return model(IMAGES, training=training)


def run_with_xla(net, training):
    return tf.function(net, jit_compile=True)(IMAGES, training=training)


RUNS = {
    "eager": lambda net, training: net(IMAGES, training=training),
    "function": lambda net, training: tf.function(net)(IMAGES, training=training),
    "function_with_tensor": lambda net, training: tf.function(net)(
        IMAGES, training=tf.constant(training)
    ),
    "model": run_in_model,
    "xla": run_with_xla,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("run", RUNS)
def test_g05_averages_move_at_once_in_training_only(run, kind):
    net = built(**KINDS[kind])
    before = averages(net)
    RUNS[run](net, False)
    for name, value in averages(net).items():
        np.testing.assert_array_equal(value, before[name])
    outputs = RUNS[run](net, True)
    np.testing.assert_allclose(
        averages(net)["moving_mean"], MEAN.reshape(before["moving_mean"].shape), rtol=1e-4
    )
    assert all(np.any(value != before[name]) for name, value in averages(net).items())
    if kind == "fused":
        np.testing.assert_allclose(averages(net)["moving_variance"], VARIANCE, rtol=1e-4)
        np.testing.assert_allclose(np.mean(outputs, (0, 1, 2)), np.zeros(3), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_g05_xla_gives_the_same_numbers(kind):
    plain, compiled = built(**KINDS[kind]), built(**KINDS[kind])
    for _ in range(3):
        expected = tf.function(plain)(IMAGES, training=True)
        found = tf.function(compiled, jit_compile=True)(IMAGES, training=True)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    for name, value in averages(compiled).items():
        np.testing.assert_allclose(value, averages(plain)[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_g05_fit_moves_the_averages(kind, jit_compile):
    net = Net(**KINDS[kind])
    model = keras.Sequential([net])
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=jit_compile)
    model.fit(IMAGES, np.zeros_like(IMAGES), batch_size=4, epochs=1, verbose=0)
    mean = averages(net)["moving_mean"]
    np.testing.assert_allclose(mean.ravel(), MEAN, rtol=1e-4)
    model.evaluate(IMAGES, np.zeros_like(IMAGES), verbose=0)
    model.predict(IMAGES, verbose=0)
    np.testing.assert_array_equal(averages(net)["moving_mean"], mean)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_tensor", [False, True])
def test_g05_replicas_average_their_own_batches(kind, is_tensor):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        net = Net(**KINDS[kind])
    batches = [IMAGES[:2], 5 + IMAGES[2:]]
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(batches[context.replica_id_in_sync_group])
    )

    @tf.function
    def step(training):
        strategy.run(net, args=(values,), kwargs={"training": training})

    for training in (False, True):
        step(tf.constant(training) if is_tensor else training)
        expected = training * 0.1 * np.mean([batch.mean((0, 1, 2)) for batch in batches], axis=0)
        np.testing.assert_allclose(averages(net)["moving_mean"].ravel(), expected, rtol=1e-4)


def test_g05_a_replica_without_examples_keeps_its_averages():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        nets = [Net(**arguments) for arguments in KINDS.values()]
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(IMAGES[: 4 * (context.replica_id_in_sync_group == 0)])
    )
    for net in nets:
        tf.function(lambda net=net: strategy.run(net, args=(values,), kwargs={"training": True}))()
        np.testing.assert_allclose(averages(net)["moving_mean"].ravel(), MEAN / 2, rtol=1e-4)


FORMS = {
    "bool": bool,
    "int": int,
    "numpy": np.bool_,
    "tensor": tf.constant,
    "variable": tf.Variable,
    "keras_variable": lambda value: keras.Variable(value, dtype="bool", trainable=False),
}


@pytest.mark.parametrize("kind", ["fused", "renorm"])
@pytest.mark.parametrize("in_function", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_g05_training_in_every_form(form, in_function, kind):
    net = built(**KINDS[kind])
    for is_training in (False, True):
        training = FORMS[form](is_training)

        def call(training=training):
            # Keras' own `__call__` would make a bool of it.
            return net.call(tf.constant(IMAGES), training=training)

        before = averages(net)["moving_mean"]
        (tf.function(call) if in_function else call)()
        assert np.any(averages(net)["moving_mean"] != before) == is_training


def test_g05_a_momentum_that_is_a_tensor():
    net = built(momentum=tf.constant(MOMENTUM))
    net(IMAGES, training=True)
    np.testing.assert_allclose(averages(net)["moving_mean"], MEAN, rtol=1e-4)
    np.testing.assert_allclose(averages(net)["moving_variance"], VARIANCE, rtol=1e-4)


def test_g05_half_precision_keeps_float32_statistics():
    for fused in (True, False):

        class Half(Net):
            @shim.track_tf1_style_variables
            def call(self, inputs, training=False):
                with tf1.variable_scope("net"):
                    return layers.batch_normalization(
                        tf.cast(inputs, tf.float16), training=training, **self.arguments
                    )

        net = Half(fused=fused)
        assert net(IMAGES, training=True).dtype == tf.float16
        assert {v.dtype for v in net.weights} == {"float32"}
        np.testing.assert_allclose(averages(net)["moving_mean"], MEAN, rtol=1e-2)


def test_g05_a_partitioner_leaves_the_averages_whole():
    class Partitioned(Net):
        @shim.track_tf1_style_variables
        def call(self, inputs, training=False):
            partitioner = tf1.fixed_size_partitioner(3)
            with tf1.variable_scope("net", partitioner=partitioner):
                return layers.batch_normalization(inputs, training=training, **self.arguments)

    net = Partitioned()
    net(IMAGES, training=True)
    np.testing.assert_allclose(averages(net)["moving_mean"], MEAN, rtol=1e-4)
    assert [v.path for v in net.weights][:2] == [
        "net/batch_normalization/gamma/part_0",
        "net/batch_normalization/gamma/part_1",
    ]


@pytest.mark.parametrize("fused", [True, False])
def test_g05_no_updates_are_left_to_run(fused):
    class Collecting(Net):
        @shim.track_tf1_style_variables
        def call(self, inputs, training=False):
            with tf1.variable_scope("net"):
                outputs = layers.batch_normalization(inputs, training=training, fused=fused)
            assert not tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
            return outputs

    Collecting()(IMAGES, training=True)


def test_g05_virtual_batches_have_statistics_of_their_own():
    net = built(virtual_batch_size=2)
    outputs = net(IMAGES, training=True).numpy()
    # Example i of n belongs to batch i modulo the number of batches.
    for first in (0, 1):
        np.testing.assert_allclose(outputs[first::2].mean((0, 1, 2)), np.zeros(3), atol=1e-5)
    # In inference the batch need not be a multiple.
    assert net(IMAGES[:3]).shape == IMAGES[:3].shape


def test_g05_renorm_without_history_is_plain_batch_norm_after_it():
    # With its averages at the batch's statistics, the correction is none.
    net = built(renorm=True, renorm_momentum=0.0)
    net(IMAGES, training=True)
    corrected = net(IMAGES, training=True)
    np.testing.assert_allclose(
        corrected, built(fused=False)(IMAGES, training=True), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"axis": 7}, ValueError, "axis between -4 and 3.*got axis=7"),
        ({"axis": [1, -3]}, ValueError, "several different ones"),
        ({"axis": "channels"}, TypeError, "axis must be an integer"),
        ({"renorm": True, "renorm_clipping": {"max": 1}}, ValueError, "'dmax', 'rmax', 'rmin'"),
        ({"virtual_batch_size": 0}, ValueError, "positive integer"),
        ({"virtual_batch_size": 2, "adjustment": tf.shape}, ValueError, "do not go together"),
        ({"virtual_batch_size": 2, "axis": 0}, ValueError, "axis 0 is the batch"),
    ],
)
def test_g05_wrong_arguments_say_what_is_allowed(arguments, error, message):
    with pytest.raises(error, match=message):
        Net(**arguments)(IMAGES)


def test_g05_updates_in_tf1_graphs_wait_in_the_collection():
    with tf.Graph().as_default(), tf1.Session() as session:
        outputs = layers.batch_normalization(tf.constant(IMAGES), momentum=MOMENTUM, training=True)
        updates = tf1.get_collection(tf1.GraphKeys.UPDATE_OPS)
        mean, variance = tf1.global_variables()[2:]
        session.run(tf1.global_variables_initializer())
        session.run(outputs)
        assert len(updates) == 2
        np.testing.assert_array_equal(session.run(mean), np.zeros(3))
        session.run(updates)
        np.testing.assert_allclose(session.run(mean), MEAN, rtol=1e-4)
        np.testing.assert_allclose(session.run(variance), VARIANCE, rtol=1e-4)
