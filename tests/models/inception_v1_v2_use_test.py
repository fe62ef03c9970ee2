"""Options and bad input of Inception v1 and v2, the same in every version."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models, shim
from shimzoo.tests.data import goldens
from shimzoo.tests.models.tolerances import SAME, assert_close

shim.install()

import tf_slim as slim  # noqa: E402 - TF-Slim needs modules that the shim supplies
from tf_slim.nets import inception  # noqa: E402

IMAGES = goldens.image((2, 64, 64, 3))
# A thin v2, which is quicker; v1 has no such options.
THIN = {"inception_v1": {}, "inception_v2": {"depth_multiplier": 0.3, "min_depth": 10}}
POOLS = {"inception_v1": "AvgPool_0a_7x7", "inception_v2": "AvgPool_1a"}
# The largest images that the head's pool makes one pixel of.
LARGEST = {"inception_v1": 224, "inception_v2": 256}
every_stage = pytest.mark.parametrize("stage", models.STAGES)
every_net = pytest.mark.parametrize("name", THIN)


def create(name, stage, **options):
    options = {"num_classes": 10, "input_size": 64, **THIN[name], **options}
    model = models.create(name, stage, **options)
    for weight in model.weights:
        weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
    return model


@every_net
@every_stage
def test_features_without_a_head(name, stage):
    model = create(name, stage, num_classes=None)
    end_points = model.end_points(IMAGES)
    assert list(end_points)[-2:] == ["Mixed_5c", POOLS[name]]
    # The window shrinks to the map of a small image.
    mean = np.asarray(end_points["Mixed_5c"]).mean((1, 2), keepdims=True)
    assert_close(model(IMAGES), mean, SAME)
    assert not any("Logits" in weight.path for weight in model.weights)


@every_net
@every_stage
def test_global_pool_takes_any_size(name, stage):
    model = create(name, stage, global_pool=True)
    images = goldens.image((1, LARGEST[name] + 32, 40, 3))
    end_points = model.end_points(images)
    pooled = [key for key in end_points if key in ("global_pool", "PreLogits", POOLS[name])]
    assert pooled == ["global_pool", *(["PreLogits"] if name == "inception_v2" else [])]
    mean = np.asarray(end_points["Mixed_5c"]).mean((1, 2), keepdims=True)
    assert_close(end_points["global_pool"], mean, SAME)
    assert_close(model(images), end_points["Logits"], SAME)


@every_net
@every_stage
def test_a_map_of_logits(name, stage):
    model = create(name, stage, spatial_squeeze=False)
    strides = {"inception_v1": 1, "inception_v2": 2}
    images = goldens.image((1, 32 * (7 + 2 * strides[name]), 40, 3))
    assert model(images).shape == (1, 3, 1, 10)


@every_net
@every_stage
def test_dropout_keeps_the_share_that_is_asked_for(name, stage):
    model = create(name, stage, dropout_keep_prob=0.25, num_classes=2, spatial_squeeze=False)
    kernel, bias = model.weights[-2:]
    kernel.assign(np.ones(kernel.shape))
    bias.assign([0.0, 0.0])
    sums = []
    for _ in range(2):
        end_points = model.end_points(IMAGES, training=True)
        pooled = np.asarray(end_points[POOLS[name]]).sum()
        sums.append(np.asarray(end_points["Logits"])[..., 0].sum() / pooled)
        if name == "inception_v2":
            kept = np.asarray(end_points["PreLogits"])
            assert 0.15 < np.count_nonzero(kept) / kept.size < 0.35
    assert sums[0] != sums[1]
    assert 0.6 < np.mean(sums) < 1.4
    end_points = model.end_points(IMAGES)
    pooled = np.asarray(end_points[POOLS[name]]).sum()
    assert_close(np.asarray(end_points["Logits"])[..., 0].sum(), pooled, SAME)


@every_stage
def test_weight_decay_leaves_the_separable_convolution_alone(stage):
    model = create("inception_v2", stage, weight_decay=0.5)
    regularized = [
        weight.numpy() for weight in model.weights if weight.path.endswith(("/kernel", "/weights"))
    ]
    assert len(model.losses) == len(regularized) == 69
    expected = sum(0.5 * np.sum(np.square(value, dtype="float64")) / 2 for value in regularized)
    assert_close(sum(model.losses), expected, SAME)


class ThinSlim(keras.Model):
    """TF-Slim's own Inception v2, thinned, in a decorated method."""

    @shim.track_tf1_style_variables
    def call(self, images):
        with slim.arg_scope(inception.inception_v2_arg_scope()):
            logits, _ = inception.inception_v2(
                images, 10, is_training=False, **THIN["inception_v2"]
            )
        return logits


