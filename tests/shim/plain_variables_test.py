"""G1: `tf.Variable`s made in a forward pass without `get_variable`."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
INPUTS = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")


class Runs(keras.Layer):
    """A layer whose forward pass is the function given."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.code(inputs)


class RunsModule(tf.Module):
    def __init__(self, code):
        super().__init__()
        self.code = code

    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return self.code(inputs)


def weight_variable(shape):
    return tf.Variable(tf.random.truncated_normal(shape, stddev=0.1), name="weights")


def tutorial_net(inputs):
    """The style of the first TensorFlow tutorials."""
    with tf.name_scope("hidden1"):
        weights = weight_variable([3, 4])
        biases = tf1.Variable(tf.fill([4], 0.1), name="biases")
        hidden = tf.nn.relu(tf.matmul(inputs, weights) + biases)
    with tf.name_scope("softmax_linear"):
        return tf.matmul(hidden, weight_variable([4, 2])) + tf1.Variable(tf.zeros([2]))


NAMES = ["hidden1/weights", "hidden1/biases", "softmax_linear/weights", "softmax_linear/Variable"]


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "tf.function"])
class TestG01PlainVariables:
    def test_g01_are_made_once_and_tracked_under_their_tf1_names(self, run):
        layer = Runs(tutorial_net)
        call = run(lambda x: layer(x))
        first = call(tf.constant(INPUTS))
        np.testing.assert_array_equal(first, call(tf.constant(INPUTS)))
        np.testing.assert_allclose(first[:2], call(tf.constant(INPUTS[:2])), rtol=1e-5)
        np.testing.assert_allclose(first, layer(INPUTS), rtol=1e-5)
        assert [v.path for v in layer.trainable_weights] == NAMES

    def test_g01_of_a_module(self, run):
        module = RunsModule(tutorial_net)
        call = run(lambda x: module(x))
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
        assert [v.name for v in module.trainable_variables] == [f"{name}:0" for name in NAMES]

    def test_g01_of_one_name_keep_their_order(self, run):
        def code(inputs):
            first = tf.Variable(tf.constant(1.0), name="v")
            with tf1.variable_scope("scope"):
                scoped = tf.Variable(tf.constant(10.0), name="v")
            second = tf.Variable(tf.constant(100.0), name="v")
            first.assign_add(1.0)
            return inputs * 0 + [first, scoped, second]

        layer = Runs(code)
        call = run(lambda x: layer(x))
        np.testing.assert_array_equal(call(tf.zeros([1, 3])), [[2, 10, 100]])
        np.testing.assert_array_equal(call(tf.zeros([1, 3])), [[3, 10, 100]])
        assert [v.path for v in layer.weights] == ["v", "scope/v", "v_1"]

    def test_g01_a_branch_of_its_own_makes_its_own(self, run):
        def code(inputs, training):
            if training:
                inputs = inputs * tf.Variable(2.0, name="only_in_training")
            return inputs * tf.Variable(3.0, name="always")

        class Layer(keras.Layer):
            @shim.track_tf1_style_variables
            def call(self, inputs, training=False):
                return code(inputs, training)

        layer = Layer()
        call = run(lambda x, training: layer(x, training=training))
        for training, factor in [(False, 3), (True, 6), (False, 3)]:
            np.testing.assert_allclose(
                call(tf.constant(INPUTS), training), INPUTS * factor, rtol=1e-6
            )
        assert [v.path for v in layer.weights] == ["always", "only_in_training"]

    def test_g01_gradients_reach_them(self, run):
        layer = Runs(lambda x: x * tf.Variable(2.0, name="scale"))

        def gradient(inputs):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(inputs))
            return tape.gradient(loss, [v.value for v in layer.trainable_weights])

        layer(INPUTS)
        np.testing.assert_allclose(run(gradient)(tf.constant(INPUTS)), [INPUTS.sum()], rtol=1e-5)


class Lazy:
    """Makes its variable when it is first needed, and keeps it."""

    scale = None

    def __call__(self, inputs):
        if self.scale is None:
            self.scale = tf.Variable(2.0, name="scale")
        return inputs * self.scale


class LazyModule(Lazy, tf.Module):
    pass


