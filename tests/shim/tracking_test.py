"""Tracking: G1 (variables), G2 (regularization losses), G3 (use and saving in Keras)."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1


def dense(inputs, units=4):
    """TF1 code as its author wrote it, with a variable of each kind."""
    with tf1.variable_scope("dense"):
        calls = tf1.get_variable("calls", [], tf.int64, tf1.zeros_initializer, trainable=False)
        kernel = tf1.get_variable("kernel", [inputs.shape[-1], units], regularizer=half_sum)
        bias = tf1.get_variable("bias", [units], initializer=tf1.constant_initializer(0.5))
        calls.assign_add(1)
        return tf.matmul(inputs, kernel) + bias


def half_sum(variable):
    return tf.reduce_sum(variable) / 2


@keras.saving.register_keras_serializable("tracking_test")
class DenseLayer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        return dense(inputs)


@keras.saving.register_keras_serializable("tracking_test")
class DenseModel(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = DenseLayer()
        self.head = keras.layers.Dense(3)

    def call(self, inputs):
        return self.head(self.inner(inputs))


class DenseModule(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return dense(inputs)


INPUTS = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
IN_CREATION_ORDER = ["dense/calls", "dense/kernel", "dense/bias"]


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "tf.function"])
class TestG01Variables:
    def test_g01_layer_makes_its_variables_once_under_their_tf1_names(self, run):
        layer = DenseLayer()
        call = run(lambda x: layer(x))
        first = call(tf.constant(INPUTS))
        second = call(tf.constant(INPUTS))
        third = call(tf.constant(INPUTS[:2]))
        np.testing.assert_array_equal(first, second)
        np.testing.assert_allclose(first[:2], third, rtol=1e-6)
        assert [v.path for v in layer.weights] == IN_CREATION_ORDER
        assert [v.path for v in layer.variables] == IN_CREATION_ORDER
        assert [v.path for v in layer.trainable_weights] == ["dense/kernel", "dense/bias"]
        assert [v.path for v in layer.non_trainable_weights] == ["dense/calls"]
        assert [v.name for v in layer.weights] == ["calls", "kernel", "bias"]
        assert int(layer.weights[0].numpy()) == 3

    def test_g01_module_makes_its_variables_once_under_their_tf1_names(self, run):
        module = DenseModule()
        call = run(lambda x: module(x))
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
        assert [v.name for v in module.variables] == [f"{name}:0" for name in IN_CREATION_ORDER]
        assert [v.name for v in module.trainable_variables] == ["dense/kernel:0", "dense/bias:0"]

    def test_g01_tf1_code_gets_a_tf_variable(self, run):
        seen = []

        class Layer(keras.Layer):
            @shim.track_tf1_style_variables
            def call(self, inputs):
                variable = tf1.get_variable("scale", [], initializer=tf1.ones_initializer())
                seen.append(variable)
                variable.assign(tf.reduce_mean(inputs))
                return inputs * variable

        layer = Layer()
        call = run(lambda x: layer(x))
        np.testing.assert_allclose(call(tf.fill([2], 3.0)), [9, 9])
        assert isinstance(seen[0], tf.Variable)
        assert seen[0].name == "scale:0"
        assert seen[0].op.name == "scale"
        assert seen[0].dtype == tf.float32


def test_g01_each_variable_is_tracked_once():
    layer = DenseLayer()
    layer(INPUTS)
    (holder,) = layer._layers
    assert len(holder._trainable_variables) == 2
    assert len(holder._non_trainable_variables) == 1


def test_g01_a_layer_frozen_before_its_first_call_stays_frozen():
    layer = DenseLayer(trainable=False)
    model = keras.Sequential([keras.Input([3]), layer, keras.layers.Dense(1)])
    assert len(model.trainable_weights) == 2
    model.trainable = False
    layer.trainable = True
    assert [v.path for v in layer.trainable_weights] == ["dense/kernel", "dense/bias"]


@pytest.mark.parametrize(
    "arguments",
    [
        {"initializer": 0},
        {"initializer": np.ones([3])},
        {"initializer": lambda: tf.zeros([], tf.int64)},
    ],
    ids=["int", "float64", "callable"],
)
def test_g01_a_variable_with_its_initializers_dtype_is_found_again(arguments):
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            return tf.cast(tf1.get_variable("v", **arguments), tf.float32) + inputs

    layer = Layer()
    np.testing.assert_array_equal(layer(INPUTS), layer(INPUTS))


def test_g01_gradients_reach_the_tracked_variables():
    layer = DenseLayer()
    layer(INPUTS)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(INPUTS))
    kernel, bias = tape.gradient(loss, layer.trainable_weights)
    np.testing.assert_allclose(kernel, np.repeat(INPUTS.sum(0)[:, None], 4, axis=1), rtol=1e-5)
    np.testing.assert_allclose(bias, [5] * 4)


def test_g01_works_below_and_above_other_decorators():
    class Module(tf.Module):
        @tf.function
        @shim.track_tf1_style_variables
        def inside(self, inputs):
            return dense(inputs)

        @shim.track_tf1_style_variables
        @tf.function
        def outside(self, inputs):
            return dense(inputs)

    module = Module()
    np.testing.assert_allclose(module.inside(INPUTS), module.outside(INPUTS), rtol=1e-6)
    assert len(module.variables) == 3


def test_g01_one_decorated_method_may_call_another_of_the_same_object():
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def features(self, inputs):
            return dense(inputs)

        @shim.track_tf1_style_variables
        def call(self, inputs):
            return self.features(inputs) + tf1.get_variable("offset", [4])

    layer = Layer()
    layer(INPUTS)
    layer.features(tf.constant(INPUTS))
    assert [v.path for v in layer.weights] == [*IN_CREATION_ORDER, "offset"]


def test_g01_the_first_call_may_be_in_a_functional_model():
    inputs = keras.Input([3])
    layer = DenseLayer()
    model = keras.Model(inputs, layer(inputs))
    assert [v.path for v in model.weights] == IN_CREATION_ORDER
    assert int(model.weights[0].numpy()) == 0, "a symbolic pass runs nothing"
    np.testing.assert_allclose(model(INPUTS), layer(INPUTS))


def test_g02_losses_follow_the_current_value_once_per_variable():
    layer = DenseLayer()
    layer(INPUTS)
    layer(INPUTS)
    kernel = layer.trainable_weights[0]
    assert len(layer.losses) == 1
    np.testing.assert_allclose(layer.losses[0], kernel.numpy().sum() / 2, rtol=1e-5)
    kernel.assign(tf.ones([3, 4]))
    np.testing.assert_allclose(layer.losses, [6.0])


def test_g02_losses_bubble_up_through_keras():
    inner = DenseLayer()
    model = keras.Sequential([keras.Input([3]), inner, keras.layers.Dense(2)])
    np.testing.assert_allclose(model.losses, inner.losses)
    assert len(model.losses) == 1


@pytest.mark.parametrize(
    ("regularizer", "expected"),
    [
        (keras.regularizers.L2(0.1), 0.1 * 12),
        ("l2", 0.01 * 12),
        (lambda variable: 0.05 * tf.nn.l2_loss(variable), 0.05 * 12 / 2),
    ],
    ids=["keras object", "string", "callable"],
)
def test_g02_regularizers_in_every_form(regularizer, expected):
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            kernel = tf1.get_variable(
                "kernel", [3, 4], initializer=tf1.ones_initializer(), regularizer=regularizer
            )
            return tf.matmul(inputs, kernel)

    layer = Layer()
    layer(INPUTS)
    np.testing.assert_allclose(layer.losses, [expected], rtol=1e-6)


def test_g02_a_regularizer_that_returns_none_is_no_loss():
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            return inputs * tf1.get_variable("scale", [], regularizer=lambda variable: None)

    layer = Layer()
    layer(INPUTS)
    assert layer.losses == []


def test_g02_losses_of_a_module_are_callables():
    module = DenseModule()
    module(INPUTS)
    (loss,) = shim.regularization_losses(module)
    kernel = module.trainable_variables[0]
    kernel.assign(tf.ones([3, 4]))
    np.testing.assert_allclose(loss(), 6.0)


def test_g02_losses_of_submodules_with_equal_names_all_count():
    class Pair(tf.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = DenseModule(), DenseModule()

    pair = Pair()
    pair.first(INPUTS)
    pair.second(INPUTS)
    assert len(shim.regularization_losses(pair)) == 2


def test_g02_variables_that_are_not_trained_are_regularized_too():
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            return inputs * tf1.get_variable(
                "scale",
                [],
                initializer=tf1.ones_initializer(),
                trainable=False,
                regularizer=half_sum,
            )

    model = keras.Sequential([keras.Input([3]), Layer()])
    np.testing.assert_allclose(model.losses, [0.5])


def test_g03_fit_evaluate_predict():
    model = keras.Sequential([keras.Input([3]), DenseLayer()])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    targets = np.zeros([5, 4], "float32")
    before = model.evaluate(INPUTS, targets, verbose=0)
    kernel_before = model.trainable_weights[0].numpy()
    model.fit(INPUTS, targets, epochs=3, verbose=0)
    assert model.evaluate(INPUTS, targets, verbose=0) < before
    assert not np.allclose(kernel_before, model.trainable_weights[0].numpy())
    assert model.predict(INPUTS, verbose=0).shape == (5, 4)


def functional_model():
    inputs = keras.Input([3])
    return keras.Model(inputs, keras.layers.Dense(2)(DenseLayer()(inputs)))


def sequential_model():
    return keras.Sequential([keras.Input([3]), DenseLayer(), keras.layers.ReLU()])


def subclassed_model():
    model = DenseModel()
    model(keras.Input([3]))
    return model


MODELS = pytest.mark.parametrize(
    "make_model", [functional_model, sequential_model, subclassed_model]
)


@MODELS
def test_g03_keras_file(make_model, tmp_path):
    model = make_model()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(INPUTS), model(INPUTS))


@MODELS
def test_g03_weights_file(make_model, tmp_path):
    model, other = make_model(), make_model()
    model.save_weights(tmp_path / "model.weights.h5")
    assert not np.allclose(other(INPUTS), model(INPUTS))
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(INPUTS), model(INPUTS))


@MODELS
def test_g03_object_based_checkpoint(make_model, tmp_path):
    model, other = make_model(), make_model()
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=other).read(path).assert_consumed()
    np.testing.assert_array_equal(other(INPUTS), model(INPUTS))


@MODELS
def test_g03_saved_model(make_model, tmp_path):
    model = make_model()
    expected = model(INPUTS).numpy()
    model.export(tmp_path / "export", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "export"))
    np.testing.assert_allclose(exported.serve(INPUTS), expected, rtol=1e-6)
    tf.saved_model.save(model, str(tmp_path / "saved"))
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    (output,) = saved.signatures["serving_default"](tf.constant(INPUTS)).values()
    np.testing.assert_allclose(output, expected, rtol=1e-6)


@pytest.mark.parametrize("make", [DenseLayer, DenseModule])
def test_g03_checkpoint_restores_into_an_object_never_called(make, tmp_path):
    called, fresh = make(), make()
    expected = called(INPUTS)
    path = tf.train.Checkpoint(root=called).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(root=fresh).read(path)
    np.testing.assert_array_equal(fresh(INPUTS), expected)


def test_g03_weights_load_into_a_layer_never_called(tmp_path):
    class Outer(keras.Layer):
        """Calls its inner layer only where asked to, so that building it makes no variable."""

        def __init__(self):
            super().__init__()
            self.inner = DenseLayer()

        def build(self, input_shape):
            pass

        def call(self, inputs):
            return self.inner(inputs)

    model = keras.Sequential([keras.Input([3]), Outer()])
    expected = model(INPUTS)
    model.save_weights(tmp_path / "model.weights.h5")
    layer = Outer()
    layer.build((None, 3))
    other = keras.Sequential([layer])
    other.built = True
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(INPUTS), expected)


def test_g03_variables_of_a_method_not_yet_called_are_kept(tmp_path):
    @keras.saving.register_keras_serializable("tracking_test")
    class TwoMethods(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            return inputs * tf1.get_variable("scale", [])

        @shim.track_tf1_style_variables
        def shifted(self, inputs):
            return inputs + tf1.get_variable("offset", [])

    model = keras.Sequential([keras.Input([3]), TwoMethods()])
    expected = model.layers[0].shifted(tf.constant(INPUTS))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.layers[0].shifted(tf.constant(INPUTS)), expected)


def test_g03_a_mixin_may_hold_the_decorated_method(tmp_path):
    class Mixin:
        @shim.track_tf1_style_variables
        def call(self, inputs):
            return dense(inputs)

    class Layer(Mixin, keras.Layer):
        pass

    called, fresh = Layer(), Layer()
    expected = called(INPUTS)
    fresh._tf1_variables.load_own_variables(
        {
            name.replace("/", "|"): v.numpy()
            for name, v in zip(IN_CREATION_ORDER, called.weights, strict=True)
        }
    )
    np.testing.assert_array_equal(fresh(INPUTS), expected)


def test_g03_weights_of_another_layer_are_refused(tmp_path):
    class Other(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            return inputs * tf1.get_variable("scale", [])

    model = keras.Sequential([keras.Input([3]), DenseLayer()])
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras.Sequential([keras.Input([3]), Other()])
    with pytest.raises(ValueError, match="does not fit"):
        other.load_weights(tmp_path / "model.weights.h5")


@keras.saving.register_keras_serializable("tracking_test")
class Deep(keras.Layer):
    """As many dense layers as asked for, in several forward passes."""

    def __init__(self, depth):
        super().__init__()
        self.depth = depth

    def _net(self, inputs):
        with tf1.variable_scope("net"):
            for _ in range(self.depth):
                inputs = shim.layers.dense(inputs, 3)
            return inputs


class DeepInputs(Deep):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self._net(inputs)


class DeepTraining(Deep):
    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        return self._net(inputs)


class DeepFeatures(Deep):
    @shim.track_tf1_style_variables
    def features(self, inputs):
        return self._net(inputs)

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.features(inputs)


class DeepHead(Deep):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self._net(inputs)

    @shim.track_tf1_style_variables
    def head(self, inputs):
        return self._net(inputs)


def load_two_deep_into_one_deep(layer_class, folder):
    saved, other = (keras.Sequential([keras.Input([3]), layer_class(d)]) for d in (2, 1))
    saved.save_weights(folder / "model.weights.h5")
    other.load_weights(folder / "model.weights.h5")
    return saved.layers[0], other.layers[0]


@pytest.mark.parametrize("layer_class", [DeepInputs, DeepFeatures])
def test_g03_weights_of_a_bigger_layer_are_refused(layer_class, tmp_path):
    with pytest.raises(ValueError, match=r"does not fit this Deep.*2 variables .*net/dense_1/"):
        load_two_deep_into_one_deep(layer_class, tmp_path)


def test_g03_weights_of_a_bigger_layer_are_warned_of_where_training_may_make_more(tmp_path):
    with pytest.warns(UserWarning, match=r"2 variables .*net/dense_1/.* makes them in training"):
        saved, other = load_two_deep_into_one_deep(DeepTraining, tmp_path)
    other.depth = 2
    np.testing.assert_array_equal(other(INPUTS), saved(INPUTS))


def test_g03_weights_of_methods_not_yet_called_are_saved_again(tmp_path):
    saved, other = load_two_deep_into_one_deep(DeepHead, tmp_path)
    again = keras.Sequential([keras.Input([3]), other])
    again.save_weights(tmp_path / "again.weights.h5")
    restored = DeepHead(2)
    last = keras.Sequential([keras.Input([3]), restored])
    last.load_weights(tmp_path / "again.weights.h5")
    np.testing.assert_array_equal(restored.head(INPUTS), saved.head(INPUTS))


class Reuses(tf.Module):
    """Methods that disagree over whether a variable is trained."""

    @shim.track_tf1_style_variables
    def frozen(self):
        with tf1.variable_scope("net"):
            return tf1.get_variable("w", [1], trainable=False) + 0

    @shim.track_tf1_style_variables
    def reused(self):
        with tf1.variable_scope("net", reuse=tf1.AUTO_REUSE):
            return tf1.get_variable("w", [1]) + 0

    @shim.track_tf1_style_variables
    def features(self, is_training):
        with tf1.variable_scope("net"):
            return tf1.get_variable("v", [1], trainable=is_training) + 0

    @shim.track_tf1_style_variables
    def __call__(self, is_training):
        return self.features(is_training)

    @shim.track_tf1_style_variables
    def branches(self, is_training):
        with tf1.variable_scope("net"):
            if is_training:
                return tf1.get_variable("u", [1]) + 0
            return tf1.get_variable("u", [1], trainable=False) + 0


def test_g01_a_method_that_reuses_a_variable_takes_it_as_it_is():
    module = Reuses()
    for method in (module.frozen, module.reused, module.frozen, module.reused):
        method()
        assert module.trainable_variables == ()
    other = Reuses()
    other.reused(), other.frozen()
    assert len(other.trainable_variables) == 1


@pytest.mark.parametrize(
    "methods", [["features", "__call__"], ["__call__", "features"], ["branches", "branches"]]
)
def test_g01_code_with_trainable_is_training_trains_by_whichever_method_it_is_called(methods):
    module = Reuses()
    for method, is_training in zip(methods, [False, True], strict=True):
        getattr(module, method)(is_training)
        assert len(module.trainable_variables) == is_training


def test_g01_what_stops_the_run_in_training_is_in_the_debug_log(caplog):
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs, training=False):
            if training:
                raise KeyError("no targets")
            return inputs * tf1.get_variable("w", [], trainable=training)

    with caplog.at_level("DEBUG", "shimzoo.shim.tracking"):
        keras.Sequential([keras.Input([3]), Layer()])
    assert "Layer with training=True" in caplog.text
    assert "no targets" in caplog.text


def test_in_a_tf1_graph_the_method_runs_as_it_is():
    module = DenseModule()
    with tf.Graph().as_default(), tf1.Session() as session:
        inputs = tf1.placeholder(tf.float32, [None, 3])
        outputs = module(inputs)
        assert [v.op.name for v in tf1.global_variables()] == IN_CREATION_ORDER
        assert len(tf1.get_collection("regularization_losses")) == 1
        session.run(tf1.global_variables_initializer())
        assert session.run(outputs, {inputs: INPUTS}).shape == (5, 4)
    assert module.variables == ()


def test_a_tf1_graph_may_be_built_inside_a_decorated_method():
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf.Graph().as_default(), tf1.variable_scope("a"):
                assert tf1.get_variable("v", [2]).name == "a/v:0"
            return inputs

    Layer()(INPUTS)


def test_a_strategy_makes_the_variables_its_own_way():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = DenseLayer()
        outputs = strategy.run(tf.function(lambda: layer(tf.constant(INPUTS))))
    first, second = strategy.experimental_local_results(outputs)
    np.testing.assert_array_equal(first, second)
    assert [v.path for v in layer.weights] == IN_CREATION_ORDER
    assert len(strategy.experimental_local_results(layer.weights[1].value)) == 2
