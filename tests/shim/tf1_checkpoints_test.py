"""G16: name-based TF1 checkpoints by TensorFlow's own means, into whatever is decorated."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1

INPUTS = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
NAMES = ["net/hidden/kernel", "net/hidden/bias", "net/scale"]


def net(inputs, scope="net"):
    with tf1.variable_scope(scope):
        hidden = shim.layers.dense(inputs, 4, name="hidden")
        return hidden * tf1.get_variable("scale", [], initializer=tf1.random_normal_initializer())


class Layer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        return net(inputs)


class Model(keras.Model):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        return net(inputs)


class Module(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return net(inputs)


OBJECTS = pytest.mark.parametrize("make", [Layer, Model, Module])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Written by the same code in a TF1 session, with the outputs there."""
    path = tmp_path_factory.mktemp("tf1") / "model.ckpt"
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = tf1.placeholder(tf.float32, [None, 3])
        outputs = Module()(inputs)
        session.run(tf1.global_variables_initializer())
        prefix = tf1.train.Saver().save(session, str(path))
        return prefix, session.run(outputs, {inputs: INPUTS})


def variables(owner):
    """The `tf.Variable`s of any decorated object."""
    return [getattr(v, "value", v) if isinstance(v, keras.Variable) else v for v in owner.variables]


def built(make):
    owner = make()
    owner(INPUTS)
    return owner


@OBJECTS
@pytest.mark.parametrize("form", ["list", "dict"])
def test_g16_a_saver_restores_eagerly(make, form, checkpoint):
    prefix, expected = checkpoint
    owner = built(make)
    var_list = variables(owner)
    if form == "dict":
        var_list = {v.op.name: v for v in var_list}
        assert list(var_list) == NAMES
    tf1.train.Saver(var_list).restore(None, prefix)
    np.testing.assert_allclose(owner(INPUTS), expected, rtol=1e-6)


@OBJECTS
def test_g16_what_a_saver_writes_eagerly_a_tf1_session_reads(make, tmp_path):
    owner = built(make)
    expected = owner(INPUTS).numpy()
    prefix = tf1.train.Saver(variables(owner)).save(None, str(tmp_path / "model.ckpt"))
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = tf1.placeholder(tf.float32, [None, 3])
        outputs = Module()(inputs)
        tf1.train.Saver().restore(session, prefix)
        np.testing.assert_allclose(session.run(outputs, {inputs: INPUTS}), expected, rtol=1e-6)


@OBJECTS
def test_g16_reading_and_assigning_by_name(make, checkpoint):
    prefix, expected = checkpoint
    owner = built(make)
    reader = tf.train.load_checkpoint(prefix)
    assert sorted(reader.get_variable_to_shape_map()) == sorted(NAMES)
    for variable in variables(owner):
        variable.assign(reader.get_tensor(variable.op.name))
    np.testing.assert_allclose(owner(INPUTS), expected, rtol=1e-6)


@OBJECTS
def test_g16_initializing_variables_from_a_checkpoint_by_a_map(make, checkpoint):
    prefix, expected = checkpoint
    owner = built(make)
    tf1.train.init_from_checkpoint(prefix, {v.op.name: v for v in variables(owner)})
    np.testing.assert_allclose(owner(INPUTS), expected, rtol=1e-6)


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "tf.function"])
@pytest.mark.parametrize("assignment_map", [{"net/": "renamed/net/"}, {"/": "renamed/"}], ids=str)
def test_g16_tf1_code_initializes_itself_from_a_checkpoint(assignment_map, run, checkpoint):
    """Once, as an initializer is run, though the code asks for it at every call."""
    prefix, expected = checkpoint

    class SelfInitializing(keras.Model):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("renamed"):
                outputs = net(inputs)
            tf1.train.init_from_checkpoint(prefix, assignment_map)
            return outputs

    model = SelfInitializing()
    call = run(lambda inputs: model(inputs))
    call(tf.constant(INPUTS))
    np.testing.assert_allclose(call(tf.constant(INPUTS)), expected, rtol=1e-6)
    for weight in model.weights:
        weight.assign(tf.ones_like(weight.value))
    call(tf.constant(INPUTS))
    call(tf.constant(INPUTS[:2]))
    for weight in model.weights:
        np.testing.assert_array_equal(weight, np.ones(weight.shape))


@pytest.mark.parametrize("way", ["checkpoint", "weights file"])
def test_g16_a_later_checkpoint_goes_before_the_one_to_start_from(way, checkpoint, tmp_path):
    prefix, _ = checkpoint

    class SelfInitializing(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            outputs = net(inputs)
            tf1.train.init_from_checkpoint(prefix, {"/": "/"})
            return outputs

    def make():
        if way == "checkpoint":
            return SelfInitializing()
        return keras.Sequential([keras.Input([3]), SelfInitializing()])

    trained, model = make(), make()
    trained(INPUTS)
    for weight in trained.weights:
        weight.assign(tf.ones_like(weight.value))
    if way == "checkpoint":
        path = tf.train.Checkpoint(model=trained).write(str(tmp_path / "trained"))
        tf.train.Checkpoint(model=model).read(path)
    else:
        trained.save_weights(tmp_path / "trained.weights.h5")
        model.load_weights(tmp_path / "trained.weights.h5")
    np.testing.assert_array_equal(model(INPUTS), trained(INPUTS))
    np.testing.assert_array_equal(model(INPUTS), trained(INPUTS))


def test_g16_partitioned_variables(tmp_path):
    class Partitioned(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            with tf1.variable_scope("net", partitioner=tf1.fixed_size_partitioner(2, axis=0)):
                return tf.matmul(inputs, tf1.get_variable("kernel", [3, 4]))

    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = tf1.placeholder(tf.float32, [None, 3])
        outputs = Partitioned()(inputs)
        session.run(tf1.global_variables_initializer())
        prefix = tf1.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        expected = session.run(outputs, {inputs: INPUTS})
    module = built(Partitioned)
    kernel = tf.train.load_checkpoint(prefix).get_tensor("net/kernel")
    for part, rows in zip(module.variables, (slice(0, 2), slice(2, 3)), strict=True):
        part.assign(kernel[rows])
    np.testing.assert_allclose(module(INPUTS), expected, rtol=1e-6)
