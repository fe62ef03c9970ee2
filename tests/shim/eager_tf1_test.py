"""What TF1 code asks of eager TensorFlow: names of tensors (G1), losses (G11), templates (G10)."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
INPUTS = np.ones([2, 3], "float32")


class Runs(keras.Layer):
    """A layer whose forward pass is the function given."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.code(inputs)


both_ways = pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "tf.function"])


@both_ways
def test_g01_tensors_have_names_within_their_scope(run):
    names = []

    def code(inputs):
        with tf1.variable_scope("conv1"):
            first, second = tf.nn.relu(inputs), tf.nn.relu(inputs)
            names.append([t.op.name for t in (first, second, first)] + [first.name])
        return tf.identity(first)

    layer = Runs(code)
    run(lambda x: layer(x))(tf.constant(INPUTS))
    # The first is of Keras' symbolic pass, if there is one.
    first, second, again, full = names[-1]
    assert first == again != second
    assert full == f"{first}:0"
    assert all(re.search(r"(^|/)conv1/\w+$", name) for name in (first, second))


def test_g01_outside_of_decorated_calls_eager_tensors_have_no_names():
    Runs(lambda x: tf.identity(x, name=x.op.name.replace("/", "_")))(INPUTS)
    with pytest.raises(AttributeError, match="eager"):
        tf.constant(1).name  # noqa: B018
    with pytest.raises(AttributeError, match="eager"):
        tf.constant(1).op  # noqa: B018


@both_ways
def test_g01_variables_are_found_in_lists_and_dictionaries(run):
    def code(inputs):
        first, second = (tf1.get_variable(name, [3]) for name in ("first", "second"))
        assert first in [second, first]
        assert first not in [second]
        assert (first == second, first != second) == (False, True)
        assert {first: 1, second: 2}[first] == 1
        assert first in tf1.trainable_variables()
        return inputs * first

    layer = Runs(code)
    run(lambda x: layer(x))(tf.constant(INPUTS))
    first = layer.weights[0].value
    np.testing.assert_array_equal(first == first.numpy(), [True] * 3)
    with pytest.raises(TypeError, match="unhashable"):
        hash(first)


@both_ways
def test_g11_losses_are_collected_for_the_call(run):
    def code(inputs):
        tf1.losses.mean_squared_error(inputs, inputs + 2)
        tf1.losses.add_loss(tf.constant(0.5))
        assert len(tf1.losses.get_losses()) == 2
        return inputs * tf1.losses.get_total_loss()

    layer = Runs(code)
    call = run(lambda x: layer(x))
    for _ in range(3):
        np.testing.assert_allclose(call(tf.constant(INPUTS)), INPUTS * 4.5)
    assert tf1.losses.get_losses() == []


class ScaledByY(keras.Layer):
    """A template made once, in `__init__`, as TF1 code of classes did."""

    def __init__(self, **options):
        super().__init__()

        def scale(inputs, scalar_name):
            return inputs * tf1.get_variable(
                scalar_name,
                shape=[],
                regularizer=keras.regularizers.L2(1.0),
                initializer=tf1.constant_initializer(1.5),
            )

        self.scale_by_y = tf1.make_template("scale_by_y", scale, scalar_name="y", **options)

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("layer"):
            return self.scale_by_y(self.scale_by_y(inputs))


@both_ways
def test_g10_a_template_shares_its_variables_over_all_calls(run):
    layer = ScaledByY()
    call = run(lambda x: layer(x))
    for rows in (2, 2, 1):
        np.testing.assert_allclose(call(tf.constant(INPUTS[:rows])), INPUTS[:rows] * 2.25)
    assert [v.path for v in layer.trainable_weights] == ["layer/scale_by_y/y"]
    assert [float(loss) for loss in layer.losses] == [2.25]
    layer.weights[0].assign(2.0)
    np.testing.assert_allclose(layer(INPUTS), INPUTS * 4)


@both_ways
def test_g10_templates_of_two_objects_do_not_share(run):
    first, second = ScaledByY(), ScaledByY()
    for layer in (first, second):
        run(lambda x, layer=layer: layer(x))(tf.constant(INPUTS))
    first.weights[0].assign(2.0)
    np.testing.assert_allclose(second(INPUTS), INPUTS * 2.25)


@both_ways
def test_g10_a_template_in_a_module(run):
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.template = tf1.make_template(
                "net", lambda x: shim.layers.dense(x, 2, kernel_regularizer="l2")
            )

        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            with tf1.variable_scope("module"):
                return self.template(inputs) + self.template(inputs)

    module = Module()
    call = run(lambda x: module(x))
    np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
    assert {v.name for v in module.variables} == {
        "module/net/dense/kernel:0",
        "module/net/dense/bias:0",
    }
    assert len(shim.regularization_losses(module)) == 1


