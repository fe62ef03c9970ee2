"""MobileNet v1 in use: options, training, saving and bad input, the same in every version."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import models
from shimzoo.tests.data import goldens
from shimzoo.tests.models.tolerances import SAME, assert_close

NAME = "mobilenet_v1_0.25_128"
IMAGES = goldens.image((4, 32, 32, 3))
LABELS = np.arange(4)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
every_stage = pytest.mark.parametrize("stage", models.STAGES)


@pytest.fixture(scope="module")
def fresh():
    """A model of every stage, for tests that leave its weights as they are."""
    return {stage: create(stage) for stage in models.STAGES}


def create(stage, **options):
    return models.create(NAME, stage, **{"num_classes": 10, "input_size": 32, **options})


def train_a_step(model):
    """Trains eagerly, which is quicker than tracing for a single step; returns the loss."""
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), LOSS, run_eagerly=True)
    return model.train_on_batch(IMAGES, LABELS)


# Options.


@every_stage
def test_features_without_a_head(stage):
    model = create(stage, num_classes=None)
    assert model(IMAGES).shape == (4, 1, 1, 256)
    assert list(model.end_points(IMAGES))[-2:] == ["Conv2d_13_pointwise", "AvgPool_1a"]
    assert not any("Logits" in weight.path for weight in model.weights)


@every_stage
def test_global_pool_takes_any_size(stage):
    model = create(stage, global_pool=True)
    logits = model(goldens.image((2, 300, 40, 3)))
    assert logits.shape == (2, 10)
    end_points = model.end_points(IMAGES)
    assert list(end_points)[-3:] == ["global_pool", "Logits", "Predictions"]
    mean = np.asarray(end_points["Conv2d_13_pointwise"]).mean((1, 2), keepdims=True)
    assert_close(end_points["global_pool"], mean, SAME)


@every_stage
def test_a_map_of_logits(stage):
    model = create(stage, spatial_squeeze=False)
    assert model(goldens.image((1, 352, 320, 3))).shape == (1, 3, 2, 10)


@every_stage
def test_predictions_are_the_softmax_of_the_logits(fresh, stage):
    end_points = fresh[stage].end_points(IMAGES)
    expected = tf.nn.softmax(end_points["Logits"])
    assert_close(end_points["Predictions"], expected, SAME)


@every_stage
def test_depth_options(stage):
    model = create(stage, depth_multiplier=0.1, min_depth=5)
    shapes = [value.shape[-1] for value in model.end_points(IMAGES).values()]
    assert shapes[:4] == [5, 5, 6, 6]
    assert shapes[-4] == 102


@every_stage
def test_weight_decay_leaves_depthwise_weights_and_norms_alone(stage):
    model = create(stage, weight_decay=0.5)
    expected = sum(
        0.5 * np.sum(np.square(weight.numpy(), dtype="float64")) / 2
        for weight in model.weights
        if weight.path.endswith(("kernel", "weights")) and "depthwise" not in weight.path
    )
    assert len(model.losses) == 15
    assert_close(sum(model.losses), expected, SAME)
    assert sum(create(stage, weight_decay=0.0).losses) == 0


@every_stage
def test_batch_norm_options(stage):
    model = create(stage, batch_norm_decay=0.25, batch_norm_epsilon=0.5)
    first = [weight for weight in model.weights if "Conv2d_0/" in weight.path]
    kernel, gamma, beta, mean, variance = (weight.numpy() for weight in first)
    gamma, beta = gamma + 0.5, beta + 0.5
    for weight, value in zip(first[1:3], (gamma, beta), strict=True):
        weight.assign(value)
    x = tf.nn.conv2d(IMAGES, kernel, 2, "SAME").numpy().astype("float64")
    outputs = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 0.5) * gamma + beta
    actual = model.end_points(IMAGES, training=True)["Conv2d_0"]
    assert_close(actual, np.clip(outputs, 0, 6), SAME)
    mean = 0.25 * mean + 0.75 * x.mean((0, 1, 2))
    variance = 0.25 * variance + 0.75 * x.var((0, 1, 2), ddof=1)
    assert_close(first[3].numpy(), mean, SAME)
    assert_close(first[4].numpy(), variance, SAME)


@every_stage
def test_dropout_drops_what_it_does_not_keep(stage):
    model = create(stage, dropout_keep_prob=0.25, num_classes=1)
    kernel, bias = model.weights[-2:]
    kernel.assign(np.ones(kernel.shape))
    bias.assign([0.0])
    logits, pooled = [], []
    for _ in range(2):
        end_points = model.end_points(IMAGES, training=True)
        logits.append(np.asarray(end_points["Logits"])[:, 0])
        pooled.append(np.asarray(end_points["AvgPool_1a"]).sum((1, 2, 3)))
    assert_close(pooled[0], pooled[1], SAME)
    assert np.all(logits[0] != logits[1])
    # What is kept is scaled up, so that the sum is right on average.
    assert 0.6 < np.sum(logits) / np.sum(pooled) < 1.4
    end_points = model.end_points(IMAGES, training=False)
    sums = np.asarray(end_points["AvgPool_1a"]).sum((1, 2, 3))
    assert_close(np.asarray(end_points["Logits"])[:, 0], sums, SAME)


@every_stage
def test_fresh_weights_are_slims(fresh, stage):
    model = fresh[stage]
    for weight in model.weights:
        value, kind = weight.numpy(), weight.path.rsplit("/", 1)[-1]
        if kind in ("kernel", "weights", "depthwise_kernel", "depthwise_weights"):
            # A normal distribution of 0.09 cut at twice that has 0.88 of its deviation.
            assert np.abs(value).max() <= 0.18
            if value.size > 4000:
                assert np.std(value) == pytest.approx(0.88 * 0.09, rel=0.05)
        else:
            assert np.all(value == (1 if kind in ("gamma", "moving_variance") else 0))
    large = [weight.numpy() for weight in model.weights if weight.shape == (1, 1, 128, 128)]
    assert len(large) == 5
    assert not np.array_equal(large[0], large[1])


# Training.


@every_stage
def test_fit_evaluate_predict(stage):
    model = create(stage)
    before = model.get_weights()
    model.compile(keras.optimizers.SGD(0.01), LOSS, jit_compile=False)
    losses = model.fit(IMAGES, LABELS, batch_size=2, epochs=2, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
    after = model.get_weights()
    assert all(np.any(a != b) for a, b in zip(after, before, strict=True))
    assert np.isfinite(model.evaluate(IMAGES, LABELS, verbose=0))
    assert model.predict(IMAGES, verbose=0).shape == (4, 10)


@every_stage
def test_inside_a_functional_model(stage):
    features = create(stage, num_classes=None, global_pool=True)
    images = keras.Input((None, None, 3))
    outputs = keras.layers.Dense(10)(keras.layers.Flatten()(features(images)))
    model = keras.Model(images, outputs)
    paths = [weight.path for weight in features.weights]
    train_a_step(model)
    assert [weight.path for weight in features.weights] == paths
    assert len(model.losses) == 14
    moved = [weight for weight in features.weights if weight.path.endswith("moving_mean")]
    assert all(np.any(weight.numpy()) for weight in moved)


@every_stage
def test_a_frozen_model_keeps_its_weights(stage):
    model = create(stage)
    model.trainable = False
    before = model.get_weights()
    assert model.trainable_weights == []
    assert len(model.weights) == 137
    logits = keras.Sequential([keras.Input((32, 32, 3)), model, keras.layers.Dense(10)])
    train_a_step(logits)
    frozen = [
        (weight, value)
        for weight, value in zip(model.weights, before, strict=True)
        if "moving_" not in weight.path
    ]
    assert all(np.array_equal(weight.numpy(), value) for weight, value in frozen)


@every_stage
def test_mixed_precision(stage):
    model = create(stage, dtype="mixed_bfloat16")
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    logits = model(IMAGES)
    assert logits.dtype == "float32"
    assert model.end_points(tf.cast(IMAGES, "bfloat16"))["Conv2d_0"].dtype == "bfloat16"
    assert np.isfinite(train_a_step(model))


# Saving.


@every_stage
def test_a_keras_file_is_the_whole_model(stage, tmp_path):
    model = create(stage, dropout_keep_prob=0.5, weight_decay=1e-3)
    train_a_step(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert loaded.get_config() == model.get_config()
    assert loaded.variant is model.variant
    assert_close(loaded(IMAGES), model(IMAGES), 0.0)
    assert len(loaded.optimizer.variables) == len(model.optimizer.variables)


@every_stage
def test_weights_in_keras_and_tensorflow_files(stage, tmp_path):
    model = create(stage)
    train_a_step(model)
    model.save_weights(tmp_path / "model.weights.h5")
    loaded = create(stage)
    loaded.load_weights(tmp_path / "model.weights.h5")
    assert_close(loaded(IMAGES), model(IMAGES), 0.0)

    prefix = tf.train.Checkpoint(model=model).write(str(tmp_path / "model"))
    loaded.set_weights([np.zeros(weight.shape) for weight in loaded.weights])
    status = tf.train.Checkpoint(model=loaded).read(prefix)
    status.assert_existing_objects_matched().expect_partial()
    assert_close(loaded(IMAGES), model(IMAGES), 0.0)


# Bad input: one line, the same in every version.

BAD_IMAGES = [
    ((4, 32, 32, 1), "float32", "shape [batch, height, width, 3], got [4, 32, 32, 1]"),
    ((32, 32, 3), "float32", "shape [batch, height, width, 3], got [32, 32, 3]"),
    ((4, 32, 32, 3), "uint8", "floating-point images with values in [-1, 1], got uint8"),
    ((4, 32, 32, 3), "int64", "floating-point images with values in [-1, 1], got int64"),
    ((4, 31, 64, 3), "float32", "at least 32x32 pixels, got 31x64"),
    ((4, 288, 64, 3), "float32", "288x64 pixels leave a map"),
]
BAD_OPTIONS = [
    ({"output_stride": 4}, "output_stride=4 is not allowed: it has to be 8, 16, 32 or None"),
    ({"depth_multiplier": 0}, "depth_multiplier=0 is not allowed: it has to be above 0"),
    ({"depth_multiplier": -1.0}, "depth_multiplier=-1.0 is not allowed"),
    ({"dropout_keep_prob": 0.0}, "dropout_keep_prob=0.0 is not allowed"),
    ({"dropout_keep_prob": 1.1}, "dropout_keep_prob=1.1 is not allowed"),
    ({"depth_multiplier": float("nan")}, "depth_multiplier=nan is not allowed"),
    ({"depth_multiplier": float("inf")}, "depth_multiplier=inf is not allowed"),
    ({"depth_multiplier": "1"}, "depth_multiplier='1' is not allowed"),
    ({"weight_decay": float("inf")}, "weight_decay=inf is not allowed"),
    ({"num_classes": 0}, "num_classes=0 is not allowed"),
    ({"num_classes": "10"}, "num_classes='10' is not allowed: it has to be a whole number"),
    ({"num_classes": 10.0}, "num_classes=10.0 is not allowed"),
    ({"num_classes": True}, "num_classes=True is not allowed"),
    ({"min_depth": 0}, "min_depth=0 is not allowed"),
    ({"weight_decay": -1e-5}, "weight_decay=-1e-05 is not allowed"),
    ({"batch_norm_decay": 1.5}, "batch_norm_decay=1.5 is not allowed"),
    ({"batch_norm_epsilon": 0.0}, "batch_norm_epsilon=0.0 is not allowed"),
    ({"depth_multiplyer": 1}, "MobileNet v1 has no option 'depth_multiplyer'; it has num_classes"),
    ({"input_size": 16}, "at least 32x32 pixels, got 16x16"),
    ({"input_size": 320}, "320x320 pixels leave a map"),
]


@every_stage
def test_bad_images(fresh, stage):
    model = fresh[stage]
    for shape, dtype, message in BAD_IMAGES:
        images = np.zeros(shape, dtype)
        symbolic = keras.Input(shape[1:], shape[0], dtype)
        for call in (
            lambda images=images: model(images),
            lambda images=images: model(tf.constant(images), training=True),
            lambda images=images: model.end_points(images),
            lambda symbolic=symbolic: model(symbolic),
        ):
            with pytest.raises(ValueError, match=r"MobileNet v1 takes|leave a map") as caught:
                call()
            assert message in str(caught.value)
            assert "\n" not in str(caught.value)


@every_stage
@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_bad_options(stage, options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        create(stage, **options)
    assert "\n" not in str(caught.value)
