"""TF1 code in each kind of object that can be decorated, and what a training step does to it."""

import keras
import numpy as np
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1


def net(images, training):
    """TF1 code with a variable of each kind: trained, regularized, averaged, counted."""
    with tf1.variable_scope("net"):
        calls = tf1.get_variable(
            "calls",
            [],
            tf.int64,
            tf1.zeros_initializer(),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        if training:
            calls.assign_add(1)
        outputs = shim.layers.conv2d(
            images, 3, 3, kernel_regularizer=keras.regularizers.L2(0.1), name="conv"
        )
        outputs = shim.layers.batch_normalization(
            outputs, momentum=0.5, training=training, name="norm"
        )
        return shim.layers.dense(tf.reduce_mean(outputs, [1, 2]), 2, name="logits")


NAMES = [
    "net/calls",
    "net/conv/kernel",
    "net/conv/bias",
    "net/norm/gamma",
    "net/norm/beta",
    "net/norm/moving_mean",
    "net/norm/moving_variance",
    "net/logits/kernel",
    "net/logits/bias",
]
AVERAGED = ("net/norm/moving_mean", "net/norm/moving_variance")


class NetLayer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        return net(images, training)


class NetModel(keras.Model):
    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        return net(images, training)


class NetModule(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, images, training=False):
        return net(images, training)


RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(8, 6, 6, 3)).astype("float32")
LABELS = RANDOM.integers(0, 2, size=8)


def tf_variables(owner):
    """TF1 name -> the `tf.Variable`, or the strategy's variable, that the object tracks."""
    if isinstance(owner, tf.Module) and not isinstance(owner, keras.Layer):
        return {v.name.removesuffix(":0"): v for v in owner.variables}
    return {v.path: v.value for v in owner.variables}


def give_known_values(owner):
    for i, variable in enumerate(tf_variables(owner).values()):
        if variable.dtype.is_floating:
            shape = tuple(variable.shape)
            variable.assign(np.cos(np.arange(np.prod(shape)) + i).reshape(shape) + 0.1)


def shards(replicas):
    """Which examples of a batch each replica gets."""
    return np.split(np.arange(len(IMAGES)), replicas)


def expected_step(make, shards_of_examples, learning_rate=0.1):
    """One step of gradient descent by hand: every replica a part of the batch."""
    owner = make()
    owner(tf.constant(IMAGES[:1]))
    trained = list(owner.trainable_variables)
    moved = {}
    gradients = []
    for examples in shards_of_examples:
        give_known_values(owner)
        with tf.GradientTape() as tape:
            logits = owner(tf.constant(IMAGES[examples]), training=True)
            loss = tf.reduce_mean(cross_entropy(LABELS[examples], logits))
            loss += 0.1 * tf.reduce_sum(tf_variables(owner)["net/conv/kernel"] ** 2)
        gradients.append(tape.gradient(loss, trained))
        for name in AVERAGED:
            moved.setdefault(name, []).append(tf_variables(owner)[name].numpy())
    give_known_values(owner)
    for variable, *of_shards in zip(trained, *gradients, strict=True):
        variable.assign(variable - learning_rate * tf.reduce_mean(tf.stack(of_shards), 0))
    for name, values in moved.items():
        tf_variables(owner)[name].assign(np.mean(values, 0))
    tf_variables(owner)["net/calls"].assign(1)
    return owner


def cross_entropy(labels, logits):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(labels, tf.int32), logits)


def compile_like_expected_step(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)


def minimize(owner, optimizer, images, labels, replicas):
    """A replica's part of a step in a loop of one's own, as `expected_step` has it."""
    with tf.GradientTape() as tape:
        logits = owner(images, training=True)
        loss = tf.reduce_sum(cross_entropy(labels, logits)) / len(IMAGES)
        loss += tf.add_n(regularization_losses(owner)) / replicas
    variables = owner.trainable_variables
    if isinstance(optimizer, tf1.train.Optimizer):
        variables = [v for v in tf_variables(owner).values() if v.trainable]
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


def regularization_losses(owner):
    if isinstance(owner, keras.Layer):
        return owner.losses
    return [loss() for loss in shim.regularization_losses(owner)]


def assert_same_values(values, expected):
    """Compares values by TF1 name with an object's variables."""
    for name, variable in tf_variables(expected).items():
        np.testing.assert_allclose(
            values[name], variable.numpy(), rtol=2e-5, atol=2e-6, err_msg=name
        )


def values_of(owner):
    return {name: variable.numpy() for name, variable in tf_variables(owner).items()}
