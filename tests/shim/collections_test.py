"""G11: collections live for one decorated call."""

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_slim as slim
from shimzoo import shim

tf1 = tf.compat.v1


class Runs(keras.Layer):
    """Runs TF1 code given as a function of the inputs."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.code(inputs)


def weighted(x):
    with tf1.variable_scope("a"):
        kernel = tf1.get_variable("kernel", [3, 2], regularizer=tf.nn.l2_loss)
        mean = tf1.get_variable("mean", [2], trainable=False)
        tf1.get_variable("local", [], trainable=False, collections=["local_variables"])
    return tf.matmul(x, kernel) + mean


def global_state():
    graph = tf1.get_default_graph()
    return (
        {key: len(graph.get_collection(key)) for key in graph.collections},
        len(graph.get_operations()),
        type(graph._collections),
    )


def test_g11_variables_are_in_their_collections_in_every_call():
    seen = []

    def code(x):
        outputs = weighted(x)
        weighted(x)
        names = ("variables", "trainable_variables", "local_variables")
        seen.append({name: [v.op.name for v in tf1.get_collection(name)] for name in names})
        return outputs

    layer = Runs(code)
    layer(tf.ones([2, 3]))
    layer(tf.ones([2, 3]))
    assert (
        seen
        == [
            {
                "variables": ["a/kernel", "a/mean"],
                "trainable_variables": ["a/kernel"],
                "local_variables": ["a/local"],
            }
        ]
        * 2
    )


def test_g11_a_variable_may_be_in_no_collection():
    def code(x):
        tf1.get_variable("in_none", [], trainable=False, collections=[])
        tf1.get_variable("trained", [], collections=[])
        names = (
            [v.name for v in tf1.global_variables()],
            [v.name for v in tf1.trainable_variables()],
        )
        return x, names

    with tf.Graph().as_default():
        _, expected = code(None)
    assert Runs(code)(tf.ones([]))[1] == expected == ([], ["trained:0"])


def test_g11_regularization_losses_are_those_of_this_call():
    seen = []

    def code(x):
        outputs = weighted(x)
        seen.append(tf1.losses.get_regularization_losses())
        return outputs

    layer = Runs(code)
    layer(tf.ones([2, 3]))
    layer.trainable_weights[0].assign(tf.ones([3, 2]))
    layer(tf.ones([2, 3]))
    assert [len(losses) for losses in seen] == [1, 1]
    np.testing.assert_allclose(seen[1][0], 3.0)


def test_g11_what_a_call_adds_is_gone_after_it():
    lengths = []

    def code(x):
        tf1.add_to_collection("end_points", x)
        slim.losses.add_loss(tf.reduce_sum(x))
        lengths.append((len(tf1.get_collection("end_points")), len(slim.losses.get_losses())))
        return x

    layer = Runs(code)
    layer(tf.ones([2]))
    layer(tf.ones([2]))
    assert lengths == [(1, 1), (1, 1)]
    assert tf1.get_collection("end_points") == []


def test_g11_a_thousand_calls_leave_the_global_graph_as_it_was():
    layer = Runs(lambda x: tf.identity(weighted(x)))
    layer(tf.ones([2, 3]))
    before = global_state()
    for _ in range(1000):
        layer(tf.ones([2, 3]))
    assert global_state() == before


def test_g11_a_failing_call_cleans_up_too():
    def code(x):
        tf1.add_to_collection("end_points", x)
        raise RuntimeError("in the model")

    before = global_state()
    with pytest.raises(RuntimeError, match="in the model"):
        Runs(code)(tf.ones([2]))
    assert global_state() == before


def test_g11_nested_objects_share_the_calls_collections():
    inner = Runs(weighted)
    counts = []

    def code(x):
        outputs = inner(x)
        tf1.get_variable("own", [])
        counts.append(len(tf1.trainable_variables()))
        return outputs

    outer = Runs(code)
    outer.inner = inner
    outer(tf.ones([2, 3]))
    assert set(counts) == {2}
    assert {v.path for v in outer.weights} == {"own", "a/kernel", "a/mean", "a/local"}


def test_g11_function_graphs_made_in_a_call_see_its_store():
    def code(x):
        with tf1.variable_scope("a", reuse=tf1.AUTO_REUSE):
            tf1.get_variable("v", [], initializer=tf1.ones_initializer())

            def branch():
                return x * tf1.get_variable("v", [])

            return tf.cond(tf.reduce_sum(x) > 0, branch, lambda: x)

    layer = Runs(code)
    np.testing.assert_array_equal(tf.function(lambda x: layer(x))(tf.ones([2])), [1, 1])
    assert [v.path for v in layer.weights] == ["a/v"]


def test_g11_replica_threads_keep_their_calls_apart():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    counts = []

    def code(x):
        scale = tf1.get_variable(
            "scale", [], aggregation=tf.VariableAggregation.MEAN, trainable=False
        )
        scale.assign(1.0)  # Replicas take turns here, in the middle of the call.
        tf1.add_to_collection("end_points", x)
        counts.append(len(tf1.get_collection("end_points")))
        return x * scale

    with strategy.scope():
        layer = Runs(code)
        strategy.run(tf.function(lambda: layer(tf.ones([2]))))
        before = global_state()
        strategy.run(lambda: layer(tf.ones([2])))
    assert set(counts) == {1}
    assert global_state() == before
