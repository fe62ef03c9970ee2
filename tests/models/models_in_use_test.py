"""Rung 10 of the parity ladder: training, saving, mixed precision, bad input, in every version."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan
from shimzoo.tests.models.tolerances import SAME, assert_close

CLASSES = 10
LABELS = np.arange(4)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
every_stage = pytest.mark.parametrize("stage", models.STAGES)
every_net = pytest.mark.parametrize("name", ladder_plan.nets())


def create(name, stage, **settings):
    """A model with formula weights, without dropout."""
    model = models.create(
        name,
        stage,
        input_size=ladder_plan.input_size(name),
        num_classes=CLASSES,
        **{**ladder_plan.without_dropout(name), **settings},
    )
    for weight in model.weights:
        weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
    return model


def images_of(name):
    size = ladder_plan.input_size(name)
    return goldens.image((4, size, size, 3), seed=4)


def fit(model, images):
    model.compile(keras.optimizers.SGD(0.001), LOSS, jit_compile=False)
    return model.fit(images, LABELS, batch_size=4, epochs=2, verbose=0).history["loss"]


@every_net
@every_stage
def test_trained_inside_a_functional_model_and_saved_in_every_format(name, stage, tmp_path):
    images, inner = images_of(name), create(name, stage)
    inputs = keras.Input(images.shape[1:])
    model = keras.Model(inputs, keras.layers.Rescaling(1.0)(inner(inputs)))
    before = inner.get_weights()
    assert np.all(np.isfinite(fit(model, images)))
    for weight, value in zip(inner.weights, before, strict=True):
        # An offset that a norm behind it takes away again has no gradient: it stays.
        is_offset = weight.path.endswith(("bias", "biases", "beta"))
        assert is_offset or np.any(weight.numpy() != value), weight.path
    # A graph fuses kernels, so what runs in one is held against what runs in one: float32 tells
    # Inception v1's logits from these weights to 1.4e-5, eager or not.
    expected, expected_in_graph = model(images), model.predict(images, verbose=0)

    model.save(tmp_path / "model.keras")
    assert_close(keras.saving.load_model(tmp_path / "model.keras")(images), expected, SAME)
    model.export(tmp_path / "saved_model", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "saved_model"))
    assert_close(exported.serve(images), expected_in_graph, SAME)
    other = create(name, stage)
    for form in checkpoints.FORMATS:
        path = tmp_path / f"model.{'weights.h5' if form == 'h5' else form}"
        checkpoints.save(inner, path, format=form)
        other.set_weights(before)
        checkpoints.restore(other, path)
        assert_close(other(images), expected, SAME, form)


@every_net
@every_stage
def test_mixed_precision_keeps_float32_variables_and_logits(name, stage):
    model = create(name, stage, dtype="mixed_bfloat16")
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    end_points = model.end_points(images_of(name))
    assert next(iter(end_points.values())).dtype == "bfloat16"
    assert model(images_of(name)).dtype == "float32"


@every_net
@every_stage
def test_images_that_do_not_fit(name, stage):
    model = create(name, stage)
    least, size = type(model.options).MIN_IMAGE_SIZE, ladder_plan.input_size(name)
    bad_images = [
        ((4, size, size, 1), "float32", f"shape [batch, height, width, 3], got [4, {size}"),
        ((size, size, 3), "float32", "shape [batch, height, width, 3], got "),
        ((4, size, size, 3), "uint8", "takes floating-point images "),
        ((4, least - 1, size, 3), "float32", f"at least {least}x{least} pixels, got {least - 1}x"),
    ]
    for shape, dtype, message in bad_images:
        for call in (model, model.end_points):
            with pytest.raises(ValueError, match=type(model.options).MODEL) as caught:
                call(np.zeros(shape, dtype))
            assert message in str(caught.value)
            assert "\n" not in str(caught.value)


@every_net
@every_stage
def test_options_that_are_not_allowed(name, stage):
    known = dataclasses.asdict(models.model_class(name, stage)(name).options)
    switches = [option for option in ("spatial_squeeze", "create_aux_logits") if option in known]
    assert switches
    for option, value in {
        "num_classes": 0,
        "weight_decay": -1.0,
        "batch_norm_decay": 1.5,
        "batch_norm_epsilon": 0.0,
        **dict.fromkeys(switches, 1),
    }.items():
        with pytest.raises(ValueError, match=f"^{option}={value!r} is not allowed: it has to be"):
            models.model_class(name, stage)(name, **{option: value})
    if ladder_plan.has_output_stride(name):
        with pytest.raises(ValueError, match=r"^output_stride=4 .* 8, 16, 32 or None"):
            models.model_class(name, stage)(name, output_stride=4)
    with pytest.raises(ValueError, match="has no option 'classes'; it has num_classes"):
        models.model_class(name, stage)(name, classes=4)
