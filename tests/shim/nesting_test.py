"""G9: decorated objects in decorated objects."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
INPUTS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def dense(inputs, name, units=3):
    with tf1.variable_scope(name):
        kernel = tf1.get_variable(
            "kernel",
            [inputs.shape[-1], units],
            initializer=tf1.ones_initializer(),
            regularizer=keras.regularizers.L2(1.0),
        )
        return tf.matmul(inputs, kernel)


class InnerLayer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        return dense(inputs, "inner_dense")


class InnerModule(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return dense(inputs, "inner_dense")


class OuterLayer(keras.Layer):
    def __init__(self, make_inner=InnerLayer):
        super().__init__()
        self.inner = make_inner()

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("outer"):
            return dense(self.inner(dense(inputs, "before")), "after")


class OuterModule(tf.Module):
    def __init__(self, make_inner=InnerModule):
        super().__init__()
        self.inner = make_inner()

    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        with tf1.variable_scope("outer"):
            return dense(self.inner(dense(inputs, "before")), "after")


ALL = {"outer/before/kernel", "outer/inner_dense/kernel", "outer/after/kernel"}


def names(variables):
    return {getattr(v, "path", v.name).removesuffix(":0") for v in variables}


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "tf.function"])
class TestG09Nesting:
    def test_g09_the_outer_scope_prefixes_the_inner_layers_names(self, run):
        outer = OuterLayer()
        call = run(lambda x: outer(x))
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
        assert names(outer.weights) == ALL
        assert names(outer.inner.weights) == {"outer/inner_dense/kernel"}
        assert len(outer.losses) == 3
        assert [float(loss) for loss in outer.inner.losses] == [9.0]

    def test_g09_modules(self, run):
        outer = OuterModule()
        call = run(lambda x: outer(x))
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
        assert names(outer.trainable_variables) == ALL
        assert names(outer.inner.trainable_variables) == {"outer/inner_dense/kernel"}
        assert [float(loss()) for loss in shim.regularization_losses(outer)] == [9.0] * 3
        assert len(shim.regularization_losses(outer.inner)) == 1

    def test_g09_each_object_has_variables_of_its_own(self, run):
        class Twins(keras.Layer):
            def __init__(self):
                super().__init__()
                self.first, self.second = InnerLayer(), InnerLayer()

            @shim.track_tf1_style_variables
            def call(self, inputs):
                with tf1.variable_scope("outer"):
                    return self.first(self.second(self.first(inputs)))

        twins = Twins()
        call = run(lambda x: twins(x))
        before = call(tf.constant(INPUTS))
        assert len(twins.weights) == 2
        assert names(twins.weights) == {"outer/inner_dense/kernel"}
        twins.first.weights[0].assign(twins.first.weights[0] * 2)
        np.testing.assert_allclose(call(tf.constant(INPUTS)), before * 4)
        twins.second.weights[0].assign(twins.second.weights[0] * 2)
        np.testing.assert_allclose(call(tf.constant(INPUTS)), before * 8)

    def test_g09_an_inner_object_keeps_its_variables_when_it_is_called_by_itself(self, run):
        outer = OuterLayer()
        run(lambda x: outer(x))(tf.constant(INPUTS))
        with tf1.variable_scope("outer"):
            run(lambda x: outer.inner(x))(tf.constant(INPUTS))
        assert len(outer.inner.weights) == 1

    def test_g09_attributes_are_tracked_as_usual(self, run):
        class Module(tf.Module):
            def __init__(self):
                super().__init__()
                self.scale = tf.Variable(2.0, name="scale")
                self.inner = InnerModule()

            @shim.track_tf1_style_variables
            def __call__(self, inputs):
                return dense(self.inner(inputs) * self.scale, "own")

        class Layer(keras.Layer):
            def __init__(self):
                super().__init__()
                self.native = keras.layers.Dense(3, kernel_regularizer="l2")
                self.bias = self.add_weight(shape=[3], name="bias")

            @shim.track_tf1_style_variables
            def call(self, inputs):
                return dense(self.native(inputs) + self.bias, "own")

        module, layer = Module(), Layer()
        run(lambda x: module(x))(tf.constant(INPUTS))
        run(lambda x: layer(x))(tf.constant(INPUTS))
        assert names(module.variables) == {"scale", "inner_dense/kernel", "own/kernel"}
        assert [v.name for v in layer.weights] == ["bias", "kernel", "bias", "kernel"]
        assert layer.weights[-1].path == "own/kernel"
        assert len(layer.losses) == 2

    def test_g09_one_method_calls_another_of_the_same_object(self, run):
        class Layer(keras.Layer):
            @shim.track_tf1_style_variables
            def features(self, inputs):
                return dense(inputs, "features")

            @shim.track_tf1_style_variables
            def call(self, inputs):
                with tf1.variable_scope("net"):
                    return dense(self.features(inputs), "logits")

        layer = Layer()
        call = run(lambda x: layer(x))
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
        assert [v.path for v in layer.weights] == ["net/features/kernel", "net/logits/kernel"]


def test_g09_three_deep_in_keras_models_that_train_and_reload(tmp_path):
    class Middle(keras.Layer):
        def __init__(self):
            super().__init__()
            self.outer = OuterLayer()

        def call(self, inputs):
            return self.outer(inputs)

    def make():
        inputs = keras.Input([3])
        return keras.Model(inputs, keras.Sequential([Middle(), keras.layers.Dense(1)])(inputs))

    model, other = make(), make()
    assert len(model.trainable_weights) == 5
    model.compile("sgd", "mse")
    model.fit(INPUTS, np.ones([4, 1]), verbose=0)
    model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(model(INPUTS), other(INPUTS))


@pytest.mark.parametrize("first_call", [lambda f: f, tf.function], ids=["eager", "tf.function"])
def test_g09_a_module_in_a_layer_and_a_layer_in_a_module(first_call):
    layer, module = OuterLayer(InnerModule), OuterModule(InnerLayer)
    for outer in (layer, module):
        call = first_call(lambda x, outer=outer: outer(x))
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
    assert names(layer.weights) == names(module.variables) == ALL
    assert len(layer.weights) == len(module.variables) == 3
    assert names(layer.inner.variables) == {"outer/inner_dense/kernel"}
    assert names(module.inner.weights) == {"outer/inner_dense/kernel"}
    assert [float(loss) for loss in layer.losses] == [9.0] * 3


class WithAttributes(keras.Layer):
    """Keras 3 itself tracks neither of these attributes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale = tf.Variable(2.0, name="scale")
        self.towers = [InnerModule(), InnerModule()]

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.towers[1](self.towers[0](inputs)) * self.scale


def test_g09_variables_and_modules_set_as_attributes_of_a_keras_layer_train_and_reload(tmp_path):
    inputs = keras.Input([3])
    layer = WithAttributes()
    model = keras.Model(inputs, layer(inputs))
    assert sorted(v.path for v in layer.weights) == ["inner_dense/kernel"] * 2 + ["scale"]
    before = [v.numpy() for v in model.trainable_weights]
    model.compile("sgd", "mse")
    model.fit(INPUTS, np.ones([4, 3]), verbose=0)
    assert all((a != b.numpy()).any() for a, b in zip(before, model.trainable_weights, strict=True))
    layer.towers[1].variables[0].assign_add(tf.ones([3, 3]))
    model.save_weights(tmp_path / "w.weights.h5")
    for other in (WithAttributes(), WithAttributes()):
        other_model = keras.Model(inputs, other(inputs))
        other_model.load_weights(tmp_path / "w.weights.h5")
        np.testing.assert_array_equal(model(INPUTS), other_model(INPUTS))
