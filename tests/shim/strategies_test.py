"""Strategies: G7, in one process. Clusters of several processes are in `clusters_test.py`."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo.tests.shim.strategy_net import (
    AVERAGED,
    IMAGES,
    LABELS,
    NAMES,
    NetLayer,
    NetModel,
    NetModule,
    assert_same_values,
    compile_like_expected_step,
    cross_entropy,
    expected_step,
    give_known_values,
    minimize,
    shards,
    tf_variables,
    values_of,
)

tf1 = tf.compat.v1

STRATEGIES = {
    "OneDeviceStrategy": lambda: tf.distribute.OneDeviceStrategy("CPU:1"),
    "MirroredStrategy": lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]),
    "MultiWorkerMirroredStrategy": tf.distribute.MultiWorkerMirroredStrategy,
}


@pytest.fixture(params=STRATEGIES)
def strategy(request):
    return STRATEGIES[request.param]()


class KerasLayer(keras.Layer):
    """A native layer: how Keras has variables made."""

    def build(self, shape):
        self.trained = self.add_weight(shape=[])
        self.averaged = keras.Variable(
            0.0, trainable=False, synchronization="on_read", aggregation="mean"
        )

    def call(self, inputs):
        return inputs * self.trained + self.averaged


def assert_made_the_standard_way(owner, native, strategy):
    made = tf_variables(owner)
    assert list(made) == NAMES
    for name, variable in made.items():
        like = (native.averaged if name in AVERAGED else native.trained).value
        is_distributed = isinstance(like, tf.distribute.DistributedValues)
        assert isinstance(variable, type(like) if is_distributed else tf.Variable), name
        on_devices = [v.device for v in strategy.experimental_local_results(variable)]
        assert on_devices == [v.device for v in strategy.experimental_local_results(like)], name
        if name in AVERAGED:
            assert variable.synchronization == tf.VariableSynchronization.ON_READ
            assert variable.aggregation == tf.VariableAggregation.MEAN
    assert made["net/calls"].aggregation == tf.VariableAggregation.ONLY_FIRST_REPLICA


@pytest.mark.parametrize("wrap", [tf.function, lambda f: f], ids=["tf.function", "eager"])
@pytest.mark.parametrize("make", [NetLayer, NetModel, NetModule])
def test_g07_the_first_call_may_be_in_run(strategy, make, wrap):
    with strategy.scope():
        owner, native = make(), KerasLayer()

    @wrap
    def step(images):
        return native(owner(images, training=True))

    outputs = strategy.run(step, (tf.constant(IMAGES),))
    for replica in strategy.experimental_local_results(outputs):
        assert replica.shape == (8, 2)
    strategy.run(step, (tf.constant(IMAGES[:4]),))
    assert_made_the_standard_way(owner, native, strategy)
    assert int(tf_variables(owner)["net/calls"].numpy()) == 2


@pytest.mark.parametrize("make", [NetLayer, NetModel, NetModule])
def test_g07_the_first_call_may_be_in_the_scope_and_outside_of_run(strategy, make):
    with strategy.scope():
        owner, native = make(), KerasLayer()
        native(owner(tf.constant(IMAGES)))
    assert_made_the_standard_way(owner, native, strategy)


class CallsLayer(keras.Model):
    """A native model around a decorated layer."""

    def __init__(self):
        super().__init__()
        self.layer = NetLayer()

    def call(self, images, training=False):
        return self.layer(images, training=training)


def functional_model():
    images = keras.Input([6, 6, 3])
    return keras.Model(images, NetLayer()(images))


MODELS = [NetModel, CallsLayer, functional_model]


@pytest.mark.parametrize("make", MODELS)
def test_g07_a_step_of_fit(strategy, make):
    with strategy.scope():
        model = make()
        compile_like_expected_step(model)
        model(tf.constant(IMAGES[:1]))
        give_known_values(model)
    model.fit(IMAGES, LABELS, batch_size=len(IMAGES), shuffle=False, verbose=0)
    expected = expected_step(make, shards(strategy.num_replicas_in_sync))
    assert_same_values(values_of(model), expected)


def test_g07_fit_makes_the_variables_and_evaluates(strategy):
    with strategy.scope():
        model = CallsLayer()
        compile_like_expected_step(model)
    losses = model.fit(IMAGES, LABELS, batch_size=4, epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert int(tf_variables(model)["net/calls"].numpy()) == 8
    for name in AVERAGED:
        on_replicas = strategy.experimental_local_results(tf_variables(model)[name])
        np.testing.assert_allclose(
            tf_variables(model)[name].numpy(), np.mean([v.numpy() for v in on_replicas], 0)
        )
    logits = model.predict(IMAGES, batch_size=4, verbose=0)
    np.testing.assert_allclose(
        model.evaluate(IMAGES, LABELS, batch_size=4, verbose=0),
        np.mean(cross_entropy(LABELS, logits)) + float(model.losses[0]),
        rtol=1e-5,
    )


@pytest.mark.parametrize("first_call", ["in run", "before"])
@pytest.mark.parametrize("make", [NetLayer, NetModule])
def test_g07_a_step_of_ones_own_loop(strategy, make, first_call):
    with strategy.scope():
        owner = make()
        optimizer = tf1.train.GradientDescentOptimizer(0.1)
        if first_call == "before":
            owner(tf.constant(IMAGES))
            give_known_values(owner)

    @tf.function
    def first_step(images, labels):
        del labels
        return owner(images)

    @tf.function
    def step(images, labels):
        minimize(owner, optimizer, images, labels, strategy.num_replicas_in_sync)

    dataset = tf.data.Dataset.from_tensors((IMAGES, LABELS)).unbatch().batch(len(IMAGES))
    (batch,) = strategy.experimental_distribute_dataset(dataset)
    if first_call == "in run":
        strategy.run(first_step, batch)
        give_known_values(owner)
    strategy.run(step, batch)
    expected = expected_step(make, shards(strategy.num_replicas_in_sync))
    assert_same_values(values_of(owner), expected)
