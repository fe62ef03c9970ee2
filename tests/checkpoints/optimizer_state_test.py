"""The state of optimizers: a training begun in TF1, or in one version, goes on in another."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models, shim
from shimzoo.tests.data import goldens

tf1 = tf.compat.v1

INPUTS = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
TARGETS = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")
STEPS = 4
RATE = 0.05
# Keras' optimizer, and TF1's with the same numbers.
PAIRS = {
    "momentum": (
        lambda: keras.optimizers.SGD(RATE, momentum=0.9),
        lambda: tf1.train.MomentumOptimizer(RATE, 0.9),
    ),
    "rmsprop": (
        lambda: keras.optimizers.RMSprop(RATE, rho=0.9, momentum=0.5, epsilon=1.0),
        lambda: tf1.train.RMSPropOptimizer(RATE, decay=0.9, momentum=0.5, epsilon=1.0),
    ),
    "centered rmsprop": (
        lambda: keras.optimizers.RMSprop(RATE, momentum=0.5, epsilon=1.0, centered=True),
        lambda: tf1.train.RMSPropOptimizer(RATE, momentum=0.5, epsilon=1.0, centered=True),
    ),
    "rmsprop without momentum": (
        lambda: keras.optimizers.RMSprop(RATE, rho=0.9, epsilon=1.0),
        lambda: tf1.train.RMSPropOptimizer(RATE, decay=0.9, epsilon=1.0),
    ),
    "adam": (
        lambda: keras.optimizers.Adam(RATE, epsilon=1e-8),
        lambda: tf1.train.AdamOptimizer(RATE),
    ),
}
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
WITH_STATE = {"tf1": "model.ckpt", "tf2": "model-tf2", "safetensors": "model.safetensors"}


def net(inputs):
    hidden = shim.layers.dense(inputs, 4, tf.nn.tanh, name="hidden")
    return shim.layers.dense(hidden, 2, name="outputs")


class Net(keras.Model):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return net(inputs)


def train_in_keras(model, steps):
    return [float(model.train_on_batch(INPUTS, TARGETS)) for _ in range(steps)]


def new_net(optimizer):
    model = Net()
    model(INPUTS)
    for number, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(number).normal(size=weight.shape))
    model.compile(optimizer, "mse", run_eagerly=True)
    return model


def train_in_tf1(optimizer, steps, read, written=None):
    """Trains in a session from a checkpoint; the losses."""
    with tf.Graph().as_default(), tf1.Session() as session:
        with tf1.variable_scope("net"):
            hidden = tf1.layers.dense(INPUTS, 4, tf.nn.tanh, name="hidden")
            outputs = tf1.layers.dense(hidden, 2, name="outputs")
        loss = tf.reduce_mean(tf.square(outputs - TARGETS))
        train = optimizer.minimize(loss, global_step=tf1.train.get_or_create_global_step())
        saver = tf1.train.Saver()
        saver.restore(session, str(read))
        losses = []
        for _ in range(steps):
            losses.append(session.run(loss))
            session.run(train)
        if written:
            saver.save(session, str(written))
        return losses


@pytest.fixture(autouse=True)
def installed():
    shim.install()


@every_pair
def test_a_training_goes_on_in_tf1_and_back(pair, tmp_path):
    in_keras, in_tf1 = pair
    expected = train_in_keras(new_net(in_keras()), 3 * STEPS)
    model = new_net(in_keras())
    losses = train_in_keras(model, STEPS)
    checkpoints.save(model, tmp_path / "one", include_optimizer=True)
    losses += train_in_tf1(in_tf1(), STEPS, tmp_path / "one", tmp_path / "two")
    other = new_net(in_keras())
    report = checkpoints.restore(other, tmp_path / "two", include_optimizer=True)
    assert report.left_out["global step"] == ("global_step",)
    assert int(other.optimizer.iterations) == 2 * STEPS
    losses += train_in_keras(other, STEPS)
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    # The state matters: without it the losses are others.
    checkpoints.restore(fresh := new_net(in_keras()), tmp_path / "two")
    assert not np.allclose(train_in_keras(fresh, STEPS), expected[2 * STEPS :], rtol=1e-4)


@pytest.mark.parametrize("format", WITH_STATE)
@pytest.mark.parametrize("optimizer", ["momentum", "rmsprop", "adam"])
def test_a_training_goes_on_in_another_version(optimizer, format, tmp_path):
    name = "mobilenet_v1_0.25_128"
    images, labels = goldens.image((4, 32, 32, 3)), np.arange(4)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def create(stage):
        model = models.create(name, stage, num_classes=10, input_size=32, dropout_keep_prob=1.0)
        for weight in model.weights:
            weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
        keras_optimizer = PAIRS[optimizer][0]()
        # A power of two, by which momentum is scaled exactly: in so small a net on so few images a
        # difference in the last bit grows tenfold with every other step.
        keras_optimizer.learning_rate = 2**-10
        model.compile(keras_optimizer, loss, run_eagerly=True)
        return model

    def train(model):
        return [float(model.train_on_batch(images, labels)) for _ in range(10)]

    whole = create("native")
    expected = train(whole) + train(whole)
    first, second = create("shimmed"), create("native")
    losses = train(first)
    checkpoints.save(first, tmp_path / "shimmed.ckpt", include_optimizer=True)
    target = tmp_path / WITH_STATE[format]
    done = checkpoints.convert(
        tmp_path / "shimmed.ckpt", target, model=name, format=format, include_optimizer=True
    )
    assert len(done.state) >= len(first.trainable_weights)
    checkpoints.restore(second, target, include_optimizer=True)
    losses += train(second)
    np.testing.assert_allclose(losses, expected, rtol=1e-3)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (lambda: keras.optimizers.AdamW(), "state of AdamW has no counterpart in TF1"),
        (lambda: keras.optimizers.Adam(amsgrad=True), "state of Adam has no counterpart"),
        (lambda: keras.optimizers.SGD(0.0, momentum=0.9), "learning rate of 0"),
    ],
    ids=["adamw", "amsgrad", "rate 0"],
)
def test_optimizers_that_tf1_does_not_have(optimizer, message, tmp_path):
    model = new_net(optimizer())
    with pytest.raises(ValueError, match=message):
        checkpoints.save(model, tmp_path / "model.ckpt", include_optimizer=True)
    assert list(tmp_path.iterdir()) == []


def test_state_that_is_not_there_changes_nothing(tmp_path):
    model = new_net(PAIRS["adam"][0]())
    train_in_keras(model, 2)
    checkpoints.save(new_net("sgd"), tmp_path / "weights")
    before = [v.numpy() for v in (*model.weights, *model.optimizer.variables)]
    with pytest.raises(ValueError, match="has no state of Adam: net/hidden/kernel/Adam is missing"):
        checkpoints.restore(model, tmp_path / "weights", include_optimizer=True)
    after = [v.numpy() for v in (*model.weights, *model.optimizer.variables)]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("format", ["h5", "keras"])
def test_keras_files_have_no_names_for_state(format, tmp_path):
    suffix = {"h5": ".weights.h5", "keras": ".keras"}[format]
    model = new_net(PAIRS["adam"][0]())
    with pytest.raises(ValueError, match="holds Keras' own"):
        checkpoints.save(model, tmp_path / f"model{suffix}", format, include_optimizer=True)
