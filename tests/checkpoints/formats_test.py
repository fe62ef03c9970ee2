"""Every kind of file that a TF1 or TF2 user has, read into the zoo's models."""

import io
import json
import tarfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models
from shimzoo.tests.checkpoints import formula_checkpoint
from shimzoo.tests.data import goldens

tf1 = tf.compat.v1

NAME = "mobilenet_v1_0.25_128"
SCOPE = "MobilenetV1/"
AVERAGE = "/ExponentialMovingAverage"


@pytest.fixture(scope="module")
def zoo():
    """One model of every stage; every test fills them anew."""
    return {
        stage: models.create(NAME, stage, num_classes=10, input_size=32) for stage in models.STAGES
    }


@pytest.fixture(scope="module")
def values(zoo):
    weights = {checkpoints.tf1_name(weight): weight for weight in zoo["native"].weights}
    return {name: goldens.value(name, tuple(weight.shape)) for name, weight in weights.items()}


def fill(model, number):
    for weight in model.weights:
        weight.assign(np.full(weight.shape, number))


def restored(model, path, values, **rules):
    """Restores into zeros, checks what came, and returns the report."""
    fill(model, 0)
    report = checkpoints.restore(model, path, **rules)
    for weight in model.weights:
        np.testing.assert_array_equal(weight.numpy(), values[checkpoints.tf1_name(weight)])
    return report


@pytest.mark.parametrize("stage", models.STAGES)
def test_a_checkpoint_of_version_1(zoo, values, stage, tmp_path):
    path = formula_checkpoint.write(tmp_path / "model.ckpt", values, version=1)
    assert [file.name for file in tmp_path.iterdir() if file.name != "checkpoint"] == ["model.ckpt"]
    assert restored(zoo[stage], path, values).format == "tf1"
    (tmp_path / "checkpoint").unlink()
    assert str(restored(zoo[stage], tmp_path, values).path) == path


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar"])
def test_an_archive_as_they_were_published(zoo, values, version, suffix, tmp_path):
    formula_checkpoint.write(tmp_path / "model.ckpt", values, version=version)
    (tmp_path / "model.tflite").write_bytes(b"TFL3")
    archive = tmp_path / "published" / f"model{suffix}"
    archive.parent.mkdir()
    with tarfile.open(archive, "w" if suffix == ".tar" else "w:gz") as tar:
        for file in sorted(tmp_path.glob("model.*")):
            tar.add(file, f"./{file.name}")
    report = restored(zoo["native"], archive, values)
    assert (report.path, report.format) == (archive / "model.ckpt", "tf1")


def graph_of(values, outputs_scope=""):
    """A graph with these variables, each of which is read, in a session; and its end."""
    total = tf.add_n(
        [
            tf.reduce_sum(tf1.get_variable(name, initializer=value, use_resource=False))
            for name, value in values.items()
        ]
    )
    return tf.identity(total, name=f"{outputs_scope}outputs")


@pytest.mark.parametrize("path", ["", "saved_model.pb", "variables", "variables/variables"])
def test_a_saved_model_of_tf1(zoo, values, path, tmp_path):
    with tf.Graph().as_default(), tf1.Session() as session:
        outputs = graph_of(values)
        session.run(tf1.global_variables_initializer())
        inputs = tf1.placeholder(tf.float32, [None])
        tf1.saved_model.simple_save(
            session, str(tmp_path / "saved"), {"inputs": inputs}, {"outputs": outputs}
        )
    restored(zoo["native"], tmp_path / "saved" / path, values)


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize("import_scope", ["", "import", "a/b"])
def test_a_frozen_graph(zoo, values, use_resource, import_scope, tmp_path):
    with tf.Graph().as_default() as graph, tf1.Session() as session:
        reads = [
            tf.reduce_sum(tf1.get_variable(name, initializer=value, use_resource=use_resource))
            for name, value in values.items()
        ]
        tf.add_n(reads, name="outputs")
        session.run(tf1.global_variables_initializer())
        frozen = tf1.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), ["outputs"]
        )
    if import_scope:
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(frozen, name=import_scope)
            frozen = graph.as_graph_def()
    path = tmp_path / "frozen.pb"
    path.write_bytes(frozen.SerializeToString())
    for stage in ("shimmed", "native"):
        report = restored(zoo[stage], path, values)
        assert (report.path, report.format) == (path, "graph")


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("path", ["", "fingerprint.pb", "saved_model.pb"])
def test_a_saved_model_of_tf2(zoo, values, stage, path, tmp_path):
    model = zoo[stage]
    for weight in model.weights:
        weight.assign(values[checkpoints.tf1_name(weight)])
    tf.saved_model.save(model, str(tmp_path / "saved"))
    (tmp_path / "saved" / "keras_metadata.pb").write_bytes(b"")
    report = restored(zoo["native"], tmp_path / "saved" / path, values)
    assert report.path == tmp_path / "saved" / "variables" / "variables"