def test_g10_two_templates_of_one_function_have_names_of_their_own():
    class Layer(keras.Layer):
        def __init__(self):
            super().__init__()
            self.templates = [
                tf1.make_template("net", lambda x: shim.layers.dense(x, 3)) for _ in range(2)
            ]

        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("scope"):
                for template in self.templates:
                    inputs = template(inputs)
                return inputs

    layer = Layer()
    np.testing.assert_array_equal(layer(INPUTS), layer(INPUTS))
    assert [v.path for v in layer.weights] == [
        f"scope/{net}/dense/{part}" for net in ("net", "net_1") for part in ("kernel", "bias")
    ]


@keras.saving.register_keras_serializable("eager_tf1_test")
class ScopedNow(keras.Layer):
    """Its templates make their scopes in `__init__`."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = (self._template("net") for _ in range(2))
        self.other = self._template("other")

    @staticmethod
    def _template(name):
        return tf1.make_template(name, lambda x: shim.layers.dense(x, 3), create_scope_now_=True)

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("scope"):
            if training:
                inputs = self.first(inputs)
            return self.second(self.other(inputs))


@both_ways
def test_g10_scopes_made_with_a_template_are_numbered_in_each_object_for_itself(run):
    layers = [ScopedNow() for _ in range(2)]
    for layer in layers:
        call = run(lambda x, training, layer=layer: layer(x, training=training))
        for training in (False, True, False):
            call(tf.constant(INPUTS), training)
        assert [v.path for v in layer.weights] == [
            f"{net}/dense/{part}"
            for net in ("other", "net_1", "net")
            for part in ("kernel", "bias")
        ]


def test_g10_templates_out_of_sight_are_numbered_as_they_are_called():
    class Block:
        def __init__(self):
            self.template = ScopedNow._template("block")

    blocks = [Block() for _ in range(2)]

    class Layer(keras.Layer):
        def __init__(self):
            super().__init__()
            self.blocks = blocks

        @shim.track_tf1_style_variables
        def call(self, inputs):
            for block in self.blocks:
                inputs = block.template(inputs)
            return inputs

    layer = Layer()
    np.testing.assert_array_equal(layer(INPUTS), layer(INPUTS))
    assert [v.path for v in layer.weights[::2]] == ["block/dense/kernel", "block_1/dense/kernel"]


def test_g10_scopes_made_with_a_template_in_a_keras_file(tmp_path):
    inputs = keras.Input([3])
    model = keras.Model(inputs, ScopedNow()(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(INPUTS), model(INPUTS))


@both_ways
def test_g06_scopes_are_called_what_they_are_in_a_tf1_graph(run):
    told = []

    def code(inputs):
        with tf1.variable_scope("net") as outer, tf1.name_scope("pool", "pool", [inputs]) as scope:
            pooled = tf.reduce_mean(inputs, axis=1, name=scope)
        with tf1.name_scope(scope):  # Again, by its full name.
            pooled = tf.nn.relu(pooled)
        told.append((outer.original_name_scope, scope))
        return pooled

    layer = Runs(code)
    with tf.name_scope("around"):
        call = run(lambda x: (layer(x), layer(x), tf.reduce_mean(x, name="net/pool/")))
        call(tf.constant(INPUTS))
    assert told == [("net/", "net/pool/")] * len(told)


@both_ways
def test_g01_known_dimensions_have_a_value(run):
    found = []

    def code(inputs):
        found.append([inputs.shape[1].value, *(size.value for size in inputs.get_shape())])
        return inputs @ tf1.get_variable("kernel", [inputs.shape[1], 4])

    layer = Runs(code)
    assert run(lambda x: layer(x))(tf.constant(INPUTS)).shape == [2, 4]
    assert found[-1] == [3, 2, 3]
    assert type(tf.constant(INPUTS).shape[1]) is int


def test_g01_unknown_dimensions_are_asked_for_in_a_way_that_answers_everywhere():
    found = []

    def code(inputs):
        found.append([inputs.get_shape().dims[0].value, inputs.shape.as_list()[0], inputs.shape[0]])
        return inputs

    keras.Model(inputs := keras.Input([3]), Runs(code)(inputs))
    assert found[-1] == [None, None, None]
    keras.Model(inputs := keras.Input([3], batch_size=2), Runs(code)(inputs))
    assert found[-1] == [2, 2, 2]


@both_ways
def test_g11_summaries_are_collected_for_the_call(run):
    counts = []

    def code(inputs):
        tf1.summary.scalar("mean", tf.reduce_mean(inputs))
        tf1.summary.histogram("inputs", inputs)
        tf1.summary.image("images", tf.reshape(inputs, [1, 2, 3, 1]))
        counts.append(len(tf1.get_collection(tf1.GraphKeys.SUMMARIES)))
        return inputs

    layer = Runs(code)
    run(lambda x: layer(x))(tf.constant(INPUTS))
    layer(tf.constant(INPUTS))
    assert set(counts) == {3}
    assert not tf1.get_collection(tf1.GraphKeys.SUMMARIES)
