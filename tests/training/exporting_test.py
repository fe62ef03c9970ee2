"""Exported models: each is run by its own runtime and held against the model."""

import dataclasses
import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from shimzoo import models
from shimzoo.tests.training import formula_model
from shimzoo.training import (
    DEMO,
    comparison,
    evaluation,
    export_formats,
    export_writing,
    exporting,
    runtimes,
)
from shimzoo.training.datasets import load_dataset

KINDS = [
    ("model", "float32"),
    ("model.tflite", "float32"),
    ("model.tflite", "float16"),
    ("model.tflite", "int8"),
    ("model.onnx", "float32"),
]


@pytest.fixture(scope="module")
def model():
    return formula_model.create()


@pytest.fixture(scope="module")
def digits():
    config = dataclasses.replace(DEMO.config, image_size=formula_model.SIZE, batch_size=50)
    return exporting.TestImages(load_dataset("digits"), config, max_batches=2)


def export(model, target, precision, **options):
    return exporting.export(
        model, target, precision=precision, preprocessing="inception", **options
    )


@pytest.mark.parametrize(("name", "precision"), KINDS)
@pytest.mark.parametrize(
    "stage",
    [
        "native",
        pytest.param("shimmed", marks=pytest.mark.large),
        pytest.param("partially_native", marks=pytest.mark.large),
    ],
)
def test_every_format_gives_the_models_logits(tmp_path, stage, name, precision, digits):
    model = formula_model.create(stage)
    done = export(model, tmp_path / name, precision, measured_on=digits)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (done.images.images, done.precision) == (100, precision)
    # The largest logits of so small a net are off by less than what is allowed to deep ones.
    assert (
        done.images.relative_difference < {"float32": 1e-4, "float16": 1e-2, "int8": 0.1}[precision]
    )
    assert done.images.model.images == done.images.exported.images == 100
    images = formula_model.images(5)
    given = runtimes.open_exported(tmp_path / name, None)(images)
    wanted = evaluation.predictor(model)(images)
    np.testing.assert_allclose(given, wanted, atol=0.1 * np.abs(wanted).max())
    sizes = {"float16": 0.6, "int8": 0.4}
    if precision in sizes:
        assert done.size_bytes < sizes[precision] * done.weights_bytes
    else:
        assert done.size_bytes > 0.9 * done.weights_bytes
    if name == "model":  # Every variable is stored once.
        data = sum(file.stat().st_size for file in tmp_path.rglob("variables.data-*"))
        assert data < 1.1 * done.weights_bytes


@pytest.mark.parametrize(
    "name", ["model.tflite", "model.onnx", pytest.param("model", marks=pytest.mark.large)]
)
def test_a_fixed_batch_is_filled_up(tmp_path, model, name):
    done = export(model, tmp_path / name, "float32", batch_size=3)
    assert done.images.images == 2
    images = formula_model.images(7)
    run = runtimes.open_exported(tmp_path / name, 3)
    np.testing.assert_allclose(run(images), evaluation.predictor(model)(images), atol=1e-4)


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory, model):
    return export(model, tmp_path_factory.mktemp("saved") / "model", "float32")


def test_a_saved_model_reads_encoded_images(saved_model, model):
    assert saved_model.encoded.images == 2
    assert saved_model.encoded.relative_difference < 1e-4
    files = comparison.photographs()
    pixels = comparison.prepared(files, formula_model.SIZE, "inception")
    assert not np.allclose(pixels[0], pixels[1], atol=0.1)
    given = runtimes.open_encoded(saved_model.path)([*files, files[0]])
    wanted = evaluation.predictor(model)(pixels)
    np.testing.assert_allclose(given, wanted[[0, 1, 0]], atol=1e-4 * np.abs(wanted).max())


@pytest.mark.large
def test_a_saved_model_holds_the_preprocessing_it_is_told(tmp_path, model):
    done = exporting.export(model, tmp_path / "model", preprocessing="vgg")
    assert done.encoded.relative_difference < 1e-4
    files = comparison.photographs()
    given = runtimes.open_encoded(done.path)(files)
    wanted = evaluation.predictor(model)(comparison.prepared(files, formula_model.SIZE, "vgg"))
    np.testing.assert_allclose(given, wanted, atol=1e-4 * np.abs(wanted).max())


def test_a_saved_model_has_probabilities_under_their_names(saved_model):
    loaded = tf.saved_model.load(str(saved_model.path))
    outputs = loaded.signatures["serving_default"](images=tf.constant(formula_model.images(2)))
    assert set(outputs) == {"logits", "probabilities"}
    np.testing.assert_allclose(outputs["probabilities"].numpy().sum(axis=1), 1, atol=1e-5)
    assert set(loaded.signatures) == {"serving_default", "serve_encoded"}


@pytest.mark.parametrize(
    "name",
    [
        "model.onnx",
        pytest.param("model", marks=pytest.mark.large),
        pytest.param("model.tflite", marks=pytest.mark.large),
    ],
)
def test_another_model_is_refused_and_not_kept(tmp_path, model, name, monkeypatch):
    target = tmp_path / name
    export(model, target, "float32")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    other = models.create(
        formula_model.NAME, num_classes=formula_model.CLASSES, input_size=formula_model.SIZE
    )
    write = export_writing.write
    monkeypatch.setattr(
        export_writing, "write", lambda model, path, **options: write(other, path, **options)
    )
    with pytest.raises(FloatingPointError, match=r"differs from the model.*not kept"):
        export(model, target, "float32")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_model_that_gives_nan_is_refused(tmp_path):
    model = formula_model.create()
    model.weights[0].assign(np.full(model.weights[0].shape, np.nan))
    with pytest.raises(FloatingPointError):
        export(model, tmp_path / "model.tflite", "float32")
    assert not list(tmp_path.iterdir())


def test_int8_needs_images_enough(tmp_path, model, digits):
    with pytest.raises(ValueError, match="pass --dataset NAME"):
        export(model, tmp_path / "model.tflite", "int8")
    with pytest.raises(ValueError, match=r"batch size is 300.*256 images"):
        export(model, tmp_path / "model.tflite", "int8", batch_size=300, measured_on=digits)
    assert not list(tmp_path.iterdir())


def test_formats_and_precisions_are_checked_by_name():
    formats = [export_formats.format_of(pathlib.Path(name)) for name, _ in KINDS]
    assert formats == ["SavedModel", "TFLite", "TFLite", "TFLite", "ONNX"]
    for name, precision in KINDS:
        export_formats.check(pathlib.Path(name), precision)
    with pytest.raises(ValueError, match=r"in float32 only: for int8 .*\.tflite"):
        export_formats.check(pathlib.Path("model.onnx"), "int8")
    with pytest.raises(ValueError, match="no precision 'half': precisions are float32"):
        export_formats.check(pathlib.Path("model.tflite"), "half")


@pytest.mark.parametrize(
    ("name", "module"), [("model.tflite", "ai_edge_litert"), ("model.onnx", "tf2onnx")]
)
def test_a_missing_package_is_told_with_how_to_get_it(monkeypatch, name, module):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find_spec(name)
    )
    with pytest.raises(ModuleNotFoundError, match=rf"{module}.*pip install 'shimzoo\[export\]'"):
        export_formats.check(pathlib.Path(name), "float32")
    export_formats.check(pathlib.Path("model"), "float32")