def test_a_saved_model_without_variables(zoo, tmp_path):
    for name in ("saved_model.pb", "fingerprint.pb"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(
        FileNotFoundError, match=r"a SavedModel without variables/\. What its graph"
    ):
        checkpoints.restore(zoo["native"], tmp_path)


def test_a_graph_that_is_not_frozen(zoo, values, tmp_path):
    with tf.Graph().as_default() as graph:
        graph_of(values)
        (tmp_path / "graph.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ValueError, match=r"has no weights: .* not frozen"):
        checkpoints.restore(zoo["native"], tmp_path / "graph.pb")


def objects_around(model):
    """How people put models into `tf.train.Checkpoint`."""
    yield tf.train.Checkpoint(model)
    yield tf.train.Checkpoint(model=model)
    yield tf.train.Checkpoint(net=model, optimizer=model.optimizer, step=tf.Variable(3))


@pytest.mark.parametrize("source", models.STAGES)
def test_an_object_based_checkpoint_of_any_stage(zoo, values, source, tmp_path):
    written = models.in_stage(zoo[source], source)
    written.compile(keras.optimizers.Adam(), metrics=["accuracy"])
    written.optimizer.build(written.trainable_variables)
    for weight in written.weights:
        weight.assign(values[checkpoints.tf1_name(weight)])
    for number, checkpoint in enumerate(objects_around(written)):
        prefix = checkpoint.write(str(tmp_path / f"objects-{number}"))
        for stage in models.STAGES:
            assert restored(zoo[stage], prefix, values).format == "tf2"


def test_an_object_based_checkpoint_of_another_model(zoo, tmp_path):
    other = models.create("mobilenet_v1_0.5_128", "native", num_classes=10, input_size=32)
    prefix = tf.train.Checkpoint(model=other).write(str(tmp_path / "model"))
    with pytest.raises(ValueError, match="136 of another shape"):
        checkpoints.restore(zoo["native"], prefix)
    small = keras.Sequential([keras.Input([3]), keras.layers.Dense(2)])
    prefix = tf.train.Checkpoint(model=small).write(str(tmp_path / "small"))
    with pytest.raises(ValueError, match="137 of the model's 137 variables are not in the file"):
        checkpoints.restore(zoo["native"], prefix)


@pytest.mark.parametrize("when", ["every epoch", "weights alone"])
def test_what_keras_model_checkpoint_writes(zoo, values, when, tmp_path):
    model = models.in_stage(zoo["shimmed"], "shimmed")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.0, momentum=0.9), loss, run_eagerly=True)
    suffix = ".keras" if when == "every epoch" else ".weights.h5"
    path = tmp_path / f"epoch-{{epoch}}{suffix}"
    callback = keras.callbacks.ModelCheckpoint(path, save_weights_only=when == "weights alone")
    model.fit(
        goldens.image((2, 32, 32, 3)), np.arange(2), epochs=1, callbacks=[callback], verbose=0
    )
    trained = {checkpoints.tf1_name(weight): weight.numpy() for weight in model.weights}
    restored(zoo["native"], tmp_path, trained)


# Moving averages, heads, other scopes.


def with_averages(values, names):
    return values | {name + AVERAGE: values[name] + 1 for name in names}


def test_averages_are_taken_where_every_variable_has_one(zoo, values, tmp_path):
    prefix = formula_checkpoint.write(tmp_path / "all", with_averages(values, values))
    averages = {name: value + 1 for name, value in values.items()}
    report = restored(zoo["native"], prefix, averages)
    assert report.is_averaged
    assert len(report.left_out["values beside averages"]) == len(values)
    assert "137 variables (moving averages)" in str(report)
    assert restored(zoo["native"], prefix, averages, ema=True).is_averaged
    assert not restored(zoo["native"], prefix, values, ema=False).is_averaged


def test_averages_of_trainable_variables_alone(zoo, values, tmp_path):
    trainable = [name for name in values if "moving_" not in name]
    prefix = formula_checkpoint.write(tmp_path / "some", with_averages(values, trainable))
    assert not restored(zoo["native"], prefix, values).is_averaged
    report = restored(zoo["native"], prefix, values)
    assert "moving average: ema=True (--ema yes) takes it." in str(report)
    assert "ema=True" not in str(restored(zoo["native"], prefix, values, ema=False))
    mixed = {name: value + (name in trainable) for name, value in values.items()}
    assert restored(zoo["native"], prefix, mixed, ema=True).is_averaged
    fewer = formula_checkpoint.write(tmp_path / "fewer", with_averages(values, trainable[1:]))
    assert "ema=True" not in str(restored(zoo["native"], fewer, values))
    with pytest.raises(ValueError, match=f"no moving averages of 1 trainable .*{trainable[0]}"):
        checkpoints.restore(zoo["native"], fewer, ema=True)


def test_copies_of_replicas_are_left_out(zoo, values, tmp_path):
    name = f"{SCOPE}Conv2d_0/weights"
    copies = {f"{name}/replica_1": values[name], f"{name}/replica_1/Momentum": values[name]}
    slots = {f"{name}/Momentum": values[name]}
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", values | copies | slots)
    report = restored(zoo["native"], prefix, values)
    assert report.left_out["replicas' copies"] == tuple(sorted(copies))