@every_stage
def test_a_thin_net_is_slims(stage):
    expected, model = ThinSlim(), create("inception_v2", stage)
    expected(IMAGES)
    assert [checkpoints.tf1_name(weight) for weight in model.weights] == [
        checkpoints.tf1_name(weight) for weight in expected.weights
    ]
    for weight, other in zip(expected.weights, model.weights, strict=True):
        weight.assign(other)  # Of the same shape.
    assert_close(model(IMAGES), expected(IMAGES), SAME)


@every_stage
def test_the_thinnest_net_still_has_a_filter_for_each_colour(stage):
    model = create("inception_v2", stage, depth_multiplier=0.01, min_depth=2)
    shapes = [tuple(weight.shape) for weight in model.weights[:2]]
    assert shapes == [(7, 7, 3, 1), (1, 1, 3, 2)]
    assert np.all(np.isfinite(model(IMAGES)))


# Bad input: one line, the same in every version. What all models refuse is in
# `models_in_use_test.py`.


@every_net
@every_stage
def test_images_that_leave_more_than_one_pixel(name, stage):
    model, size = create(name, stage), LARGEST[name]
    assert model(np.zeros((1, size, 32, 3), "float32")).shape == (1, 10)
    images = np.zeros((1, size + 1, 32, 3), "float32")
    message = f"Images of {size + 1}x32 pixels leave a map .* at most {size}x{size}, or make "
    for call in (model, model.end_points, lambda x: model(tf.constant(x), training=True)):
        with pytest.raises(ValueError, match=message) as caught:
            call(images)
        assert "\n" not in str(caught.value)


BAD_OPTIONS = [
    ("inception_v1", {"dropout_keep_prob": 0.0}, "dropout_keep_prob=0.0 is not allowed"),
    ("inception_v1", {"depth_multiplier": 0.5}, "Inception v1 has no option 'depth_multiplier'"),
    ("inception_v1", {"output_stride": 16}, "Inception v1 has no option 'output_stride'"),
    ("inception_v1", {"input_size": 225}, "225x225 pixels leave a map"),
    ("inception_v2", {"depth_multiplier": 0}, "depth_multiplier=0 is not allowed"),
    ("inception_v2", {"depth_multiplier": -1.0}, "depth_multiplier=-1.0 is not allowed"),
    ("inception_v2", {"min_depth": 0}, "min_depth=0 is not allowed"),
    ("inception_v2", {"output_stride": 16}, "Inception v2 has no option 'output_stride'"),
    ("inception_v2", {"input_size": 31}, "at least 32x32 pixels, got 31x31"),
]


@every_stage
@pytest.mark.parametrize(("name", "options", "message"), BAD_OPTIONS)
def test_bad_options(name, stage, options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        create(name, stage, **options)
    assert "\n" not in str(caught.value)


@every_net
@every_stage
def test_another_familys_variant_is_refused(name, stage):
    with pytest.raises(
        ValueError, match=f"no Inception v. variant 'resnet_v1_50'; known is {name}"
    ):
        models.model_class(name, stage)("resnet_v1_50")
