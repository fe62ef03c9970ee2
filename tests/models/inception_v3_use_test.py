"""Inception v3 in use: options, the auxiliary head and bad input, the same in every version."""

import re

import keras
import numpy as np
import pytest
from shimzoo import models
from shimzoo.tests.data import goldens
from shimzoo.tests.models.tolerances import SAME, assert_close

NAME = "inception_v3"
SIZE = 139
IMAGES = goldens.image((2, SIZE, SIZE, 3))
every_stage = pytest.mark.parametrize("stage", models.STAGES)


@pytest.fixture(scope="module")
def fresh():
    """A model of every stage, for tests that leave its weights as they are."""
    return {stage: create(stage) for stage in models.STAGES}


def create(stage, **options):
    """A thin model."""
    thin = {"num_classes": 10, "input_size": SIZE, "depth_multiplier": 0.1, "min_depth": 4}
    return models.create(NAME, stage, **{**thin, **options})


def aux_shapes(model):
    """The auxiliary head's convolutions and the shapes of their weights."""
    return {
        weight.path.split("/")[-2]: tuple(weight.shape)
        for weight in model.weights
        if "/AuxLogits/" in weight.path and weight.path.endswith(("kernel", "weights"))
    }


@every_stage
def test_features_without_a_head(stage):
    model = create(stage, num_classes=None)
    assert model(IMAGES).shape == (2, 1, 1, 203)
    assert list(model.end_points(IMAGES))[-2:] == ["Mixed_7c", "AvgPool_1a"]
    assert not any("Logits" in weight.path for weight in model.weights)


@every_stage
def test_no_auxiliary_head(fresh, stage):
    model = create(stage, create_aux_logits=False)
    assert "AuxLogits" not in model.end_points(IMAGES)
    assert not aux_shapes(model)
    assert len(model.weights) == len(fresh[stage].weights) - 10


@every_stage
def test_the_auxiliary_heads_kernel_follows_the_image(fresh, stage):
    first, last = {"Conv2d_1b_1x1": (1, 1, 76, 12)}, {"Conv2d_2b_1x1": (1, 1, 76, 10)}
    assert aux_shapes(fresh[stage]) == {**first, "Conv2d_2a_1x1": (1, 1, 12, 76), **last}
    large = {**first, "Conv2d_2a_5x5": (5, 5, 12, 76), **last}
    assert aux_shapes(create(stage, input_size=299)) == large
    model = models.model_class(NAME, stage)(depth_multiplier=0.1, min_depth=4, num_classes=10)
    outputs = model(keras.Input((None, None, 3)))
    assert outputs.shape == (None, 10)
    assert aux_shapes(model) == large
    assert model.end_points(goldens.image((1, 299, 320, 3)))["AuxLogits"].shape == (1, 10)


@every_stage
def test_images_that_the_auxiliary_heads_kernel_does_not_fit(fresh, stage):
    message = "auxiliary head was made for images of 139x139 pixels, got 299x299: take such "
    images = goldens.image((1, 299, 299, 3))
    for call in (fresh[stage], fresh[stage].end_points):
        with pytest.raises(ValueError, match=message):
            call(images)
    assert fresh[stage](goldens.image((1, 150, 150, 3))).shape == (1, 10)


@every_stage
def test_unknown_size_and_the_auxiliary_heads_kernel(fresh, stage):
    unknown = "of unknown size, which counts as 299x299"
    model = models.model_class(NAME, stage)(depth_multiplier=0.1, min_depth=4, num_classes=10)
    model(keras.Input((None, None, 3)))
    for call in (model, model.end_points):
        with pytest.raises(ValueError, match=f"images {unknown}, got 139x139: take such"):
            call(IMAGES)
    with pytest.raises(ValueError, match=f"139x139 pixels, got ones {unknown}: take such"):
        fresh[stage](keras.Input((None, None, 3)))


@every_stage
def test_global_pool_takes_any_size(stage):
    model = create(stage, global_pool=True, create_aux_logits=False)
    assert model(goldens.image((1, 400, 75, 3))).shape == (1, 10)
    end_points = model.end_points(IMAGES)
    assert list(end_points)[-4:] == ["global_pool", "PreLogits", "Logits", "Predictions"]
    mean = np.asarray(end_points["Mixed_7c"]).mean((1, 2), keepdims=True)
    assert_close(end_points["global_pool"], mean, SAME)


@every_stage
def test_maps_of_logits(stage):
    model = create(stage, spatial_squeeze=False, input_size=363)
    end_points = model.end_points(goldens.image((1, 363, 299, 3)))
    assert end_points["AuxLogits"].shape == (1, 2, 1, 10)
    assert end_points["Logits"].shape == (1, 2, 1, 10)


