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


class Scale(tf.Module):
    """`w * x`, with a loss of `w ** 2`."""

    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        with tf1.variable_scope("scale"):
            ones = tf1.ones_initializer()
            return inputs * tf1.get_variable(
                "w", [1], initializer=ones, regularizer=keras.regularizers.L2(1.0)
            )


class Holds(keras.Layer):
    """A decorated layer that does with its attribute what it is told to."""

    def __init__(self, held, use=lambda held, inputs: held(inputs)):
        super().__init__()
        self.held, self.use = held, use

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.use(self.held, inputs)


@pytest.mark.parametrize(
    ("make", "use"),
    [(Scale, lambda m, x: m(x)), (lambda: tf.Variable([1.0]), lambda v, x: v * x)],
    ids=["module", "variable"],
)
def test_g09_what_two_layers_share_is_trained_once_a_step(make, use):
    shared = make()
    inputs = keras.Input([1])
    model = keras.Model(inputs, Holds(shared, use)(Holds(shared, use)(inputs)))
    assert len(model.weights) == 1
    assert len(model.losses) == int(make is Scale)
    model.compile(keras.optimizers.SGD(0.1), loss=lambda _, outputs: tf.reduce_mean(outputs))
    model.fit(np.ones([1, 1]), np.zeros([1, 1]), verbose=0)
    # The gradient of w ** 2, with the regularization loss twice that.
    np.testing.assert_allclose(model.weights[0], [1 - 0.1 * 2 * len([1, *model.losses])], rtol=1e-6)


def test_g09_an_outer_and_an_inner_layer_share_a_module():
    shared = Scale()
    outer = Holds([shared, Holds(shared)], lambda held, x: held[1](held[0](x)))
    outer(tf.ones([1, 1]))
    assert len(outer.weights) == len(outer.losses) == 1


class CreatesDense(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        with tf1.variable_scope("i"):
            return shim.get_or_create_layer("dense", regularized_dense)(inputs)


class HasAttribute(tf.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return self.layer(inputs)


class PlainModule(tf.Module):
    def __init__(self, layer):
        super().__init__()
        self.layers = [layer]

    def __call__(self, inputs):
        return self.layers[0](inputs)


def regularized_dense():
    return keras.layers.Dense(2, kernel_regularizer="l2")


class TF1Dense(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("i"):
            return shim.layers.dense(inputs, 2, kernel_regularizer="l2")


MODULES_WITH_LAYERS = {
    "created": CreatesDense,
    "decorated layer": lambda: HasAttribute(TF1Dense()),
    "native layer": lambda: HasAttribute(regularized_dense()),
    "in a plain module": lambda: PlainModule(regularized_dense()),
    "two deep": lambda: PlainModule(HasAttribute(regularized_dense())),
}


@pytest.mark.parametrize("kind", MODULES_WITH_LAYERS)
def test_g09_losses_of_layers_in_a_layers_modules_count(kind, tmp_path):
    def make():
        inputs = keras.Input([3])
        return keras.Model(
            inputs, Holds([MODULES_WITH_LAYERS[kind]()], lambda h, x: h[0](x))(inputs)
        )

    model, other = make(), make()
    assert [tuple(v.shape) for v in model.trainable_weights] == [(3, 2), (2,)]
    (loss,) = model.losses
    np.testing.assert_allclose(loss, 0.01 * np.sum(model.weights[0].numpy() ** 2), rtol=1e-5)
    model.layers[1].trainable = False
    assert model.losses == model.trainable_weights == []
    model.layers[1].trainable = True
    assert len(model.trainable_weights) == 2
    model.save_weights(tmp_path / "w.weights.h5")
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(other(INPUTS), model(INPUTS))


@pytest.mark.parametrize("kind", MODULES_WITH_LAYERS)
def test_g09_losses_of_layers_in_a_module_count(kind):
    module = HasAttribute(MODULES_WITH_LAYERS[kind]())
    module(tf.constant(INPUTS))
    assert len(module.trainable_variables) == 2
    (loss,) = shim.regularization_losses(module)
    kernel = next(v for v in module.trainable_variables if v.shape.rank == 2)
    np.testing.assert_allclose(loss(), 0.01 * np.sum(kernel.numpy() ** 2), rtol=1e-5)


def test_g09_a_module_may_refer_to_the_layer_it_is_part_of():
    layer = Holds(Scale())
    layer.held.part_of = layer
    layer.held.itself = [layer.held]
    layer(tf.ones([1, 1]))
    assert len(layer.weights) == len(layer.losses) == 1


CONTAINERS = {
    "lists": (lambda part: [[part()], [part()]], lambda h: [h[0][0], h[1][0]]),
    "dictionaries": (
        lambda part: {"a": {"b": part()}, "c": part()},
        lambda h: [h["a"]["b"], h["c"]],
    ),
    "tuples of dictionaries": (
        lambda part: ({"k": part()}, [{"k": part()}]),
        lambda h: [h[0]["k"], h[1][0]["k"]],
    ),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", [InnerModule, InnerLayer, lambda: tf.Variable(tf.ones([3, 3]))])
def test_g09_attributes_in_lists_of_lists_and_the_like(container, kind, tmp_path):
    pack, unpack = CONTAINERS[container]

    def use(held, inputs):
        for part in unpack(held):
            inputs = part(inputs) if callable(part) else tf.matmul(inputs, part)
        return inputs

    def make():
        inputs = keras.Input([3])
        return keras.Model(inputs, Holds(pack(kind), use)(inputs))

    model, other = make(), make()
    assert len(model.trainable_weights) == 2
    for number, weight in enumerate(model.weights):
        weight.assign(INPUTS[:3] + number)
    if kind is not InnerLayer:  # Keras itself saves no layers in lists of lists.
        model.save_weights(tmp_path / "w.weights.h5")
        other.load_weights(tmp_path / "w.weights.h5")
        np.testing.assert_array_equal(other(INPUTS), model(INPUTS))


def test_g09_a_modules_variable_that_becomes_trainable_is_so_in_the_layer():
    class Module(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs, training):
            return inputs * tf1.get_variable("w", [1], trainable=training)

    layer = Holds(Module(), lambda module, inputs: module(inputs, inputs.shape[0] == 2))
    layer(tf.ones([1, 1]))
    assert layer.trainable_weights == []
    layer(tf.ones([2, 1]))
    assert len(layer.trainable_weights) == 1


def test_g09_regularizers_of_a_modules_variables_that_are_not_trained_count():
    class Module(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            return inputs * tf1.get_variable("w", [1], trainable=False, regularizer=tf.reduce_sum)

    module = Module()
    model = keras.Sequential([keras.Input([1]), Holds(module), Holds(module)])
    assert len(model.losses) == 1
