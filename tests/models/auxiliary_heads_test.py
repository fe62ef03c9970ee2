"""Auxiliary heads whose weights depend on the size of the images, in every version."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import models

NAMES = ("inception_resnet_v2", "inception_v4")
LEAST, LEAST_OF_AUX = 75, 107
every_name = pytest.mark.parametrize("name", NAMES)
every_stage = pytest.mark.parametrize("stage", models.STAGES)


def zeros(height, width=None):
    return np.zeros((2, height, width or height, 3), "float32")


def options(name, **settings):
    variants = importlib.import_module(f"shimzoo.models.{models.get_variant(name).family}.variants")
    return variants.Options.of(models.get_variant(name), **settings)


@every_name
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            zeros(LEAST_OF_AUX - 1),
            "at least 107x107 pixels, got 106x106: take larger ones, or make",
        ),
        (zeros(299, LEAST), "at least 107x107 pixels, got 299x75: "),
        (zeros(155), "made for images of 299x299 pixels, got 155x155: take such images, or"),
    ],
)
def test_sizes_that_do_not_fit_the_head(name, images, message):
    with pytest.raises(ValueError, match=message):
        options(name).check_images(images, {"input_shape": (None, 299, 299, 3)})
    for settings in ({"create_aux_logits": False}, {"num_classes": None}):
        options(name, **settings).check_images(images, {"input_shape": (None, 299, 299, 3)})


@every_name
def test_sizes_that_leave_the_same_map(name):
    options(name).check_images(zeros(310), {"input_shape": (None, 299, 299, 3)})
    options(name).check_images(zeros(LEAST_OF_AUX))


@pytest.mark.parametrize("name", [*NAMES, "inception_v3"])
def test_an_unknown_size_counts_as_the_published_one(name):
    unknown, published = (None, None), (models.get_variant(name).input_size,) * 2
    for built, given in ((unknown, published), (published, unknown), (unknown, unknown)):
        images = keras.KerasTensor((None, *given, 3))
        options(name).check_images(images, {"input_shape": (None, *built, 3)})
    for built, given in ((unknown, (155, 155)), ((155, 155), unknown), ((155, 155), (155, None))):
        images = keras.KerasTensor((None, *given, 3))
        with pytest.raises(ValueError, match="unknown size, which counts as 299x299"):
            options(name).check_images(images, {"input_shape": (None, *built, 3)})


@pytest.mark.large
@every_name
@every_stage
def test_the_head_of_a_model(name, stage):
    made = models.create(name, stage, num_classes=5, input_size=LEAST_OF_AUX)
    for call in (made, made.end_points):
        with pytest.raises(ValueError, match="made for images of 107x107 pixels, got 299x299"):
            call(zeros(299))
        with pytest.raises(ValueError, match="107x107 pixels, got ones of unknown size, which co"):
            call(keras.KerasTensor((None, None, None, 3)))
    assert made.end_points(zeros(LEAST_OF_AUX))["AuxLogits"].shape == (2, 5)


@pytest.mark.large
@pytest.mark.parametrize("name", [*NAMES, "inception_v3"])
@every_stage
def test_the_head_of_a_model_for_images_of_unknown_size(name, stage):
    made = models.model_class(name, stage)(num_classes=5)
    assert made(keras.Input((None, None, 3))).shape == (None, 5)
    size = models.get_variant(name).input_size
    same = models.create(name, stage, num_classes=5)
    assert [each.shape for each in made.weights] == [each.shape for each in same.weights]
    assert made.end_points(zeros(size))["AuxLogits"].shape == (2, 5)
    for call in (made, made.end_points):
        with pytest.raises(ValueError, match="of unknown size, which counts as 299x299, got 155x1"):
            call(zeros(155))
    unknown = tf.function(made.end_points, autograph=False).get_concrete_function(
        tf.TensorSpec((None, None, None, 3))
    )
    assert unknown(tf.zeros((1, size, size, 3)))["AuxLogits"].shape == (1, 5)
    with pytest.raises(tf.errors.InvalidArgumentError):  # The check could not see this size.
        unknown(tf.zeros((1, 400, 400, 3)))


@pytest.mark.large
@every_name
@every_stage
def test_without_the_head_any_size_does(name, stage):
    made = models.create(name, stage, num_classes=5, create_aux_logits=False)
    assert not [weight.path for weight in made.weights if "AuxLogits" in weight.path]
    assert made(keras.Input((None, None, 3))).shape == (None, 5)
    end_points = made.end_points(zeros(LEAST))
    assert "AuxLogits" not in end_points
    assert end_points["Logits"].shape == (2, 5)


@pytest.mark.large
@every_name
@every_stage
def test_features(name, stage):
    made = models.create(name, stage, num_classes=None, input_size=LEAST)
    assert not [weight.path for weight in made.weights if "Logits" in weight.path]
    assert list(made.end_points(zeros(LEAST)))[-1] == "global_pool"
    assert made(zeros(LEAST)).shape == (2, 1, 1, 1536)