@pytest.mark.parametrize("size", [75, 107, 138, 139, 140, 173, 299, 346])
def test_the_checks_know_the_maps_sizes(size):
    model = create("native", create_aux_logits=False, input_size=size)
    end_points = model.end_points(np.zeros((1, size, size, 3), "float32"))
    sides = tuple(end_points[name].shape[1] for name in ("Mixed_6e", "Mixed_7c"))
    assert (model.options.aux_map_side(size), model.options.map_side(size)) == sides


@every_stage
def test_depth_options(stage):
    model = create(stage, depth_multiplier=0.01, min_depth=5)
    depths = {key: value.shape[-1] for key, value in model.end_points(IMAGES).items()}
    assert depths["Conv2d_1a_3x3"] == depths["MaxPool_5a_3x3"] == 5
    assert depths["Mixed_5b"] == 20
    assert depths["Mixed_7c"] == 30  # Two of the four branches fork.
    assert depths["AuxLogits"] == depths["Logits"] == 10


@every_stage
def test_prelogits_come_after_dropout(stage):
    model = create(stage, dropout_keep_prob=0.25)
    end_points = model.end_points(IMAGES, training=True)
    pooled, kept = (np.asarray(end_points[key]) for key in ("AvgPool_1a", "PreLogits"))
    assert 0.1 < np.mean(kept != 0) < 0.4
    assert_close(kept, np.where(kept != 0, pooled / 0.25, 0), SAME)
    end_points = model.end_points(IMAGES)
    assert_close(end_points["PreLogits"], end_points["AvgPool_1a"], 0.0)


@every_stage
def test_fresh_weights_are_slims(stage):
    model = create(stage, depth_multiplier=1.0)
    for weight in model.weights:
        value, scope = weight.numpy(), weight.path.split("/")[-2]
        if not weight.path.endswith(("kernel", "weights")):
            assert np.all(value == (1 if weight.path.endswith("moving_variance") else 0))
            continue
        # Cut at twice its deviation, a normal distribution keeps 0.88 of it.
        deviation = 1.3 * 0.88**2 * 2 / np.prod(value.shape[:-1])
        deviation = {"Conv2d_2a_1x1": 0.0088, "Conv2d_2b_1x1": 0.00088}.get(scope, deviation**0.5)
        if value.size > 4000:
            assert np.std(value) == pytest.approx(deviation, rel=0.05), weight.path


BAD_IMAGES = [
    ((2, SIZE, SIZE, 1), "float32", "shape [batch, height, width, 3], got [2, 139, 139, 1]"),
    ((SIZE, SIZE, 3), "float32", "shape [batch, height, width, 3], got [139, 139, 3]"),
    ((2, SIZE, SIZE, 3), "uint8", "floating-point images with values in [-1, 1], got uint8"),
    ((2, 74, SIZE, 3), "float32", "takes images of at least 75x75 pixels, got 74x139"),
    ((2, 106, SIZE, 3), "float32", "auxiliary head takes images of at least 107x107 pixels"),
    ((2, 347, SIZE, 3), "float32", "347x139 pixels leave a map that the auxiliary head does not"),
]
BAD_OPTIONS = [
    ({"depth_multiplier": 0}, "depth_multiplier=0 is not allowed: it has to be above 0"),
    ({"depth_multiplier": -1.0}, "depth_multiplier=-1.0 is not allowed"),
    ({"min_depth": 0}, "min_depth=0 is not allowed"),
    ({"dropout_keep_prob": 0.0}, "dropout_keep_prob=0.0 is not allowed"),
    ({"create_aux_logits": 1}, "create_aux_logits=1 is not allowed: it has to be True or False"),
    ({"output_stride": 16}, "Inception v3 has no option 'output_stride'; it has num_classes"),
    ({"input_size": 74}, "at least 75x75 pixels, got 74x74"),
    ({"input_size": 106}, "at least 107x107 pixels, got 106x106"),
    ({"input_size": 347}, "347x347 pixels leave a map that the auxiliary head"),
    ({"input_size": 363, "create_aux_logits": False}, "363x363 pixels leave a map that the 8x8"),
]


@every_stage
def test_bad_images(fresh, stage):
    model = fresh[stage]
    for shape, dtype, message in BAD_IMAGES:
        for call in (model, model.end_points):
            with pytest.raises(ValueError, match=re.escape(message)) as caught:
                call(np.zeros(shape, dtype))
            assert "\n" not in str(caught.value)


@every_stage
@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_bad_options(stage, options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        create(stage, **options)
    assert "\n" not in str(caught.value)