@pytest.mark.parametrize("owner", [Runs, RunsModule])
@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "tf.function"])
class TestG01KeptVariables:
    def test_g01_one_in_an_attribute_leaves_the_others_their_order(self, owner, run):
        def code(inputs):
            if not hasattr(layer, "kept"):
                layer.kept = tf.Variable(2.0)
            return inputs * layer.kept * tf.Variable(5.0)

        layer = owner(code)
        call = run(lambda x: layer(x))
        for rows in (1, 1, 2, 3):  # A function is traced anew.
            np.testing.assert_array_equal(call(tf.ones([rows, 3])), np.full([rows, 3], 10))
        assert len(layer.trainable_variables) == 2

    @pytest.mark.parametrize("make_part", [Lazy, LazyModule])
    def test_g01_objects_that_build_themselves_have_variables_of_their_own(
        self, owner, run, make_part
    ):
        parts = [make_part() for _ in range(3)]

        def code(inputs, number):
            for part in parts[:number]:
                inputs = part(inputs)
            return inputs * tf.Variable(3.0, name="scale")

        layer = owner(lambda x: code(x, x.shape[0]))
        call = run(lambda x: layer(x))
        for number in (1, 3, 1, 2):
            expected = 3 * 2.0**number
            np.testing.assert_array_equal(
                call(tf.ones([number, 3])), np.full([number, 3], expected)
            )
        assert len({id(part.scale) for part in parts}) == 3
        assert len(layer.trainable_variables) == 4

    def test_g01_one_that_every_call_sets_anew_is_found_again(self, owner, run):
        def code(inputs):
            layer.scales = [tf.Variable(float(n), name="scale") for n in (2, 3)]
            layer.scale = tf.Variable(5.0, name="scale")
            return inputs * layer.scales[0] * layer.scales[1] * layer.scale

        layer = owner(code)
        call = run(lambda x: layer(x))
        for rows in (1, 1, 2, 3):
            np.testing.assert_array_equal(call(tf.ones([rows, 3])), np.full([rows, 3], 30))
        assert len(layer.trainable_variables) == 3

    def test_g01_a_call_that_fails_has_kept_it_all_the_same(self, owner, run):
        part, fails = LazyModule(), [True]

        def code(inputs):
            inputs = part(inputs)
            if fails:
                raise RuntimeError(fails.pop())
            return inputs * tf.Variable(3.0, name="scale")

        layer = owner(code)
        with pytest.raises(RuntimeError):
            run(lambda x: layer(x))(tf.ones([1, 3]))
        for _ in range(2):
            np.testing.assert_array_equal(run(lambda x: layer(x))(tf.ones([1, 3])), [[6, 6, 6]])

    @pytest.mark.parametrize("is_in_a_cycle", [False, True])
    def test_g01_objects_of_one_call_make_the_same_variables_in_each(
        self, owner, run, is_in_a_cycle
    ):
        def code(inputs):
            for _ in range(2):
                block = Block(is_in_a_cycle)
                inputs = block.build(inputs)
            return inputs * tf.Variable(3.0, name="scale")

        layer = owner(code)
        call = run(lambda x: layer(x))
        for rows in (1, 1, 2, 3):
            np.testing.assert_array_equal(call(tf.ones([rows, 3])), np.full([rows, 3], 12))
        assert len(layer.trainable_variables) == 3

    def test_g01_objects_that_each_call_puts_in_the_place_of_others_find_their_variables(
        self, owner, run
    ):
        def code(inputs):
            layer.first = Scaled(2.0)
            layer.others = [Scaled(3.0) for _ in range(2)]
            for part in (layer.first, *layer.others):
                inputs = inputs * part.scale
            return inputs * tf.Variable(5.0, name="scale")

        layer = owner(code)
        call = run(lambda x: layer(x))
        for rows in (1, 1, 2, 3):
            np.testing.assert_array_equal(call(tf.ones([rows, 3])), np.full([rows, 3], 90))
        assert len(layer.trainable_variables) == 4


class Scaled:
    """Makes its variable when it is made itself."""

    def __init__(self, value):
        self.scale = tf.Variable(value, name="scale")


class Block:
    """Lives for one call, as a graph's layers did."""

    def __init__(self, is_in_a_cycle=False):
        if is_in_a_cycle:
            self.itself = self

    def build(self, inputs):
        self.scale = tf.Variable(2.0, name="scale")
        return inputs * self.scale


@pytest.mark.parametrize("make_part", [LazyModule, Block])
def test_g01_a_copied_module_finds_its_own(make_part):
    class Module(tf.Module):
        def __init__(self):
            super().__init__()
            self.part = LazyModule()

        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            inputs = self.part(inputs) if make_part is LazyModule else Block().build(inputs)
            return inputs * tf.Variable(3.0, name="scale")

    module = Module()
    module(1.0)
    again = copy.deepcopy(module)
    for _ in range(2):
        assert float(again(1.0)) == float(module(1.0)) == 6
    again.variables[0].assign(1.0)
    assert float(module(1.0)) == 6
    assert len(again.trainable_variables) == 2


