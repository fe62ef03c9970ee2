"""G1-G11, G17: idioms of real TF1 code give decorated what they give in a TF1 graph and session."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import shim

shim.install()

from shimzoo.tests.shim import idiom_runs, tf1_text_models  # noqa: E402  (TF1 code, after install)
from shimzoo.tests.shim.tf1_idioms import GROWING, IDIOMS, known_value  # noqa: E402

tf1 = tf.compat.v1

WRAPS = {"eager": lambda f: f, "function": tf.function}


def variables_of(layer):
    return {variable.path: variable.value for variable in layer.weights}


SHIM = idiom_runs.Shim(
    keras.Layer,
    shim.track_tf1_style_variables,
    shim.DeterministicRandomTestTool,
    variables_of,
    shim.assert_no_variable_creations,
)


@functools.cache
def in_session(name):
    return idiom_runs.run_in_session(IDIOMS[name], SHIM)


def flags(results):
    return list(zip(results["names"], results["trainable"], strict=True))


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("name", IDIOMS)
def test_g17_an_idiom_is_what_it_is_in_a_session(name, wrap):
    found = idiom_runs.run_decorated(IDIOMS[name], SHIM, WRAPS[wrap])
    idiom_runs.assert_same(found, in_session(name))


def test_g01_branches_make_their_variables_in_a_trace_or_when_they_are_run():
    expected = idiom_runs.run_in_session(GROWING, SHIM)
    idiom_runs.assert_same(idiom_runs.run_decorated(GROWING, SHIM, tf.function), expected)
    layer, features = SHIM.layer(GROWING), idiom_runs.features_of(GROWING)
    layer(features)
    assert not [v.path for v in layer.weights if "16x16" in v.path]
    layer.weights[0].assign(0.5)
    layer(features)
    assert {v.path for v in layer.weights} == set(expected["names"])


@pytest.mark.parametrize("name", IDIOMS)
def test_g01_trainable_is_what_is_so_in_training_whatever_the_first_call(name):
    layer, features = SHIM.layer(IDIOMS[name]), idiom_runs.features_of(IDIOMS[name])
    layer(features, training=False)
    layer(features, training=True)
    trainable = {variable.path for variable in layer.trainable_variables}
    assert [(v.path, v.path in trainable) for v in layer.weights] == flags(in_session(name))
    assert all(v.value.trainable == v.trainable for v in layer.weights)


class Module(tf.Module):
    def __init__(self, idiom):
        super().__init__()
        self.idiom = idiom

    @shim.track_tf1_style_variables
    def __call__(self, features, training):
        return self.idiom.forward(features, training)


SOME = ["bert", "facenet", "templates", "wide_and_deep", "bare_variables"]


@pytest.mark.parametrize("name", SOME)
def test_g01_a_module_has_the_variables_and_losses_too(name):
    expected, features = in_session(name), idiom_runs.features_of(IDIOMS[name])
    module = Module(IDIOMS[name])
    module(features, True)
    variables = {v.name.removesuffix(":0"): v for v in module.variables}
    assert [(n, v.trainable) for n, v in variables.items()] == flags(expected)
    idiom_runs.give_known_values(variables)
    losses = [float(loss()) for loss in shim.regularization_losses(module)]
    np.testing.assert_allclose(sum(losses), expected["losses"], rtol=1e-5)
    with shim.assert_no_variable_creations():
        module(features, False)


@keras.saving.register_keras_serializable("idioms_test")
class KerasIdiom(keras.Layer):
    """The first of an idiom's outputs."""

    def __init__(self, idiom, **kwargs):
        super().__init__(**kwargs)
        self.idiom = idiom

    def get_config(self):
        return {**super().get_config(), "idiom": self.idiom}

    @shim.track_tf1_style_variables
    def call(self, features, training=False):
        return next(iter(IDIOMS[self.idiom].forward(features, training).values()))


class KerasIdiomModel(keras.Model):
    def __init__(self, idiom):
        super().__init__()
        self.layer = KerasIdiom(idiom)

    def call(self, features, training=False):
        return self.layer(features, training=training)


def functional(name):
    features = IDIOMS[name].features
    inputs = {
        key: keras.Input(batch_shape=x.shape, dtype=str(x.dtype), name=key)
        for key, x in features.items()
    }
    return keras.Model(inputs, KerasIdiom(name)(inputs))


