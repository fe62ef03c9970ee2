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
every_net = pytest.mark.parametrize("name", ladder_plan.nets(ladder_plan.EVERYDAY_IN_USE))


def create(name, stage, **settings):
    """A model with formula weights, without dropout."""
    model = models.create(
        name,
        stage,
        num_classes=CLASSES,
        **{
            "input_size": ladder_plan.input_size(name),
            **ladder_plan.without_dropout(name),
            **settings,
        },
    )
    for weight in model.weights:
        weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
    return model


def options_of(name):
    """The options of a model and their values, where nothing else is asked for."""
    return dataclasses.asdict(models.model_class(name, "native")(name).options)


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
def test_half_way_checkpoints_restore_into_the_native_model(name, tmp_path):
    half_way, images = create(name, "partially_native"), images_of(name)
    tf.train.Checkpoint(model=half_way).write(str(tmp_path / "objects"))
    checkpoints.save(half_way, tmp_path / "tf2", format="tf2")
    expected, weights = half_way(images), half_way.get_weights()
    native = create(name, "native")
    for file in ("objects", "tf2"):
        native.set_weights([np.zeros_like(value) for value in weights])
        checkpoints.restore(native, tmp_path / file)
        for weight, value in zip(native.weights, weights, strict=True):
            np.testing.assert_array_equal(weight.numpy(), value, weight.path)
        assert_close(native(images), expected, SAME, file)


@every_net
@every_stage
def test_a_keras_file_has_all_weights(name, stage, tmp_path):
    model = create(name, stage)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for actual, expected in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(actual.numpy(), expected.numpy(), expected.path)


class Outer(keras.Model):
    """Calls a model that nobody has called before."""

    def __init__(self, inner):
        super().__init__(name="outer")
        self.inner = inner

    def call(self, images, training=False):
        return self.inner(images, training=training)


@every_net
@every_stage
def test_first_called_inside_another_model(name, stage):
    images, expected = images_of(name), create(name, "native")
    outer = Outer(models.model_class(name, stage)(name, num_classes=CLASSES))
    outer(images)
    names = [checkpoints.tf1_name(weight) for weight in outer.inner.weights]
    assert [name.removeprefix("outer/") for name in names] == [
        checkpoints.tf1_name(weight) for weight in expected.weights
    ]
    outer.inner.set_weights(expected.get_weights())
    assert_close(outer(images), expected(images), SAME)


@every_net
@every_stage
def test_images_of_unknown_size(name, stage):
    known = options_of(name)
    settings = {"create_aux_logits": False} if "create_aux_logits" in known else {}
    pools = ({"global_pool": False}, {"global_pool": True}) if "global_pool" in known else ({},)
    for pool in pools:
        # Inception's and MobileNet v1's average pools have windows of 7x7 or 8x8 on unknown maps;
        # the others need a last map of one pixel if they don't pool.
        has_window = name.startswith(("inception", "mobilenet_v1"))
        size = ({"inception_v3": 299}.get(name, 224) if has_window else 32) if pool else 139
        images = goldens.image((2, size, size, 3), seed=4)
        model = create(name, stage, input_size=size, **settings, **pool)
        # What runs in a graph is held against what runs in one.
        of_known = tf.function(model, jit_compile=False)
        of_unknown = tf.function(
            model, input_signature=[tf.TensorSpec((None, None, None, 3))], jit_compile=False
        )
        assert_close(of_unknown(images), of_known(images), SAME, pool)

        other = models.model_class(name, stage)(name, num_classes=CLASSES, **settings, **pool)
        assert other(keras.Input((None, None, 3))).shape == (None, CLASSES)
        other.set_weights(model.get_weights())
        assert_close(other(images), model(images), SAME, pool)


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
        ((0, size, size, 3), "float32", "takes at least one image, got a batch of none."),
        ((4, least - 1, size, 3), "float32", f"at least {least}x{least} pixels, got {least - 1}x"),
    ]
    for shape, dtype, message in bad_images:
        for call in (model, model.end_points):
            with pytest.raises(ValueError, match=type(model.options).MODEL) as caught:
                call(np.zeros(shape, dtype))
            assert message in str(caught.value)
            assert "\n" not in str(caught.value)
    for call in (model, model.end_points):
        with pytest.raises(ValueError, match=r"takes images as an array or a tensor, got list: "):
            call(np.zeros((1, size, size, 3)).tolist())


@every_net
@every_stage
def test_options_that_are_not_allowed(name, stage):
    known = options_of(name)
    switches = [option for option in ("spatial_squeeze", "create_aux_logits") if option in known]
    assert switches
    bad_values = {
        "num_classes": (0, True),
        "depth_multiplier": (0, -1.0, True),
        "min_depth": (0, 8.0),
        "dropout_keep_prob": (0.0, -0.5, 1.1, True),
        "weight_decay": (-1.0, True),
        "batch_norm_decay": (1.5, True),
        "batch_norm_epsilon": (0.0, True),
        **dict.fromkeys(switches, (1,)),
    }
    for option in bad_values.keys() & known.keys():
        for value in bad_values[option]:
            message = f"^{option}={value!r} is not allowed: it has to be"
            with pytest.raises(ValueError, match=message):
                models.model_class(name, stage)(name, **{option: value})
    if ladder_plan.has_output_stride(name):
        for value in (4, 8.0, True):
            with pytest.raises(ValueError, match=rf"^output_stride={value} .* 8, 16, 32 or None"):
                models.model_class(name, stage)(name, output_stride=value)
    with pytest.raises(ValueError, match="has no option 'classes'; it has num_classes"):
        models.model_class(name, stage)(name, classes=4)
