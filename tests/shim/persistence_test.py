"""Saving and restoring: G3 (Keras files, checkpoints, SavedModel, copies), G16 (TF1 names)."""

import copy
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

tf1 = tf.compat.v1

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(size=(8, 6, 6, 3)).astype("float32")
LABELS = RANDOM.integers(0, 2, size=8)


def net(images, training):
    """TF1 code with a native layer inside."""
    with tf1.variable_scope("net"):
        outputs = shim.layers.conv2d(images, 4, 3, name="conv")
        outputs = shim.layers.batch_normalization(
            outputs, momentum=0.5, training=training, name="norm"
        )
        outputs = tf.nn.relu(outputs)
        logits = shim.get_or_create_layer("logits", lambda: keras.layers.Dense(2))
        return logits(tf.reduce_mean(outputs, [1, 2]))


NAMES = [
    "net/conv/kernel",
    "net/conv/bias",
    "net/norm/gamma",
    "net/norm/beta",
    "net/norm/moving_mean",
    "net/norm/moving_variance",
    "net/logits/kernel",
    "net/logits/bias",
]


@keras.saving.register_keras_serializable("persistence_test")
class NetLayer(keras.Layer):
    """Its configuration says what TF1 code is to do."""

    def __init__(self, scale=1.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        return self.scale * net(images, training)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}


@keras.saving.register_keras_serializable("persistence_test")
class NetModel(keras.Model):
    """A decorated model within which another decorated layer is nested twice."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = NetLayer(name="first"), NetLayer(name="second")

    @shim.track_tf1_style_variables
    def call(self, images, training=False):
        weight = tf1.get_variable("weight", [], initializer=tf1.random_normal_initializer())
        outputs = self.first(images, training=training)
        return outputs + weight * self.second(images, training=training)


def functional_model():
    images = keras.Input([6, 6, 3])
    return keras.Model(images, keras.layers.Dense(2)(NetLayer(scale=2.0)(images)))


def sequential_model():
    return keras.Sequential([keras.Input([6, 6, 3]), NetLayer(), keras.layers.Softmax()])


def subclassed_model():
    model = NetModel()
    model(tf.constant(IMAGES))
    return model


def model_in_a_model():
    images = keras.Input([6, 6, 3])
    return keras.Model(images, sequential_model()(images))


MODELS = pytest.mark.parametrize(
    "make_model", [functional_model, sequential_model, subclassed_model, model_in_a_model]
)


def compiled(model):
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def train(model, epochs=1):
    model.fit(IMAGES, LABELS, batch_size=4, shuffle=False, epochs=epochs, verbose=0)


def assert_same_weights(model, other):
    assert len(model.weights) == len(other.weights) > 0
    for weight, of_other in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight, of_other, err_msg=weight.path)


@MODELS
def test_g03_training_goes_on_from_a_keras_file(make_model, tmp_path):
    model = compiled(make_model())
    train(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same_weights(loaded, model)
    train(model)
    train(loaded)
    assert_same_weights(loaded, model)
    np.testing.assert_array_equal(
        loaded.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0)
    )


@MODELS
def test_g03_training_goes_on_from_a_checkpoint(make_model, tmp_path):
    model, other = compiled(make_model()), compiled(make_model())
    train(model)
    saved = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    manager = tf.train.CheckpointManager(saved, str(tmp_path), max_to_keep=1)
    manager.save()
    restored = tf.train.Checkpoint(model=other, optimizer=other.optimizer)
    other.optimizer.build(other.trainable_variables)
    status = tf.train.CheckpointManager(restored, str(tmp_path), max_to_keep=1)
    restored.restore(status.latest_checkpoint).assert_existing_objects_matched()
    assert_same_weights(other, model)
    train(model)
    train(other)
    assert_same_weights(other, model)


class NetModule(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 6, 6, 3])])
    @shim.track_tf1_style_variables
    def __call__(self, images):
        return net(images, training=False)

    @shim.track_tf1_style_variables
    def train(self, images):
        return net(images, training=True)


def disturb(owner):
    for i, variable in enumerate(owner.variables):
        if "seed" not in variable.name:
            variable.assign(np.full(variable.shape, 1 + i / 8))


# Before the first call of a model Keras itself restores no native layers inside of it.
@pytest.mark.parametrize(
    ("make", "is_called_before"),
    [(NetLayer, False), (NetModule, False), (NetLayer, True), (NetModule, True), (NetModel, True)],
)
def test_g03_restoring_a_managers_latest_checkpoint(make, is_called_before, tmp_path):
    saved, restored = make(), make()
    saved(tf.constant(IMAGES))
    disturb(saved)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(net=saved), str(tmp_path), 3)
    for _ in range(2):
        manager.save()
    if is_called_before:
        restored(tf.constant(IMAGES))
    status = tf.train.Checkpoint(net=restored).restore(tf.train.latest_checkpoint(str(tmp_path)))
    outputs = restored(tf.constant(IMAGES))
    np.testing.assert_array_equal(outputs, saved(tf.constant(IMAGES)))
    status.assert_existing_objects_matched()


SERVE = """
import sys, numpy as np, tensorflow as tf
from pathlib import Path
for directory in map(Path, sys.argv[1:]):
    loaded = tf.saved_model.load(str(directory))
    signature = loaded.signatures["serving_default"]
    (outputs,) = signature(tf.constant(np.load(directory / "images.npy"))).values()
    np.savez(directory / "out.npz", outputs=outputs, count=len(signature.variables))