@pytest.mark.parametrize("rules", [{"exclude_head": True}, {"exclude": [f"{SCOPE}Logits"]}])
@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_another_head_keeps_the_models_own(zoo, values, rules, format, tmp_path):
    published = models.create(NAME, "shimmed", num_classes=12, input_size=32)
    for weight in published.weights:
        name = checkpoints.tf1_name(weight)
        weight.assign(values[name] if "/Logits/" not in name else np.ones(weight.shape))
    suffix = {"h5": ".weights.h5", "keras": ".keras", "safetensors": ".safetensors"}.get(format, "")
    path = tmp_path / f"model{suffix}"
    checkpoints.save(published, path, format)
    head = [name for name in values if "/Logits/" in name]
    kept = {name: value * (name not in head) for name, value in values.items()}
    report = restored(zoo["native"], path, kept, **rules)
    assert list(report.excluded) == head
    assert report.left_out == {"excluded": tuple(sorted(head))}


@pytest.mark.parametrize(
    "rename",
    [
        {"FeatureExtractor/MobilenetV1/": SCOPE},
        {"FeatureExtractor/": "/"},
        {r"FeatureExtractor/(.*)": r"\1"},
    ],
    ids=str,
)
def test_a_model_in_another_one(zoo, values, rename, tmp_path):
    stored = {f"FeatureExtractor/{name}": value for name, value in values.items()}
    detector = stored | {"BoxPredictor/weights": np.zeros([3], "float32")}
    prefix = formula_checkpoint.write(tmp_path / "model.ckpt", detector)
    report = restored(zoo["native"], prefix, values, rename=rename)
    assert report.left_out == {"not renamed": ("BoxPredictor/weights",)}
    with pytest.raises(ValueError, match=r"nearest in the file: FeatureExtractor/MobilenetV1/"):
        checkpoints.restore(zoo["native"], prefix)


def test_the_report(zoo, values, tmp_path):
    prefix = formula_checkpoint.write(
        tmp_path / "model.ckpt", values | {"global_step": np.int64(3)}
    )
    report = checkpoints.restore(zoo["native"], prefix, exclude_head=True)
    table = report.table().splitlines()
    assert table[0].endswith("tensor of the TF1 name-based checkpoint")
    name = f"{SCOPE}Conv2d_0/weights"
    assert table[1].split() == [name, "float32[3,", "3,", "3,", "8]", name]
    assert table[-1] == str(report)
    assert "global step" in table[-2]
    report.save(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["specs"][name] == {"shape": [3, 3, 3, 8], "dtype": "float32"}
    assert saved["left_out"]["global step"] == ["global_step"]
    assert saved["path"] == prefix


# Archives that are no gift.


def archive_of(path, name, **attributes):
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        content = attributes.pop("content", b"1234")
        for key, value in attributes.items():
            setattr(member, key, value)
        member.size = len(content) if member.type == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("suffix", [".tgz", ".tar"])
def test_a_truncated_archive_is_told_as_such(zoo, tmp_path, suffix):
    (tmp_path / "model.ckpt").write_bytes(np.random.default_rng(0).bytes(1 << 20))
    path = tmp_path / f"model{suffix}"
    with tarfile.open(path, "w:gz" if suffix == ".tgz" else "w") as tar:
        tar.add(tmp_path / "model.ckpt", "model.ckpt")
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ValueError, match=r"it is cut off in the middle of 'model\.ckpt'"):
        checkpoints.restore(zoo["native"], path)


@pytest.mark.parametrize(
    ("name", "attributes", "message"),
    [
        ("/etc/model.ckpt", {}, "'/etc/model.ckpt' lies outside"),
        ("../model.ckpt", {}, "'../model.ckpt' lies outside"),
        ("a/../../model.ckpt", {}, "lies outside"),
        ("model.ckpt", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "a link or a device"),
        ("model.ckpt", {"type": tarfile.LNKTYPE, "linkname": "x"}, "a link or a device"),
        ("model.ckpt", {"type": tarfile.CHRTYPE}, "a link or a device"),
        ("model.ckpt", {"content": bytes(50_000_000)}, "more than 20 times its size"),
        ("notes.txt", {}, "has no checkpoint in it"),
    ],
    # Not the contents: of one, a name of 200 MB would be kept by all of pytest's processes.
    ids=[
        "absolute",
        "outside",
        "outside on the way",
        "link",
        "hard link",
        "device",
        "bomb",
        "no checkpoint",
    ],
)
def test_archives_that_are_refused(zoo, tmp_path, name, attributes, message):
    path = archive_of(tmp_path / "model.tgz", name, **attributes)
    fill(zoo["native"], 3)
    with pytest.raises(ValueError, match=message) as caught:
        checkpoints.restore(zoo["native"], path)
    assert "\n" not in str(caught.value)
    assert all(np.all(weight.numpy() == 3) for weight in zoo["native"].weights)
    assert [file.name for file in tmp_path.iterdir()] == ["model.tgz"]
