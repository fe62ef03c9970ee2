"""Recipes by name: what each says, and that its numbers are those of its source."""

import re

import pytest
from shimzoo import models
from shimzoo.tests.data import goldens
from shimzoo.training import published_recipes
from shimzoo.training.published_recipes import RECIPES

FLOWERS = sorted(name for name in RECIPES if name.startswith("flowers_"))
IMAGENET_IMAGES = 1_281_167


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_tells_its_source_and_fits_its_model(name):
    recipe = RECIPES[name]
    assert recipe.source
    assert recipe.hardware
    assert recipe.test_accuracy is None or 0.5 < recipe.test_accuracy < 1
    assert recipe.settings["image_size"] <= models.get_variant(recipe.settings["model"]).input_size
    # Where ImageNet is, is the user's to say.
    config = recipe.changed(dataset="digits")
    assert config.model == recipe.settings["model"]


def test_every_family_has_a_recipe():
    found = {models.get_variant(recipe.settings["model"]).family for recipe in RECIPES.values()}
    assert found == set(models.FAMILIES)


def test_a_wrong_name_has_the_nearest_ones():
    with pytest.raises(ValueError, match=r"'inception_v5'; did you mean .*inception_v4"):
        published_recipes.get_recipe("inception_v5")
    with pytest.raises(ValueError, match="'%%'; recipes are demo, fashion_mnist"):
        published_recipes.get_recipe("%%")


@pytest.mark.parametrize(
    ("name", "images_per_epoch", "decays_in_10_epochs", "factor"),
    [
        ("inception_v1", IMAGENET_IMAGES, 5, 0.94),
        ("mobilenet_v1", IMAGENET_IMAGES, 4, 0.94),
        ("mobilenet_v2", IMAGENET_IMAGES, 4, 0.98),
        ("inception_v3", IMAGENET_IMAGES, 5, 0.94),
        ("flowers_resnet_v1_50_head", 3320, 5, 0.94),
    ],
)
def test_rates_decay_by_the_epoch(name, images_per_epoch, decays_in_10_epochs, factor):
    config = RECIPES[name].changed(dataset="digits")
    assert 10 * images_per_epoch / config.decay_examples == pytest.approx(decays_in_10_epochs)
    assert config.decay_rate == factor
    assert config.staircase


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("flowers_inception_v1_head", 3000),
        ("flowers_inception_v1", 1000),
        ("flowers_inception_v3_head", 1000),
        ("flowers_inception_v3", 500),
        ("flowers_inception_resnet_v2_head", 1000),
        ("flowers_inception_resnet_v2", 500),
        ("flowers_resnet_v1_50_head", 3000),
        ("flowers_resnet_v1_50", 1000),
    ],
)
def test_flowers_trains_slims_steps_in_whole_epochs(name, steps):
    config = RECIPES[name].changed(dataset="digits")
    steps_per_epoch = 3320 // config.batch_size
    assert 0 <= config.epochs * steps_per_epoch - steps < steps_per_epoch


@pytest.mark.parametrize("name", [name for name in FLOWERS if name.endswith("_head")])
def test_flowers_first_trains_the_heads_and_nothing_else(name):
    config = RECIPES[name].changed(dataset="digits")
    variant = models.get_variant(config.model)
    pattern = re.compile(rf"(?:{config.trainable})(/.*)?")
    variables = goldens.table(config.model)["variables"]
    names = [each for each, _, is_trainable in variables if is_trainable]
    trained = {each for each in names if pattern.fullmatch(each)}
    heads = tuple(f"{variant.scope}/{scope}/" for scope in variant.head_scopes)
    assert trained == {each for each in names if each.startswith(heads)}
    assert len(trained) >= 2


def test_a_recipe_is_for_models_of_its_family():
    changed = RECIPES["resnet_v1_50"].changed(model="resnet_v1_101", dataset="digits")
    assert changed.model == "resnet_v1_101"
    with pytest.raises(ValueError, match="is for models of the family resnet, and inc"):
        RECIPES["resnet_v1_50"].changed(model="inception_v3", dataset="digits")
    assert RECIPES["demo"].changed(model="inception_v3").model == "inception_v3"