@pytest.mark.parametrize("make", [functional, KerasIdiomModel])
def test_g01_keras_trains_what_is_trainable_in_training_only(make):
    """Keras builds models, and their optimizers, by a call out of training."""
    model = make("vggish")
    model.compile("sgd", "mse")
    features = IDIOMS["vggish"].features
    targets = np.ones([2, 5], "float32")
    model.fit(features, targets, batch_size=2, verbose=0)
    give_known_values(model)
    model.fit(features, targets, batch_size=2, verbose=0)
    moved = [v.path for v in model.weights if np.any(v.numpy() != value_of(v))]
    assert moved == [v.path for v in model.weights if v.path.startswith("vggish")]


def value_of(variable):
    return known_value(variable.path, tuple(variable.shape), variable.dtype)


def give_known_values(model):
    for variable in model.weights:
        variable.assign(value_of(variable))


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize(
    "name", ["lstm", "vggish", "yolo", "progressive_generator", "siamese", "templates"]
)
def test_g07_a_step_on_two_replicas(name, wrap):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = SHIM.layer(IDIOMS[name])
    features = idiom_runs.features_of(IDIOMS[name])

    def step(x):
        return idiom_runs.training_step(layer, SHIM, x)

    def run(step, x):
        return WRAPS[wrap](lambda x: strategy.run(step, (x,)))(x)

    run(lambda x: layer(x, training=True), features)
    idiom_runs.give_known_values(variables_of(layer))
    outputs, _, gradients = run(step, features)
    expected = in_session(name)
    assert [v.path for v in layer.weights] == list(expected["names"])
    for kind, found in (("outputs", outputs), ("gradients", gradients)):
        for replica in range(2):
            here = {
                f"{kind}/{key}": strategy.experimental_local_results(value)[replica].numpy()
                for key, value in found.items()
            }
            wanted = {key: value for key, value in expected.items() if key.startswith(f"{kind}/")}
            idiom_runs.assert_same(here, wanted)
    values = {f"values/{name}": v.numpy() for name, v in variables_of(layer).items()}
    wanted = {key: value for key, value in expected.items() if key.startswith("values/")}
    idiom_runs.assert_same(values, wanted)


@pytest.mark.parametrize("name", SOME)
def test_g03_a_checkpoint_restores_into_a_layer_never_called(name, tmp_path):
    features = idiom_runs.features_of(IDIOMS[name])
    layer, other = SHIM.layer(IDIOMS[name]), SHIM.layer(IDIOMS[name])
    layer(features)
    idiom_runs.give_known_values(variables_of(layer))
    path = tf.train.Checkpoint(layer=layer).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(layer=other).read(path)
    assert_same_outputs(other(features), layer(features))


def assert_same_outputs(found, expected):
    assert list(found) == list(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize("name", SOME)
def test_g03_a_keras_file_keeps_an_idiom(name, tmp_path):
    model, features = functional(name), IDIOMS[name].features
    give_known_values(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [v.path for v in loaded.weights] == [v.path for v in model.weights]
    np.testing.assert_array_equal(loaded(features), model(features))


@pytest.mark.parametrize("wrap", WRAPS)
def test_g16_a_new_head_on_a_body_from_a_checkpoint(wrap, tmp_path):
    """As BERT's fine-tuning: the code matches names by a regular expression, then initializes."""
    idiom = IDIOMS["bert"]
    with tf.Graph().as_default(), tf1.Session() as session:
        idiom.forward(idiom_runs.features_of(idiom), False)
        for variable in tf1.global_variables():
            name, shape = variable.op.name, variable.shape.as_list()
            variable.load(known_value(name, shape, "float32"), session)
        path = tf1.train.Saver().save(session, str(tmp_path / "model"))

    class Classifier(keras.Layer):
        @shim.track_tf1_style_variables
        def call(self, features, training=False):
            return tf1_text_models.bert_classifier(features, training, path)

    classifier, features = Classifier(), idiom_runs.features_of(idiom)
    call = WRAPS[wrap](lambda x: classifier(x))
    call(features)
    found = {v.path: v for v in classifier.weights if v.path.startswith("bert/")}
    assert set(found) == {n for n in in_session("bert")["names"] if n.startswith("bert/")}
    for variable in found.values():
        np.testing.assert_array_equal(variable, value_of(variable), err_msg=variable.path)
    trained = found["bert/pooler/dense/kernel"]
    trained.assign_add(tf.ones_like(trained))
    call(features)
    np.testing.assert_array_equal(trained, value_of(trained) + 1)
