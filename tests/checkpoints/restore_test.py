"""Restoring checkpoints of every format into every version of a model, and what goes wrong."""

import os
import re
import shutil

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models, shim
from shimzoo.tests.checkpoints import formula_checkpoint
from shimzoo.tests.data import goldens

NAME = "mobilenet_v1_0.25_128"
PATHS = {
    "tf1": "model.ckpt",
    "tf2": "model-tf2",
    "h5": "model.weights.h5",
    "keras": "model.keras",
    "safetensors": "model.safetensors",
}


@pytest.fixture(scope="module")
def zoo():
    """One model of every stage; every test fills them anew."""
    return {
        stage: models.create(NAME, stage, num_classes=10, input_size=32) for stage in models.STAGES
    }


@pytest.fixture(scope="module")
def values(zoo):
    names = [checkpoints.tf1_name(weight) for weight in zoo["native"].weights]
    shapes = [tuple(weight.shape) for weight in zoo["native"].weights]
    return {name: goldens.value(name, shape) for name, shape in zip(names, shapes, strict=True)}


@pytest.fixture(scope="module")
def prefix(values, tmp_path_factory):
    return formula_checkpoint.write(tmp_path_factory.mktemp("tf1") / "model.ckpt", values)


@pytest.fixture(scope="module")
def saved(zoo, prefix, tmp_path_factory):
    """What every stage saves: directories with a file of each format, by stage."""
    directories = {stage: tmp_path_factory.mktemp("saved") / "new folder" for stage in zoo}
    for stage, model in zoo.items():
        checkpoints.restore(model, prefix)
        for format, name in PATHS.items():
            checkpoints.save(model, directories[stage] / name, format)
    return directories


def fill(model, number):
    for weight in model.weights:
        weight.assign(np.full(weight.shape, number))


def assert_holds(model, values):
    for weight in model.weights:
        np.testing.assert_array_equal(weight.numpy(), values[checkpoints.tf1_name(weight)])


def assert_is_filled_with(model, number):
    assert all(np.all(weight.numpy() == number) for weight in model.weights)


@pytest.mark.parametrize("stage", models.STAGES)
def test_a_tf1_savers_checkpoint(zoo, values, prefix, stage):
    model = zoo[stage]
    fill(model, 0)
    report = checkpoints.restore(model, prefix)
    assert_holds(model, values)
    assert (str(report.path), report.format, report.left_out) == (prefix, "tf1", {})
    assert set(report.restored) == set(values)
    assert str(report) == f"Restored 137 variables from {prefix} (tf1)."


class Net(keras.Model):
    """A model of one's own."""

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf.compat.v1.variable_scope("net"):
            return inputs * tf.compat.v1.get_variable("kernel", [3])


@pytest.fixture
def net():
    model = Net()
    model(np.ones((1, 3), "float32"))
    return model


@pytest.mark.parametrize(
    ("optimizer", "left_out"),
    [
        (lambda: tf.compat.v1.train.MomentumOptimizer(0.1, 0.9), "1 optimizer slots"),
        (lambda: tf.compat.v1.train.RMSPropOptimizer(0.1), "2 optimizer slots"),
        (
            lambda: tf.compat.v1.train.AdamOptimizer(0.1),
            "2 optimizer counters, 1 global step, 1 values beside averages, 2 optimizer slots",
        ),
    ],
)
def test_what_training_adds_is_left_out(net, tmp_path, optimizer, left_out):
    values = {"net/kernel": np.arange(3, dtype="float32")}
    prefix = formula_checkpoint.write_after_training(tmp_path / "model.ckpt", values, optimizer)
    report = checkpoints.restore(net, prefix)
    assert_holds(net, values)
    assert list(report.restored) == ["net/kernel"]
    assert set(left_out.split(", ")) <= set(
        str(report).rstrip(".").split("left out ")[1].split(", ")
    )


def test_a_sharded_checkpoint(zoo, values, tmp_path):
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", values, shards=3)
    assert os.path.exists(f"{prefix}.data-00002-of-00003")
    fill(zoo["native"], 0)
    checkpoints.restore(zoo["native"], prefix)
    assert_holds(zoo["native"], values)


@pytest.mark.parametrize("target", models.STAGES)
@pytest.mark.parametrize("source", models.STAGES)
@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_any_stage_reads_what_any_stage_saved(zoo, values, saved, format, source, target):
    fill(zoo[target], 0)
    report = checkpoints.restore(zoo[target], saved[source] / PATHS[format])
    assert_holds(zoo[target], values)
    assert (report.path, report.format) == (saved[source] / PATHS[format], format)


