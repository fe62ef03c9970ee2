"""Keras layers made in decorated methods: G8 (get_or_create_layer) and G12 (record_scope)."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1
layers = shim.layers
INPUTS = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
EAGER_AND_FUNCTION = pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "fn"])
IN_CREATION_ORDER = [
    "net/dense/kernel",
    "net/dense/bias",
    "net/native/kernel",
    "net/native/bias",
    "net/dense_1/kernel",
    "net/dense_1/bias",
]


def native_dense():
    return keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(0.1))


def mixed(inputs):
    """A TF1 forward pass with a Keras layer between two TF1 layers."""
    with tf1.variable_scope("net"):
        x = layers.dense(inputs, 4, kernel_regularizer=keras.regularizers.L2(0.2))
        x = shim.get_or_create_layer("native", native_dense)(x)
        return layers.dense(x, 2)


@keras.saving.register_keras_serializable("created_layers_test")
class MixedLayer(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        return mixed(inputs)


class MixedModule(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return mixed(inputs)


def in_numpy(inputs, weights):
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        inputs = inputs @ np.asarray(kernel) + np.asarray(bias)
    return inputs


@EAGER_AND_FUNCTION
def test_g08_a_layer_is_made_once_and_tracked_among_tf1_variables_in_creation_order(run):
    layer = MixedLayer()
    call = run(lambda x: layer(x))
    outputs = call(tf.constant(INPUTS))
    with shim.assert_no_variable_creations():
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), outputs)
        call(tf.constant(INPUTS[:2]))
    assert [v.path for v in layer.weights] == IN_CREATION_ORDER
    assert [v.path for v in layer.trainable_weights] == IN_CREATION_ORDER
    np.testing.assert_allclose(outputs, in_numpy(INPUTS, layer.get_weights()), rtol=1e-4)


@EAGER_AND_FUNCTION
def test_g08_losses_of_the_layer_are_those_of_its_owner(run):
    layer = MixedLayer()
    call = run(lambda x: layer(x))
    call(tf.constant(INPUTS))
    call(tf.constant(INPUTS))
    first, _, native, *_ = layer.get_weights()
    np.testing.assert_allclose(
        sorted(map(float, layer.losses)),
        sorted([0.2 * np.sum(first**2), 0.1 * np.sum(native**2)]),
        rtol=1e-5,
    )


def test_g08_activity_regularizers_count():
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            layer = shim.get_or_create_layer(
                "activity", lambda: keras.layers.Identity(activity_regularizer="l2")
            )
            return layer(inputs)

    layer = Layer()
    layer(INPUTS)
    layer(INPUTS)
    np.testing.assert_allclose(layer.losses, [0.01 * np.sum(INPUTS**2) / 5], rtol=1e-5)


def test_g08_name_and_scope_together_are_the_key():
    made = []

    def build():
        made.append(keras.layers.Dense(3))
        return made[-1]

    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            found = [shim.get_or_create_layer("dense", build)]
            for scope in ("a", "b", "a"):
                with tf1.variable_scope(scope):
                    found.append(shim.get_or_create_layer("dense", build))
            found.append(shim.get_or_create_layer("other", build))
            self.found = [made.index(layer) for layer in found]
            for layer in found:
                inputs = layer(inputs)
            return inputs

    layer = Layer()
    for _ in range(2):
        layer(INPUTS)
        assert layer.found == [0, 1, 2, 1, 3]
    assert [v.path for v in layer.weights[::2]] == [
        "dense/kernel",
        "a/dense/kernel",
        "b/dense/kernel",
        "other/kernel",
    ]


def test_g08_two_objects_have_a_layer_each():
    first, second = MixedLayer(), MixedLayer()
    assert not np.allclose(first(INPUTS), second(INPUTS))
    assert not {id(v) for v in first.weights} & {id(v) for v in second.weights}


def test_g08_nested_owners_keep_their_own_layers():
    class Outer(keras.Layer):
        def __init__(self):
            super().__init__()
            self.inner = MixedLayer()

        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("outer"):
                x = self.inner(inputs)
                return shim.get_or_create_layer("head", lambda: keras.layers.Dense(2))(x)

    outer = Outer()
    outer(INPUTS)
    outer(INPUTS)
    inner_paths = [f"outer/{path}" for path in IN_CREATION_ORDER]
    assert [v.path for v in outer.inner.weights] == inner_paths
    assert sorted(v.path for v in outer.weights) == sorted(
        [*inner_paths, "outer/head/kernel", "outer/head/bias"]
    )
    assert len(outer.losses) == 2


def sequential():
    return keras.Sequential([keras.layers.Dense(4, name="a"), keras.layers.Dense(2, name="b")])


def functional():
    inputs = keras.Input([3])
    hidden = keras.layers.Dense(4, name="a")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="b")(hidden))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.a = keras.layers.Dense(4)
        self.b = keras.layers.Dense(2)

    def call(self, inputs):
        return self.b(self.a(inputs))


@EAGER_AND_FUNCTION
@pytest.mark.parametrize("build", [sequential, functional, Subclassed])
@pytest.mark.parametrize("owner_class", [keras.Layer, tf.Module])
def test_g08_whole_models_may_be_made_inside(owner_class, build, run):
    class Owner(owner_class):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("net"):
                return shim.get_or_create_layer("model", build)(inputs)

    owner = Owner()
    call = run(owner.call)
    outputs = call(tf.constant(INPUTS))
    assert [tuple(v.shape) for v in owner.trainable_variables] == [(3, 4), (4,), (4, 2), (2,)]
    weights = [np.asarray(v) for v in owner.trainable_variables]
    np.testing.assert_allclose(outputs, in_numpy(INPUTS, weights), rtol=1e-4, atol=1e-5)
    with shim.assert_no_variable_creations():
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), outputs)
    if owner_class is keras.Layer:
        assert all(v.path.startswith("net/model/") for v in owner.weights)


@EAGER_AND_FUNCTION
def test_g08_a_module_has_the_variables_and_losses(run):
    module = MixedModule()
    call = run(lambda x: module(x))
    outputs = call(tf.constant(INPUTS))
    np.testing.assert_array_equal(call(tf.constant(INPUTS)), outputs)
    assert len(module.variables) == len(module.trainable_variables) == 6
    named = {v.name.removesuffix(":0"): v.numpy() for v in module.variables}
    assert set(named) >= {"net/dense/kernel", "net/dense_1/bias"}
    assert [tuple(v.shape) for v in module.variables].count((4, 4)) == 1
    expected = [0.2 * np.sum(named["net/dense/kernel"] ** 2)]
    (native,) = [v for v in module.variables if tuple(v.shape) == (4, 4)]
    expected.append(0.1 * np.sum(native.numpy() ** 2))
    losses = [float(loss()) for loss in shim.regularization_losses(module)]
    np.testing.assert_allclose(sorted(losses), sorted(expected), rtol=1e-5)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(module(tf.constant(INPUTS)))
    assert all(g is not None for g in tape.gradient(loss, module.trainable_variables))


def test_g08_a_tf_module_may_be_made_inside():
    class Scale(tf.Module):
        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(3.0)

        def __call__(self, inputs):
            return inputs * self.scale

    class Owner(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            return shim.get_or_create_layer("scale", Scale)(inputs)

    owner = Owner()
    for _ in range(2):
        np.testing.assert_allclose(owner(INPUTS), 3 * INPUTS)
    assert len(owner.variables) == 1


@EAGER_AND_FUNCTION
@pytest.mark.parametrize("generation", ["keras", "tf_keras"])
def test_g08_a_layer_of_tf_keras_owns_layers_of_both_generations(generation, run):
    tf_keras = pytest.importorskip("tf_keras")
    native_layers = pytest.importorskip(generation).layers

    def native():
        return native_layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l2")

    class Owner(tf_keras.layers.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("net"):
                x = layers.dense(inputs, 4, kernel_regularizer=keras.regularizers.L2(0.2))
                return shim.get_or_create_layer("native", native)(x)

    owner = Owner()
    losses = []

    def code(inputs):
        outputs = owner(inputs)
        losses[:] = owner.losses
        return outputs, tf.add_n(losses)

    call = run(code)
    outputs, loss = call(tf.constant(INPUTS))
    np.testing.assert_array_equal(call(tf.constant(INPUTS))[0], outputs)
    kernel, _, native_kernel, _ = weights = owner.get_weights()
    assert [w.shape for w in weights] == [(3, 4), (4,), (4, 2), (2,)]
    assert len(owner.trainable_weights) == 4
    np.testing.assert_allclose(outputs, in_numpy(INPUTS, weights), rtol=1e-4, atol=1e-5)
    regularization = 0.2 * np.sum(kernel**2) + 0.01 * np.sum(native_kernel**2)
    activity = 0.01 * np.sum(np.square(outputs)) / 5
    np.testing.assert_allclose(loss, regularization + activity, rtol=1e-5)
    np.testing.assert_allclose(call(tf.constant(INPUTS))[1], loss, rtol=1e-6)


def functional_model():
    inputs = keras.Input([3])
    return keras.Model(inputs, MixedLayer()(inputs))


def test_g08_the_first_call_may_be_a_functional_models_symbolic_pass():
    model = functional_model()
    assert [v.path for v in model.weights] == IN_CREATION_ORDER
    outputs = model(INPUTS)
    np.testing.assert_allclose(outputs, in_numpy(INPUTS, model.get_weights()), rtol=1e-4)
    assert len(model.losses) == 2


def test_g08_fit_trains_the_layer():
    model = keras.Sequential([MixedLayer()])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    targets = np.zeros([5, 2], "float32")
    losses = model.fit(INPUTS, targets, epochs=3, verbose=0).history["loss"]
    assert losses[2] < losses[0]
    assert [v.path for v in model.weights] == IN_CREATION_ORDER
    before = model.get_weights()
    model.fit(INPUTS, targets, verbose=0)
    assert all(not np.allclose(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_g08_the_first_call_may_be_inside_a_strategys_run():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = MixedLayer()

    def in_replica():
        return layer(tf.constant(INPUTS))

    step = tf.function(lambda: strategy.run(in_replica))
    for outputs in (step(), step()):
        first, second = strategy.experimental_local_results(outputs)
        np.testing.assert_array_equal(first, second)
    assert [v.path for v in layer.weights] == IN_CREATION_ORDER
    for variable in layer.weights:
        assert len(strategy.experimental_local_results(variable.value)) == 2


@pytest.mark.parametrize("make", [functional_model, lambda: keras.Sequential([MixedLayer()])])
def test_g08_keras_and_weights_files(make, tmp_path):
    model, other = make(), make()
    expected = model(INPUTS).numpy()
    other(INPUTS)
    model.save(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(other(INPUTS), expected)
    if model.inputs:
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(loaded(INPUTS), expected)


def test_g08_a_weights_file_of_layers_not_made_yet_is_a_clear_error(tmp_path):
    model = functional_model()
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = keras.Sequential([MixedLayer()])
    fresh.built = fresh.layers[0].built = True
    with pytest.raises(ValueError, match=r"net/native\. Call it once, then load"):
        fresh.load_weights(tmp_path / "model.weights.h5")
    fresh.layers[0](INPUTS)
    fresh.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(fresh.layers[0](INPUTS), model(INPUTS), rtol=1e-6)


@pytest.mark.parametrize("make", [MixedLayer, MixedModule])
@pytest.mark.parametrize("called_before", [False, True])
def test_g08_object_based_checkpoints(make, called_before, tmp_path):
    saved, restored = make(), make()
    expected = saved(INPUTS)
    path = tf.train.Checkpoint(model=saved).write(str(tmp_path / "checkpoint"))
    if called_before:
        restored(INPUTS)
    status = tf.train.Checkpoint(model=restored).read(path)
    np.testing.assert_array_equal(restored(INPUTS), expected)
    status.assert_consumed()


def test_g08_in_a_tf1_graph_the_builder_is_simply_called():
    built = []

    def build():
        built.append(layers.Dense(2, name="dense"))
        return built[-1]

    module = MixedModule()
    with tf.Graph().as_default(), tf1.Session() as session:
        outputs = shim.get_or_create_layer("dense", build)(tf.constant(INPUTS))
        shim.get_or_create_layer("dense", build)
        session.run(tf1.global_variables_initializer())
        assert session.run(outputs).shape == (5, 2)
    assert len(built) == 2
    assert module.variables == ()


def test_g08_the_builder_takes_no_arguments():
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            return shim.get_or_create_layer("dense", keras.layers.Dense)(inputs)

    with pytest.raises(TypeError, match="units"):
        Layer()(INPUTS)


def test_g08_the_builder_returns_a_layer():
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("net"):
                return shim.get_or_create_layer("dense", lambda: tf.ones([2]))

    with pytest.raises(TypeError, match=r"'net/dense'.*Tensor, which is neither"):
        Layer()(INPUTS)


def test_g08_outside_of_a_decorated_method_is_an_error():
    with pytest.raises(RuntimeError, match=r"'dense'.*outside of a decorated method"):
        shim.get_or_create_layer("dense", native_dense)


def names_with(middle):
    """Names of the variables of a net whose second of three convolutions is `middle`."""

    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("net"):
                x = layers.conv2d(inputs, 2, 1, use_bias=False)
                x = middle(x)
                x = layers.batch_normalization(x, scale=False)
                return layers.conv2d(x, 2, 1, use_bias=False)

    layer = Layer()
    images = np.ones([1, 4, 4, 3], "float32")
    layer(images)
    layer(images)
    return [v.path for v in layer.weights]


def test_g12_recorded_names_are_skipped():
    def recorded(x):
        shim.record_scope("conv2d")
        shim.record_scope("batch_normalization")
        return x

    def tf1_layers(x):
        return layers.batch_normalization(layers.conv2d(x, 2, 1, use_bias=False), scale=False)

    of_tf1 = names_with(tf1_layers)
    middle = [n for n in of_tf1 if "conv2d_1" in n or "batch_normalization/" in n]
    assert len(middle) == 4
    assert names_with(recorded) == [name for name in of_tf1 if name not in middle]
    assert names_with(lambda x: x)[-1] == "net/conv2d_1/kernel"


def test_g12_numbered_names_may_be_recorded_as_the_guide_does():
    def recorded(x):
        shim.record_scope("conv2d_1")
        return x

    assert names_with(recorded)[-1] == "net/conv2d_2/kernel"


@EAGER_AND_FUNCTION
def test_g12_every_call_records_anew_and_each_scope_for_itself(run):
    class Layer(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("a"):
                shim.record_scope("dense")
                x = layers.dense(inputs, 2)
            with tf1.variable_scope("b"):
                return layers.dense(x, 2)

    layer = Layer()
    call = run(lambda x: layer(x))
    for _ in range(2):
        call(tf.constant(INPUTS))
    call(tf.ones([1, 3]))
    assert [v.path for v in layer.weights[::2]] == ["a/dense_1/kernel", "b/dense/kernel"]


def test_g12_works_in_a_tf1_graph():
    with tf.Graph().as_default(), tf1.variable_scope("net"):
        shim.record_scope("dense")
        layers.dense(tf.ones([2, 3]), 2)
        assert next(v.op.name for v in tf1.global_variables()) == "net/dense_1/kernel"
