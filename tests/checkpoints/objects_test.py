"""G16: TF1 checkpoints straight into any decorated layer, model or module, also under a map."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, shim
from shimzoo.tests.checkpoints import formula_checkpoint

tf1 = tf.compat.v1


def net(inputs):
    """TF1 code that has got a native layer."""
    with tf1.variable_scope("net"):
        hidden = shim.layers.dense(inputs, 4, name="hidden")
        return shim.get_or_create_layer("logits", lambda: keras.layers.Dense(2))(hidden)


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


class Outer(tf.Module):
    """Decorated objects in an undecorated one."""

    def __init__(self):
        super().__init__()
        self.parts = [Module()]

    def __call__(self, inputs):
        return self.parts[0](inputs)


OBJECTS = pytest.mark.parametrize("make", [Layer, Model, Module, Outer])
SHAPES = {
    "net/hidden/kernel": (3, 4),
    "net/hidden/bias": (4,),
    "net/logits/kernel": (4, 2),
    "net/logits/bias": (2,),
}
INPUTS = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")


def values_under(names):
    """The same values under other names: as `SHAPES` has them -> value."""
    random = np.random.default_rng(1)
    shapes = zip(names, SHAPES.values(), strict=True)
    return {name: random.normal(size=shape).astype("float32") for name, shape in shapes}


VALUES = values_under(SHAPES)
OUTPUTS = (INPUTS @ VALUES["net/hidden/kernel"] + VALUES["net/hidden/bias"]) @ VALUES[
    "net/logits/kernel"
] + VALUES["net/logits/bias"]


def built(make):
    owner = make()
    owner(INPUTS)
    return owner


@OBJECTS
@pytest.mark.parametrize("suffixes", [("kernel", "bias"), ("weights", "biases")], ids="/".join)
def test_g16_a_tf1_savers_checkpoint(make, suffixes, tmp_path):
    names = ["net/hidden/kernel", "net/hidden/bias", *(f"net/logits/{s}" for s in suffixes)]
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", values_under(names))
    owner = built(make)
    report = checkpoints.restore(owner, prefix)
    np.testing.assert_allclose(owner(INPUTS), OUTPUTS, rtol=1e-5)
    assert str(report) == f"Restored 4 variables from {prefix} (tf1)."


@OBJECTS
def test_g16_with_what_training_left_there(make, tmp_path):
    def momentum():
        return tf1.train.MomentumOptimizer(0.1, 0.9)

    prefix = formula_checkpoint.write_after_training(tmp_path / "model.ckpt", VALUES, momentum)
    owner = built(make)
    report = checkpoints.restore(owner, prefix)
    np.testing.assert_allclose(owner(INPUTS), OUTPUTS, rtol=1e-5)
    assert set(report.left_out) == {"optimizer slots", "values beside averages", "global step"}


@OBJECTS
@pytest.mark.parametrize(
    ("stored_under", "rename"),
    [
        ("old/scope/{}", {"old/scope/": "net/"}),
        ("old/net/{}", {"old/": "/"}),
        ("{}", {"/": "net/"}),
        ("net/{}", {"/": "/"}),
        ("old/{}", {"old/hidden/": "net/hidden/", "old/logits/": "net/logits/"}),
        (
            "{}",
            {
                "hidden/kernel": "net/hidden/kernel",
                "hidden/bias": "net/hidden/bias",
                "logits/": "net/logits/",
            },
        ),
    ],
    ids=str,
)
def test_g16_an_assignment_map_for_renamed_scopes(make, stored_under, rename, tmp_path):
    names = [stored_under.format(name.removeprefix("net/")) for name in SHAPES]
    values = values_under(names)
    if "/" not in rename:
        values["something/else"] = np.zeros(2, "float32")
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", values)
    owner = built(make)
    report = checkpoints.restore(owner, prefix, rename=rename)
    np.testing.assert_allclose(owner(INPUTS), OUTPUTS, rtol=1e-5)
    assert len(report.restored) == 4


def test_g16_what_is_excluded_keeps_its_values(tmp_path):
    values = values_under(["a/kernel", "a/bias", "b/kernel", "b/bias"])
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", values)
    module = built(Module)
    before = [v.numpy() for v in module.variables[2:]]
    report = checkpoints.restore(
        module, prefix, rename={"a/": "net/hidden/"}, exclude=["net/logits"]
    )
    assert list(report.restored) == ["net/hidden/kernel", "net/hidden/bias"]
    assert list(report.restored.values()) == ["a/kernel", "a/bias"]
    assert report.excluded == ("net/logits/kernel", "net/logits/bias")
    assert report.left_out == {"not renamed": ("b/bias", "b/kernel")}
    np.testing.assert_array_equal(module.variables[0], values["a/kernel"])
    for variable, value in zip(module.variables[2:], before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"rename": {"nett/": "net/"}}, r"rename has 'nett/', which matches no tensor"),
        ({"rename": {"net/": "nett/"}}, r"4 of the model's 4 variables are not in the file: net/"),
        ({"rename": {"net/hidden/kerne": "x"}}, r"Near it: net/hidden/kernel"),
        ({"rename": {"net/.*": "net/kernel"}}, r"rename makes 'net/kernel' of both"),
        ({"rename": {"(": "net/kernel"}}, r"'\(' is no regular expression"),
        ({"rename": {"net/hidden/bias": "net/hidden/kernel"}}, r"is float32\[4\] in the file and"),
        (
            {"exclude": ["net/logitss"]},
            r"'net/logitss', which matches no variable .* Near it: net/l",
        ),
        (
            {"exclude": ["net/hidden,net/logits"]},
            r"Several are given by an exclude for each, or as 'net/hidden\|net/logits'",
        ),
        (
            {"exclude": ["net/logit{1,2}"]},
            r"matches no variable of the model and no tensor of the file\.( Near it.*)?$",
        ),
        (
            {"ema": True},
            r"has no moving averages of 4 trainable .* taken with ema=False \(--ema no\)",
        ),
        ({"ema": 1.0}, r"ema=1.0 is not allowed"),
        ({"exclude_head": True}, r"is no model of the zoo"),
        ({"include_optimizer": True}, r"has no optimizer: compile it"),
    ],
    ids=str,
)
def test_g16_rules_that_do_not_fit_change_nothing(rules, message, tmp_path):
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", VALUES)
    model = built(Model)
    before = model(INPUTS)
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(model, prefix, **rules)
    np.testing.assert_array_equal(model(INPUTS), before)


def test_g16_a_module_without_variables_is_told_so(tmp_path):
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", VALUES)
    with pytest.raises(ValueError, match="module has no variables yet"):
        checkpoints.restore(Module(), prefix)


def test_g16_a_keras_file_is_for_models(tmp_path):
    model = keras.Sequential([keras.Input([3]), Model()])
    model.save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match=r"which only a whole keras\.Model can give"):
        checkpoints.restore(built(Layer), tmp_path / "model.weights.h5")


class WithoutNames(keras.Model):
    """TF1 code whose layers have automatic names."""

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            hidden = shim.layers.dense(inputs, 4)
            return shim.layers.dense(self.middle(hidden), 2)

    def middle(self, inputs):
        return shim.layers.dense(inputs, 4)


class HalfMigrated(WithoutNames):
    """The same, with a native layer in the middle."""

    def middle(self, inputs):
        layer = shim.get_or_create_layer("dense_1", lambda: keras.layers.Dense(4))
        shim.record_scope("dense")
        return layer(inputs)


class InSlimsStyle(HalfMigrated):
    """The same beside variables that are named as TF-Slim does."""

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return self.middle(inputs @ tf1.get_variable("weights", [3, 4]))


PATHS = {
    "tf1": "model.ckpt",
    "tf2": "model-tf2",
    "h5": "model.weights.h5",
    "safetensors": "model.safetensors",
}


def test_g16_native_layers_are_saved_under_the_names_that_the_tf1_code_uses(tmp_path):
    checkpoints.save(built(HalfMigrated), tmp_path / "model.ckpt", "tf1")
    assert {name for name, _ in tf.train.list_variables(str(tmp_path / "model.ckpt"))} == {
        f"net/{layer}/{part}"
        for layer in ("dense", "dense_1", "dense_2")
        for part in ("kernel", "bias")
    }
    checkpoints.save(built(InSlimsStyle), tmp_path / "slim.ckpt", "tf1")
    assert {name for name, _ in tf.train.list_variables(str(tmp_path / "slim.ckpt"))} == {
        "net/weights",
        "net/dense_1/weights",
        "net/dense_1/biases",
    }


@pytest.mark.parametrize(
    ("source", "target", "format"),
    [
        *((WithoutNames, HalfMigrated, format) for format in PATHS),
        *((HalfMigrated, WithoutNames, format) for format in PATHS),
    ],
)
def test_g16_half_migrated_and_not_read_each_other(source, target, format, tmp_path):
    written, read = built(source), built(target)
    checkpoints.save(written, tmp_path / PATHS[format], format)
    report = checkpoints.restore(read, tmp_path / PATHS[format])
    assert "net/dense_1/kernel" in report.restored
    np.testing.assert_allclose(read(INPUTS), written(INPUTS), rtol=1e-6)


class WithNorm(keras.Model):
    """TF1 code with a layer whose variables are all of one shape."""

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf1.variable_scope("net"):
            return self.norm(shim.layers.dense(inputs, 4))

    def norm(self, inputs):
        return shim.layers.batch_normalization(inputs, name="norm")


class WithNativeNorm(WithNorm):
    """The same, with a native layer."""

    def norm(self, inputs):
        return shim.get_or_create_layer("norm", keras.layers.BatchNormalization)(inputs)


def test_g16_what_a_weights_file_does_not_tell_apart_is_not_guessed(tmp_path):
    written, read = built(WithNativeNorm), built(WithNorm)
    checkpoints.save(written, tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="4 of the model's 6 variables are not in the file"):
        checkpoints.restore(read, tmp_path / "model.weights.h5")
    checkpoints.save(written, tmp_path / "model.safetensors")
    checkpoints.restore(read, tmp_path / "model.safetensors")


def test_g16_what_tf_train_checkpoint_wrote_of_tf1_code_reads_half_migrated(tmp_path):
    written, read = built(WithoutNames), built(HalfMigrated)
    prefix = tf.train.Checkpoint(net=written).write(str(tmp_path / "model"))
    checkpoints.restore(read, prefix)
    np.testing.assert_allclose(read(INPUTS), written(INPUTS), rtol=1e-6)


def test_g16_both_styles_are_read_wherever_a_layer_is_native(tmp_path):
    written, read = built(HalfMigrated), built(HalfMigrated)
    checkpoints.save(written, tmp_path / "model.ckpt", "tf1")
    reader = tf.train.load_checkpoint(str(tmp_path / "model.ckpt"))
    slims = {"net/dense_1/kernel": "net/dense_1/weights", "net/dense_1/bias": "net/dense_1/biases"}
    values = {
        slims.get(name, name): reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
    }
    checkpoints.restore(read, formula_checkpoint.write(tmp_path / "slim.ckpt", values))
    np.testing.assert_allclose(read(INPUTS), written(INPUTS), rtol=1e-6)


def test_g16_an_optimizers_slots_follow_the_names(tmp_path):
    written, read = built(HalfMigrated), built(WithoutNames)
    for model in (written, read):
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "mse")
    written.fit(INPUTS, np.ones([5, 2]), verbose=0)
    checkpoints.save(written, tmp_path / "model.ckpt", "tf1", include_optimizer=True)
    checkpoints.restore(read, tmp_path / "model.ckpt", include_optimizer=True)
    for model in (written, read):
        model.fit(INPUTS, np.ones([5, 2]), verbose=0)
    np.testing.assert_allclose(read(INPUTS), written(INPUTS), rtol=1e-5)