assert "shimzoo" not in sys.modules
"""


def test_g03_saved_models_serve_in_a_process_without_the_shim(tmp_path):
    model = compiled(functional_model())
    train(model)
    module = NetModule()
    module(tf.constant(IMAGES))
    disturb(module)
    exported, saved, of_module = (tmp_path / name for name in ("exported", "saved", "module"))
    model.export(exported, verbose=False)
    tf.saved_model.save(model, str(saved))
    tf.saved_model.save(module, str(of_module), module.__call__.get_concrete_function())
    directories = {exported: model, saved: model, of_module: module}
    for directory in directories:
        np.save(directory / "images.npy", IMAGES)
    subprocess.run([sys.executable, "-c", SERVE, *directories], check=True)
    for directory, owner in directories.items():
        served = np.load(directory / "out.npz")
        outputs = owner(tf.constant(IMAGES))
        np.testing.assert_allclose(served["outputs"], outputs, rtol=1e-6, atol=1e-7)
        assert served["count"] == len(owner.variables)


def test_g03_a_clone_is_a_model_of_its_own():
    model = functional_model()
    clone = keras.models.clone_model(model)
    assert [v.path for v in clone.weights[:8]] == NAMES
    assert not np.array_equal(clone(IMAGES), model(IMAGES))
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone(IMAGES), model(IMAGES))
    before = model(IMAGES)
    disturb(clone)
    np.testing.assert_array_equal(model(IMAGES), before)


def test_g03_a_layer_made_from_its_configuration():
    layer = NetLayer(scale=3.0, name="mine", dtype="mixed_bfloat16", trainable=False)
    again = NetLayer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    again(IMAGES)
    assert again.trainable_weights == []
    assert [v.path for v in again.weights] == NAMES


COPIES = pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
    ids=["deepcopy", "pickle"],
)


@COPIES
@pytest.mark.parametrize("make", [functional_model, sequential_model, subclassed_model])
def test_g03_a_copied_model(make, copied):
    model = make()
    again = copied(model)
    np.testing.assert_array_equal(again(IMAGES), model(IMAGES))
    assert [v.path for v in again.weights][:6] == [v.path for v in model.weights][:6]
    before = model(IMAGES)
    disturb(again)
    assert not np.array_equal(again(IMAGES), before)
    np.testing.assert_array_equal(model(IMAGES), before)


class DenseModule(tf.Module):
    @shim.track_tf1_style_variables
    def __call__(self, inputs):
        with tf1.variable_scope("dense"):
            kernel = tf1.get_variable("kernel", [3, 4], regularizer=tf.nn.l2_loss)
            assert kernel.op.name == "dense/kernel"
            return tf.matmul(inputs, kernel)


@COPIES
def test_g03_a_copied_module(copied):
    module = DenseModule()
    inputs = tf.ones([2, 3])
    outputs = module(inputs)
    again = copied(module)
    np.testing.assert_array_equal(again(inputs), outputs)
    assert [v.name for v in again.variables] == ["dense/kernel:0"]
    again.variables[0].assign(tf.ones([3, 4]))
    (loss,) = shim.regularization_losses(again)
    np.testing.assert_allclose(loss(), 6)
    np.testing.assert_allclose(again(inputs), np.full([2, 4], 3))
    np.testing.assert_array_equal(module(inputs), outputs)


@keras.saving.register_keras_serializable("persistence_test")
class Autoencoder(keras.Layer):
    """Several decorated methods, one of them called when the layer is built."""

    @shim.track_tf1_style_variables
    def build(self, input_shape):
        with tf1.variable_scope("code"):
            self.size = tf1.get_variable("size", [input_shape[-1]], initializer="ones")

    @shim.track_tf1_style_variables
    def encode(self, inputs):
        with tf1.variable_scope("code", reuse=tf1.AUTO_REUSE):
            size = tf1.get_variable("size", [inputs.shape[-1]])
            return inputs * size @ tf1.get_variable("kernel", [3, 2])

    @shim.track_tf1_style_variables
    def decode(self, codes):
        with tf1.variable_scope("code", reuse=tf1.AUTO_REUSE):
            return tf.matmul(codes, tf1.get_variable("kernel", [3, 2]), transpose_b=True)

    @shim.track_tf1_style_variables
    def call(self, inputs):
        return self.decode(self.encode(inputs))


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_g03_several_decorated_methods_and_a_decorated_build(file, tmp_path):
    def make():
        return keras.Sequential([keras.Input([3]), Autoencoder()])

    model, inputs = make(), np.ones([2, 3], "float32")
    assert [v.path for v in model.weights] == ["code/size", "code/kernel"]
    disturb(model)
    expected = model(inputs)
    if file == "model.keras":
        model.save(tmp_path / file)
        loaded = keras.saving.load_model(tmp_path / file)
    else:
        model.save_weights(tmp_path / file)
        loaded = make()
        loaded.load_weights(tmp_path / file)
    np.testing.assert_array_equal(loaded(inputs), expected)
    np.testing.assert_array_equal(loaded.layers[0].encode(inputs), model.layers[0].encode(inputs))


def test_g03_frozen_layers_stay_frozen_in_a_keras_file(tmp_path):
    model = functional_model()
    model.layers[1].trainable = False
    compiled(model)
    before = [v.numpy() for v in model.layers[1].weights]
    train(model)
    for weight, value in zip(model.layers[1].weights, before, strict=True):
        # Batch norm goes by `training`, as in TF1.
        is_same = np.array_equal(weight, value)
        assert is_same != weight.path.startswith("net/norm/moving_"), weight.path
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [v.path for v in loaded.trainable_weights] == [v.path for v in model.trainable_weights]
    assert len(loaded.trainable_weights) == 2
    loaded.layers[1].trainable = True
    assert len(loaded.trainable_weights) == 8


class Dropout(keras.Layer):
    @shim.track_tf1_style_variables
    def call(self, inputs, training=False):
        return shim.layers.dropout(inputs, 0.5, training=training)


@pytest.mark.parametrize("is_called_before", [True, False])
def test_g03_a_checkpoint_holds_the_random_state_of_dropout(is_called_before, tmp_path):
    ones = tf.ones([8, 8])
    layer, restored = Dropout(), Dropout()
    first = layer(ones, training=True)
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "checkpoint"))
    second = layer(ones, training=True)
    assert np.any(second != first)
    if is_called_before:
        restored(ones)
    tf.train.Checkpoint(layer=restored).restore(path)
    np.testing.assert_array_equal(restored(ones, training=True), second)
    assert not restored.weights
    assert len(restored.variables) == 1


class DenseModel(keras.Model):
    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return shim.layers.dense(shim.layers.dense(inputs, 2), 2)


class DenseModels(keras.Model):
    """The same within a list and an attribute, which Keras comes by more ways to."""

    def __init__(self):
        super().__init__()
        self.first, self.others = DenseModel(), [DenseModel()]

    def call(self, inputs):
        return self.first(inputs) + self.others[0](inputs)


@pytest.mark.parametrize("make", [DenseModel, DenseModels])
def test_g19_weights_of_another_shape_name_the_variable_and_both_shapes(make, tmp_path):
    saved, other = make(), make()
    saved(np.ones([1, 3], "float32"))
    other(np.ones([1, 4], "float32"))
    before = [v.numpy() for v in other.weights]
    saved.save_weights(tmp_path / "model.weights.h5")
    message = (
        r"1 of its variables differ \(net/dense/kernel has shape \(4, 2\), in the file \(3, 2\)\)"
    )
    with pytest.raises(ValueError, match=message):
        other.load_weights(tmp_path / "model.weights.h5")
    for variable, value in zip(other.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    other.save_weights(tmp_path / "other.weights.h5")
    other.load_weights(tmp_path / "other.weights.h5")
