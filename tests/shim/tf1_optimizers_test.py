"""TF1's optimizers train the variables of decorated methods, outside of them and inside."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
INPUTS = np.array([[1.0, 2.0], [3.0, -1.0]], "float32")
STEPS = 3

optimizers = pytest.mark.parametrize(
    "make_optimizer",
    [
        lambda: tf1.train.GradientDescentOptimizer(0.1),
        lambda: tf1.train.MomentumOptimizer(0.1, 0.9),
        lambda: tf1.train.AdamOptimizer(0.1),
        lambda: tf1.train.RMSPropOptimizer(0.1, momentum=0.9),
    ],
    ids=["sgd", "momentum", "adam", "rmsprop"],
)
both_ways = pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "function"])


def net(inputs):
    with tf1.variable_scope("net"):
        ones = tf1.ones_initializer()
        return shim.layers.dense(inputs, 2, kernel_initializer=ones, bias_initializer=ones)


def loss_of(outputs):
    return tf.reduce_mean(tf.square(outputs - 1.0))


class Layer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        return net(inputs)


class Module(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return net(inputs)


def in_session(make_optimizer):
    """The kernel after some steps in a TF1 graph."""
    with tf.Graph().as_default(), tf1.Session() as session:
        loss = loss_of(net(tf.constant(INPUTS)))
        step = make_optimizer().minimize(loss)
        session.run(tf1.global_variables_initializer())
        for _ in range(STEPS):
            session.run(step)
        return session.run(tf1.trainable_variables()[0])


def variables_of(net):
    return [getattr(v, "value", v) if isinstance(net, Layer) else v for v in net.variables]


@both_ways
@optimizers
@pytest.mark.parametrize("make", [Layer, Module], ids=["layer", "module"])
def test_g01_a_tf1_optimizer_trains_them_outside_of_decorated_methods(make, make_optimizer, wrap):
    net, optimizer = make(), make_optimizer()
    net(INPUTS)
    variables = variables_of(net)

    def step():
        with tf.GradientTape() as tape:
            loss = loss_of(net(INPUTS))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    step = wrap(step)
    for _ in range(STEPS):
        step()
    np.testing.assert_allclose(variables[0], in_session(make_optimizer), rtol=1e-5)
    assert len(net.variables) == 2


@optimizers
def test_g01_variables_of_two_objects_with_equal_names_are_told_apart(make_optimizer):
    nets, optimizer = [Module(), Module()], make_optimizer()
    for net in nets:
        net(INPUTS)
    for _ in range(STEPS):
        with tf.GradientTape() as tape:
            losses = [loss_of(nets[0](INPUTS)), 5.0 * loss_of(nets[1](INPUTS))]
            loss = tf.add_n(losses)
        variables = [*nets[0].variables, *nets[1].variables]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    np.testing.assert_allclose(nets[0].variables[0], in_session(make_optimizer), rtol=1e-5)


@both_ways
@optimizers
def test_g07_a_tf1_optimizer_trains_them_under_a_strategy(make_optimizer, wrap):
    # No collective ops: theirs of several strategies in a process meet.
    reduction = tf.distribute.ReductionToOneDevice()
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], cross_device_ops=reduction)
    with strategy.scope():
        layer, optimizer = Layer(), make_optimizer()
        layer(INPUTS)

        def replica_step():
            variables = variables_of(layer)
            with tf.GradientTape() as tape:
                loss = loss_of(layer(INPUTS)) / strategy.num_replicas_in_sync
            gradients = tape.gradient(loss, variables)
            optimizer.apply_gradients(zip(gradients, variables, strict=True))

        step = wrap(lambda: strategy.run(replica_step))
        for _ in range(STEPS):
            step()
    np.testing.assert_allclose(layer.weights[0], in_session(make_optimizer), rtol=1e-5)


class TrainsItself(tf.Module):
    """As TF1 code does, in one method."""

    def __init__(self, make_optimizer):
        super().__init__()
        self.make_optimizer = make_optimizer

    @shim.track_tf1_style_variables
    def step(self):
        with tf1.variable_scope("model"):
            with tf.GradientTape() as tape:
                loss = loss_of(net(INPUTS))
            variables = tf1.trainable_variables()
            gradients = tape.gradient(loss, variables)
            self.make_optimizer().apply_gradients(zip(gradients, variables, strict=True))
            return loss


@both_ways
@optimizers
def test_g01_a_tf1_optimizer_made_in_a_decorated_method_keeps_its_slots(make_optimizer, wrap):
    module = TrainsItself(make_optimizer)
    step = wrap(module.step)
    losses = [step().numpy() for _ in range(STEPS)]
    assert losses == sorted(losses, reverse=True)
    kernel = next(v for v in module.variables if v.name == "model/net/dense/kernel:0")
    np.testing.assert_allclose(kernel, in_session(make_optimizer), rtol=1e-5)
    names = [v.name for v in module.variables]
    step()
    assert [v.name for v in module.variables] == names