@pytest.mark.parametrize("stage", models.STAGES)
def test_others_read_what_was_saved(zoo, values, saved, stage):
    model, directory = zoo[stage], saved[stage]
    fill(model, 0)
    model.load_weights(directory / PATHS["h5"])
    assert_holds(model, values)

    fill(model, 0)
    status = tf.train.Checkpoint(model=model).read(str(directory / PATHS["tf2"]))
    status.assert_existing_objects_matched()
    assert_holds(model, values)

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = {
            name: tf.compat.v1.get_variable(name, value.shape) for name, value in values.items()
        }
        tf.compat.v1.train.Saver().restore(session, str(directory / PATHS["tf1"]))
        for name, value in session.run(variables).items():
            np.testing.assert_array_equal(value, values[name])


@pytest.mark.parametrize(
    ("source", "targets"), [("shimmed", ["native"]), ("native", models.STAGES)]
)
def test_a_keras_file_of_a_trained_model(zoo, values, prefix, tmp_path, source, targets):
    model = models.in_stage(zoo[source], source)
    model.compile(keras.optimizers.SGD(momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    checkpoints.restore(model, prefix)
    model.save(tmp_path / "model.keras")
    for target in targets:
        fill(zoo[target], 0)
        assert checkpoints.restore(zoo[target], tmp_path / "model.keras").format == "keras"
        assert_holds(zoo[target], values)


def test_a_foreign_dict_of_variables_is_no_checkpoint_of_ours(net, tmp_path):
    foreign = tf.train.Checkpoint(variables={"m": tf.Module()})
    path = foreign.write(str(tmp_path / "foreign"))
    with pytest.raises(ValueError, match="1 of the model's 1 variables are not in the file"):
        checkpoints.restore(net, path)


def test_restoring_leaves_an_optimizer_alone(net, tmp_path):
    net.compile(keras.optimizers.SGD(momentum=0.9))
    net.optimizer.build(net.trainable_variables)
    checkpoints.save(net, tmp_path / "model.weights.h5", "h5")
    for variable in net.optimizer.variables:
        variable.assign(np.full(variable.shape, 5))
    checkpoints.restore(net, tmp_path / "model.weights.h5")
    assert all(np.all(variable.numpy() == 5) for variable in net.optimizer.variables)


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_a_model_of_ones_own(net, tmp_path, format):
    values = {"net/kernel": net.get_weights()[0]}
    checkpoints.save(net, tmp_path / PATHS[format], format)
    fill(net, 0)
    assert list(checkpoints.restore(net, tmp_path / PATHS[format]).restored) == ["net/kernel"]
    assert_holds(net, values)


def test_directories_and_state_files_stand_for_the_newest(zoo, values, tmp_path):
    old = {name: np.zeros_like(value) for name, value in values.items()}
    for step, step_values in enumerate([old, values]):
        formula_checkpoint.write(tmp_path / f"model.ckpt-{step}", step_values)
    for path in (tmp_path, str(tmp_path), tmp_path / "checkpoint"):
        fill(zoo["native"], 1)
        report = checkpoints.restore(zoo["native"], path)
        assert report.path == tmp_path / "model.ckpt-1"
        assert_holds(zoo["native"], values)

    (tmp_path / "checkpoint").unlink()
    os.utime(tmp_path / "model.ckpt-0.index")
    assert checkpoints.restore(zoo["native"], tmp_path).path == tmp_path / "model.ckpt-0"


@pytest.mark.parametrize("suffix", ["", ".index", ".data-00000-of-00001"])
def test_any_of_the_files_names_the_checkpoint(zoo, prefix, suffix):
    assert str(checkpoints.restore(zoo["native"], prefix + suffix).path) == prefix


def test_under_a_strategy(values, prefix):
    with tf.distribute.OneDeviceStrategy("cpu:0").scope():
        model = models.create(NAME, "native", num_classes=10, input_size=32)
    checkpoints.restore(model, prefix)
    assert_holds(model, values)


class WithLayers(keras.Model):
    """A model whose forward pass makes Keras layers."""

    @shim.track_tf1_style_variables
    def call(self, inputs):
        with tf.compat.v1.variable_scope("net"):
            hidden = shim.get_or_create_layer("dense", lambda: keras.layers.Dense(4))(inputs)
            with tf.compat.v1.variable_scope("inner"):
                hidden = shim.get_or_create_layer("norm", keras.layers.BatchNormalization)(hidden)
            return hidden * tf.compat.v1.get_variable("kernel", [4])


@pytest.fixture
def with_layers():
    model = WithLayers()
    model(np.ones((1, 3), "float32"))
    return model


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_layers_made_in_the_forward_pass(with_layers, net, tmp_path, format):
    path = tmp_path / PATHS[format]
    checkpoints.save(with_layers, path, format)
    values = {checkpoints.tf1_name(weight): weight.numpy() for weight in with_layers.weights}
    fill(with_layers, 0)
    assert set(checkpoints.restore(with_layers, path).restored) == {
        "net/dense/kernel",
        "net/dense/bias",
        *(f"net/inner/norm/{name}" for name in ("beta", "gamma", "moving_mean", "moving_variance")),
        "net/kernel",
    }
    assert_holds(with_layers, values)
    # Their variables are all that a model without these layers has no use for.
    assert_refused(net, path, ValueError, "6 tensors of the file are not in the model: ")


def test_a_model_without_the_files_layers_made_in_the_forward_pass(with_layers, net, tmp_path):
    checkpoints.save(net, tmp_path / "net.weights.h5", "h5")
    assert_refused(with_layers, tmp_path / "net.weights.h5", ValueError, "6 of the model's 7")


# What goes wrong. The model must keep its values, and the message be one line that names the path.


def assert_refused(model, path, error, *fragments):
    fill(model, 3)
    with pytest.raises(error) as caught:
        checkpoints.restore(model, path)
    message = str(caught.value)
    assert "\n" not in message
    for fragment in (str(path), *fragments):
        assert re.search(re.escape(fragment).replace(r"\.\.\.", ".*"), message), message
    assert_is_filled_with(model, 3)


@pytest.fixture
def copy(prefix, tmp_path):
    for suffix in (".index", ".data-00000-of-00001"):
        shutil.copy(prefix + suffix, tmp_path / f"copy{suffix}")
    return tmp_path / "copy"


@pytest.fixture(scope="module")
def other():
    return models.create("mobilenet_v1_0.5_128", "native", num_classes=10, input_size=32)


@pytest.mark.parametrize(
    ("format", "stage"),
    [*(("tf1", stage) for stage in models.STAGES), ("tf2", "native"), ("h5", "native")],
)
def test_a_checkpoint_of_another_model(zoo, other, tmp_path, format, stage):
    checkpoints.save(other, tmp_path / PATHS[format], format)
    assert_refused(
        zoo[stage],
        tmp_path / PATHS[format],
        ValueError,
        "does not fit MobilenetV1 (mobilenet_v1_0.25_128)",
        "MobilenetV1/Conv2d_0/weights is float32[3, 3, 3, 16] in the file and "
        "float32[3, 3, 3, 8] in the model",
        "and 133 more",
    )


@pytest.fixture(scope="module")
def features():
    return models.create(NAME, "native", num_classes=None, input_size=32)


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_a_head_too_few_or_too_many(zoo, features, tmp_path, format):
    checkpoints.save(features, tmp_path / PATHS[format], format)
    names = "MobilenetV1/Logits/Conv2d_1c_1x1/weights, MobilenetV1/Logits/Conv2d_1c_1x1/biases"
    assert_refused(
        zoo["native"],
        tmp_path / PATHS[format],
        ValueError,
        f"2 of the model's 137 variables are not in the file: {names}",
    )
    checkpoints.save(zoo["native"], tmp_path / PATHS[format], format)
    assert_refused(
        features, tmp_path / PATHS[format], ValueError, "2 tensors of the file are not in the model"
    )


def test_other_names_come_with_the_nearest(zoo, values, tmp_path):
    renamed = {name.replace("MobilenetV1/", "net/MobilenetV1/"): values[name] for name in values}
    assert_refused(
        zoo["native"],
        formula_checkpoint.write(tmp_path / "model.ckpt", renamed),
        ValueError,
        "137 of the model's 137 variables are not in the file: MobilenetV1/Conv2d_0/weights "
        "(nearest in the file: net/MobilenetV1/Conv2d_0/weights)",
        "137 tensors of the file are not in the model",
        "under scope net/: rename={'net/MobilenetV1/': 'MobilenetV1/'} "
        "(--rename net/MobilenetV1/=MobilenetV1/) takes it from there",
    )


def test_another_dtype(zoo, values, tmp_path):
    first = next(iter(values))
    other = {**values, first: values[first].astype("float64")}
    assert_refused(
        zoo["native"],
        formula_checkpoint.write(tmp_path / "model.ckpt", other),
        ValueError,
        f"1 of another shape or dtype: {first} is float64[3, 3, 3, 8] in the file",
    )


def test_slots_of_another_model_are_not_left_out(zoo, values, tmp_path):
    other = {**values, "Other/weights/Momentum": np.zeros(3, "float32")}
    assert_refused(
        zoo["native"],
        formula_checkpoint.write(tmp_path / "model.ckpt", other),
        ValueError,
        "1 tensors of the file are not in the model: Other/weights/Momentum",
    )


@pytest.mark.parametrize("where", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_data_file(zoo, copy, damage, where):
    data = copy.with_name("copy.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    position = int(len(content) * where)
    if damage == "truncated":
        del content[position:]
    else:
        content[position] ^= 1
    data.write_bytes(content)
    assert_refused(zoo["native"], copy, ValueError, "is damaged")


@pytest.mark.parametrize("where", [0.0, 0.5])
def test_a_damaged_index(zoo, copy, where):
    index = copy.with_name("copy.index")
    content = index.read_bytes()
    index.write_bytes(content[: int(len(content) * where)])
    assert_refused(zoo["native"], copy, ValueError, "is not a checkpoint, or a damaged one")


def test_an_hdf5_file_of_another_ending(zoo, tmp_path):
    with h5py.File(tmp_path / "model.h5", "w") as file:
        file["layers/dense/vars/0"] = np.ones(3)
    assert_refused(zoo["native"], tmp_path / "model.h5", ValueError, "does not end in .weights.h5")


def test_a_missing_data_file(zoo, copy):
    copy.with_name("copy.data-00000-of-00001").unlink()
    assert_refused(zoo["native"], copy, ValueError, "is damaged", "No such file")


@pytest.mark.parametrize("format", ["tf2", "h5", "keras", "safetensors"])
def test_other_formats_damaged(zoo, tmp_path, format):
    path = tmp_path / PATHS[format]
    checkpoints.save(zoo["native"], path, format)
    file = path.with_name(path.name + ".data-00000-of-00001") if format == "tf2" else path
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert_refused(zoo["native"], path, ValueError, "damaged")


def test_a_damaged_name_in_an_hdf5_file(zoo, tmp_path):
    path = tmp_path / PATHS["h5"]
    checkpoints.save(zoo["native"], path)
    content = path.read_bytes()
    layer = b"batch_norm"
    assert layer in content
    path.write_bytes(content.replace(layer, layer[:-1] + b"\x9e"))
    assert_refused(zoo["native"], path, ValueError, "damaged one: b'/", "is no name")


@pytest.mark.parametrize(
    "name",
    ["text", "text.weights.h5", "text.keras", "text.safetensors", "text.pb", "text.tgz", "empty"],
)
def test_files_that_are_no_checkpoints(zoo, tmp_path, name):
    (tmp_path / name).write_text("" if name == "empty" else "Not a checkpoint at all.\n" * 100)
    assert_refused(zoo["native"], tmp_path / name, ValueError, "or a damaged one")


def test_a_text_is_told_from_a_checkpoint_without_tensorflows_warning(tmp_path, capfd):
    (tmp_path / "README.md").write_text("# Not a checkpoint\n" * 50)
    with pytest.raises(ValueError, match=r"does not end as TensorFlow's files do\. Known are"):
        checkpoints.inspect(tmp_path / "README.md")
    assert capfd.readouterr().err == ""


def test_what_is_not_there(zoo, copy, tmp_path):
    model = zoo["native"]
    assert_refused(model, tmp_path / "copyy", FileNotFoundError, "Near are copy.")
    assert_refused(model, tmp_path / "no" / "x", FileNotFoundError, "no directory", "either")
    assert_refused(model, tmp_path / "x.weights.h5", FileNotFoundError)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert_refused(model, empty, FileNotFoundError, "holds no")
    (empty / "checkpoint").write_text('model_checkpoint_path: "gone"\n')
    assert_refused(model, empty, FileNotFoundError, "which is not there")
    (empty / "checkpoint").write_text("no state file")
    assert_refused(model, empty, ValueError, "names no checkpoint")


def test_a_model_that_is_not_built(prefix):
    cls = models.model_class(NAME, "native")
    with pytest.raises(ValueError, match="no variables yet"):
        checkpoints.restore(cls(NAME), prefix)
