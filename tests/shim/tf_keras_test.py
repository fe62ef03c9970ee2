"""Layers of tf_keras, Keras 2 beside Keras 3: G1, G2, G3, G5, G9 and G15 hold for them as well."""

import copy

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf_keras = pytest.importorskip("tf_keras")
tf1 = tf.compat.v1
RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(8, 3)).astype("float32")
LABELS = RANDOM.integers(0, 2, size=8)
EAGER_AND_FUNCTION = pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "fn"])
NAMES = [
    "net/dense/kernel:0",
    "net/dense/bias:0",
    "net/norm/gamma:0",
    "net/norm/beta:0",
    "net/norm/moving_mean:0",
    "net/norm/moving_variance:0",
]


def net(inputs, training):
    with tf1.variable_scope("net"):
        outputs = shim.layers.dense(inputs, 2, kernel_regularizer="l2", name="dense")
        return shim.layers.batch_normalization(
            outputs, momentum=0.5, training=training, name="norm"
        )


@tf_keras.saving.register_keras_serializable("tf_keras_test")
class NetLayer(tf_keras.layers.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        return net(inputs, training)


@tf_keras.saving.register_keras_serializable("tf_keras_test")
class NetModel(tf_keras.Model):
    """A decorated model with decorated layers, and native ones of both generations, in it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = NetLayer(name="first"), NetLayer(name="second")

    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        with tf1.variable_scope("model"):
            weight = tf1.get_variable("weight", [], initializer=tf1.random_normal_initializer())
            head = shim.get_or_create_layer("head", lambda: tf_keras.layers.Dense(2))
            other = shim.get_or_create_layer("other", lambda: keras.layers.Dense(2))
            outputs = self.first(inputs, training=training)
            outputs += weight * self.second(inputs, training=training)
            return other(head(outputs))


def functional_model():
    inputs = tf_keras.Input([3])
    return tf_keras.Model(inputs, tf_keras.layers.Dense(2)(NetLayer()(inputs)))


def sequential_model():
    return tf_keras.Sequential([tf_keras.Input([3]), NetLayer(), tf_keras.layers.ReLU()])


def subclassed_model():
    model = NetModel()
    model(tf.constant(INPUTS))
    return model


MODELS = pytest.mark.parametrize(
    "make_model", [functional_model, sequential_model, subclassed_model]
)


def trained(model):
    model.compile(tf_keras.optimizers.SGD(0.1), tf_keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(INPUTS, LABELS, verbose=0)
    return model


def names(variables):
    return [v.name for v in variables]


@EAGER_AND_FUNCTION
def test_g01_variables_are_made_once_and_tracked(run):
    layer = NetLayer()
    call = run(lambda x: layer(x))
    first = call(tf.constant(INPUTS))
    np.testing.assert_array_equal(call(tf.constant(INPUTS)), first)
    assert names(layer.weights) == NAMES
    assert names(layer.trainable_weights) == names(layer.trainable_variables) == NAMES[:4]
    assert names(layer.non_trainable_weights) == NAMES[4:]
    layer.trainable = False
    assert layer.trainable_weights == []
    assert sorted(names(layer.non_trainable_weights)) == sorted(NAMES)


def test_g01_trainable_is_as_in_training():
    class Layer(tf_keras.layers.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs, training=False):
            return inputs * tf1.get_variable("w", [], trainable=training)

    layer = Layer()
    for training in (False, True, False):
        layer(INPUTS, training=training)
    assert names(layer.trainable_weights) == ["w:0"]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
@EAGER_AND_FUNCTION
def test_g01_a_policys_dtypes_are_those_of_variables_and_outputs(policy, run):
    layer = NetLayer(dtype=policy)
    outputs = run(lambda x: layer(x))(tf.constant(INPUTS))
    policy = tf_keras.mixed_precision.Policy(policy)
    assert outputs.dtype.name == policy.compute_dtype
    assert {v.dtype.name for v in layer.weights} == {policy.variable_dtype}

    class Module(tf.Module):
        @shim.track_tf1_style_variables
        def __call__(self, inputs):
            return inputs * tf1.get_variable("w", [])

    class Owner(tf_keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.module = Module()

        @shim.track_tf1_style_variables
        def call(self, inputs):
            return self.module(inputs)

    owner = Owner(dtype=policy)
    assert run(lambda x: owner(x))(tf.constant(INPUTS)).dtype.name == policy.compute_dtype
    assert [v.dtype.name for v in owner.weights] == [policy.variable_dtype]


@EAGER_AND_FUNCTION
def test_g02_losses_follow_the_current_value_once_per_variable(run):
    layer = NetLayer()
    call = run(lambda x: (layer(x), layer(x))[1])
    call(tf.constant(INPUTS))
    call(tf.constant(INPUTS))
    layer.weights[0].assign(tf.ones([3, 2]))
    np.testing.assert_allclose(layer.losses, [0.06], rtol=1e-6)
    (loss,) = shim.regularization_losses(layer)
    np.testing.assert_allclose(loss(), 0.06, rtol=1e-6)


@MODELS
def test_g03_fit_trains_the_weights_and_moves_the_averages(make_model):
    model = make_model()
    before = [v.numpy() for v in model.weights]
    trained(model)
    # Batch norm takes away what is added before it.
    changed = [v.name for v, b in zip(model.weights, before, strict=True) if (v != b).numpy().any()]
    left = set(names(model.weights)) - set(changed)
    assert all(name.endswith("/bias:0") for name in left)
    assert any(name.endswith("net/norm/moving_mean:0") for name in changed)


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5", "model.h5", "checkpoint"])
@MODELS
def test_g03_saved_and_loaded(make_model, file, tmp_path):
    model, path = trained(make_model()), str(tmp_path / file)
    if file == "model.keras":
        model.save(path)
        loaded = tf_keras.models.load_model(path)
    elif file == "checkpoint":
        loaded = make_model()
        path = tf.train.Checkpoint(model=model).write(path)
        tf.train.Checkpoint(model=loaded).read(path).assert_existing_objects_matched()
    else:
        loaded = make_model()
        model.save_weights(path)
        loaded.load_weights(path)
    for weight, again in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(weight, again, err_msg=weight.name)
    np.testing.assert_array_equal(loaded(INPUTS), model(INPUTS))


@MODELS
def test_g03_saved_models(make_model, tmp_path):
    model = trained(make_model())
    tf.saved_model.save(model, str(tmp_path / "saved"))
    signature = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    (outputs,) = signature(tf.constant(INPUTS)).values()
    np.testing.assert_allclose(outputs, model(INPUTS), rtol=1e-5)


def test_g03_weights_of_another_layer_are_refused(tmp_path):
    class Other(tf_keras.layers.Layer):
        @shim.track_tf1_style_variables
        def call(self, inputs):
            return inputs * tf1.get_variable("scale", [])

    path = str(tmp_path / "model.weights.h5")
    tf_keras.Sequential([tf_keras.Input([3]), NetLayer()]).save_weights(path)
    other = tf_keras.Sequential([tf_keras.Input([3]), Other()])
    with pytest.raises(ValueError, match="does not fit"):
        other.load_weights(path)


def test_g03_a_copied_layer():
    layer = NetLayer()
    expected = layer(INPUTS)
    again = copy.deepcopy(layer)
    np.testing.assert_array_equal(again(INPUTS), expected)
    again.weights[0].assign_add(tf.ones([3, 2]))
    assert np.any(again(INPUTS) != expected)
    np.testing.assert_array_equal(layer(INPUTS), expected)


@EAGER_AND_FUNCTION
def test_g05_moving_averages_move_in_training_only(run):
    layer = NetLayer()
    call = run(lambda x, training: layer(x, training=training))
    call(tf.constant(INPUTS), False)
    moving_mean = layer.weights[4]
    np.testing.assert_array_equal(moving_mean, [0, 0])
    call(tf.constant(INPUTS), True)
    kernel = layer.weights[0].numpy()
    np.testing.assert_allclose(moving_mean, INPUTS.mean(0) @ kernel / 2, rtol=1e-4, atol=1e-6)


@EAGER_AND_FUNCTION
def test_g09_objects_in_objects(run):
    class Outer(tf_keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner, self.scale = NetLayer(), tf.Variable(2.0, name="scale")
            self.native = keras.layers.Dense(2)

        @shim.track_tf1_style_variables
        def call(self, inputs):
            with tf1.variable_scope("outer"):
                outputs = self.native(self.inner(inputs) * self.scale)
                return outputs * tf1.get_variable("w", [], regularizer=tf.square)

    outer = Outer()
    call = run(lambda x: outer(x))
    np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
    assert {f"outer/{name}" for name in NAMES} == set(names(outer.inner.weights))
    assert {"scale:0", "outer/w:0"} < set(names(outer.trainable_weights))
    assert len(outer.weights) == len(NAMES) + 4
    assert len(outer.losses) == 2
    assert len(shim.regularization_losses(outer)) == 2


class HoldsLayer(tf.Module):
    def __init__(self):
        super().__init__()
        self.layer = NetLayer()

    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        return self.layer(inputs)


class HoldsLayerInKeras(keras.Layer):
    def __init__(self):
        super().__init__()
        self.layer = NetLayer()

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.layer(inputs)


@EAGER_AND_FUNCTION
def test_g09_in_objects_of_other_kinds(run):
    module, layer = HoldsLayer(), HoldsLayerInKeras()
    for owner in (module, layer):
        call = run(lambda x, owner=owner: owner(x))
        np.testing.assert_array_equal(call(tf.constant(INPUTS)), call(tf.constant(INPUTS)))
        assert len(owner.trainable_variables) == 4
        assert len(owner.variables) == 6
    assert len(shim.regularization_losses(module)) == len(layer.losses) == 1


class Objects(tf_keras.layers.Layer):
    """TF1 layer objects as attributes."""

    def __init__(self):
        super().__init__()
        self.dense_1 = shim.layers.Dense(4, name="dense_1")
        self.dense_2 = shim.layers.Dense(2, name="dense_2")

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return self.dense_2(self.dense_1(inputs))


class HalfNative(Objects):
    def __init__(self):
        super().__init__()
        self.dense_1 = tf_keras.layers.Dense(4)


class Native(HalfNative):
    def __init__(self):
        super().__init__()
        self.dense_2 = keras.layers.Dense(2)

    def call(self, inputs):
        return self.dense_2(self.dense_1(inputs))


@pytest.mark.parametrize("step", [Objects, HalfNative, Native])
def test_g15_a_checkpoint_of_layer_objects_restores_at_every_later_step(step, tmp_path):
    saved, restored = Objects(), step()
    expected = saved(INPUTS)
    path = tf.train.Checkpoint(model=saved).write(str(tmp_path / "checkpoint"))
    restored(INPUTS)
    tf.train.Checkpoint(model=restored).read(path).assert_existing_objects_matched()
    np.testing.assert_allclose(restored(INPUTS), expected, rtol=1e-6)


def test_g19_a_sequential_model_has_no_room_for_variables():
    class Net(tf_keras.Sequential):
        @shim.track_tf1_style_variables
        def call(self, inputs, training=None, mask=None):
            return shim.layers.dense(super().call(inputs), 2)

    with pytest.raises(TypeError, match="a Sequential model"):
        Net([tf_keras.layers.Dense(3)])(INPUTS)