def test_g01_objects_of_one_call_on_two_replicas():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def code(inputs):
        with tf1.variable_scope("net"):
            for _ in range(2):
                inputs = Block().build(inputs)
                inputs += 0 * shim.layers.batch_normalization(inputs, training=True)
            return inputs

    with strategy.scope():
        layer = Runs(code)
    step = tf.function(lambda: strategy.run(lambda: layer(tf.ones([2, 3]))))
    for _ in range(2):
        for outputs in strategy.experimental_local_results(step()):
            np.testing.assert_array_equal(outputs, np.full([2, 3], 4))
    assert sum("scale" in v.path for v in layer.weights) == 2


def test_g01_modules_that_build_themselves_on_two_replicas():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    class Layer(keras.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = LazyModule(), LazyModule()

        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("net"):
                outputs = self.second(self.first(inputs)) * tf.Variable(3.0, name="scale")
                return shim.layers.batch_normalization(outputs, training=True) * 0 + outputs

    with strategy.scope():
        layer = Layer()
    step = tf.function(lambda: strategy.run(lambda: layer(tf.ones([2, 3]))))
    for _ in range(2):
        for outputs in strategy.experimental_local_results(step()):
            np.testing.assert_array_equal(outputs, np.full([2, 3], 12))
    assert sum("scale" in v.path for v in layer.weights) == 3


def test_g01_plain_variables_in_a_functional_model_train_and_reload(tmp_path):
    inputs = keras.Input([3])
    model = keras.Model(inputs, Runs(tutorial_net)(inputs))
    model.compile("sgd", "mse")
    before = [v.numpy() for v in model.trainable_weights]
    model.fit(INPUTS, np.ones([5, 2]), verbose=0)
    assert all((a != b.numpy()).any() for a, b in zip(before, model.trainable_weights, strict=True))
    model.save_weights(tmp_path / "w.weights.h5")
    other = keras.Model(inputs, Runs(tutorial_net)(inputs))
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(model(INPUTS), other(INPUTS))


def test_g01_dtype_and_trainable_are_as_given():
    def code(inputs):
        tf.Variable([1, 2], dtype=tf.float64, name="double")
        tf.Variable(lambda: 3, dtype=tf.int64, trainable=False, name="step")
        tf1.Variable(4, trainable=False, name="local", collections=["local"])
        assert [v.name for v in tf1.get_collection("local")] == ["local:0"]
        return inputs

    layer = Runs(code)
    layer(INPUTS)
    layer(INPUTS)
    assert {v.path: (v.dtype, v.trainable) for v in layer.weights} == {
        "double": ("float64", True),
        "step": ("int64", False),
        "local": ("int32", False),
    }


def test_g01_variables_of_native_layers_stay_theirs():
    class Layer(keras.Layer):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        @shim.track_tf1_style_variables
        def call(self, inputs):
            return self.dense(inputs) * tf.Variable(1.0, name="scale")

    layer = Layer()
    layer(INPUTS)
    assert [v.name for v in layer.weights] == ["kernel", "bias", "scale"]
    assert layer.dense.weights == layer.weights[:2]


def test_g01_a_tracked_variable_is_no_plain_one_in_a_nested_object():
    inner = Runs(lambda x: x * tf1.get_variable("v", [], initializer=tf1.ones_initializer()))
    outer = Runs(lambda x: inner(x) * tf.Variable(2.0, name="v"))
    outer.inner = inner
    np.testing.assert_array_equal(outer(INPUTS), INPUTS * 2)
    assert [v.path for v in inner.weights] == ["v"]
    assert len(outer.weights) == 2


def test_g19_another_shape_under_the_same_name_and_order_is_an_error():
    layer = Runs(lambda x: x * tf.Variable(tf.ones([x.shape[-1]]), name="scale"))
    layer(INPUTS)
    with pytest.raises(ValueError, match=r"scale has shape \(3,\) .* asked for with shape \(2,\)"):
        layer(INPUTS[:, :2])


def test_g19_arguments_that_no_tf1_code_has_are_an_error():
    layer = Runs(lambda x: x * tf.Variable(1.0, shape=tf.TensorShape(None), name="any"))
    with pytest.raises(ValueError, match=r"Variable any: .* Make it in __init__"):
        layer(INPUTS)
