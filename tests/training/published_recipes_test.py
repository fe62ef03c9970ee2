"""Recipes by name: what each says, and that its numbers are those of its source."""

import dataclasses
import re

import pytest
from shimzoo import models
from shimzoo.tests.data import goldens
from shimzoo.training import published_recipes
from shimzoo.training.published_recipes import RECIPES
from shimzoo.training.schedules import Schedule

FLOWERS = sorted(name for name in RECIPES if name.startswith("flowers_"))
IMAGENET_IMAGES = 1_281_167


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_tells_its_source_and_fits_its_models(name):
    recipe = RECIPES[name]
    assert recipe.source
    assert recipe.hardware
    trained = models.list_models(recipe.trains)
    assert {recipe.settings["model"], *recipe.accuracies, *recipe.own_settings} <= set(trained)
    for model in trained:
        # Where ImageNet is, is the user's to say.
        config = recipe.changed(model=model, dataset="digits")
        assert config.model == model
        assert config.image_size <= models.get_variant(model).input_size
        expected = recipe.expected(model)
        assert expected is None or 0.4 < expected.accuracy < 1


@pytest.mark.parametrize("model", models.list_models())
def test_every_published_result_has_one_recipe_by_its_models_name(model):
    published = {
        name: recipe
        for name, recipe in RECIPES.items()
        if recipe.is_of_published_weights and model in models.list_models(recipe.trains)
    }
    ((name, recipe),) = published.items()
    own = published_recipes.get_recipe(model) if model not in RECIPES else recipe
    config = own.changed(data_dir="prepared")
    assert config == recipe.changed(model=model, data_dir="prepared")
    variant = models.get_variant(model)
    assert (config.model, config.image_size) == (model, variant.input_size)
    top1, source = variant.published.top1_percent, recipe.accuracies.get(model)
    if source is not None or top1 is None:
        assert (recipe.expected(model) and recipe.expected(model).accuracy) == source
    else:
        # One source: the record, which `shimzoo show` prints.
        assert recipe.expected(model).accuracy == top1 / 100
        # What another number than a published one is, its own source has to say.
        assert recipe.expected(model).origin.startswith("as published")
    assert name.startswith(("mobilenet", "resnet", "inception"))


@pytest.mark.parametrize(
    ("model", "steps"),
    [("mobilenet_v3_large_1.0_224", 540_000), ("mobilenet_v3_small_0.75_224", 497_500)],
)
def test_mobilenet_v3_trains_the_steps_of_its_checkpoint(model, steps):
    config = published_recipes.get_recipe(model).changed(dataset="digits")
    assert config.batch_size == 4096
    trained = config.epochs * IMAGENET_IMAGES / 4096
    assert abs(trained - steps) <= IMAGENET_IMAGES / 4096 / 2


def test_settings_that_change_the_result_are_named_beside_what_is_expected():
    recipe = RECIPES["demo"]
    same = recipe.changed(
        seed=3, stage="shimmed", keep=5, max_bad_fraction=0.5, strategy="mirrored"
    )
    assert recipe.expected_of(same) == recipe.expected_of(recipe.config)
    assert "not the recipe's" not in recipe.expected_of(same)
    other = recipe.changed(batch_size=32, learning_rate=0.05)
    assert recipe.expected_of(other).endswith("; not the recipe's: batch_size, learning_rate")
    assert recipe.expected_of(recipe.changed(model="resnet_v1_50")) is None


def test_a_wrong_name_has_the_nearest_ones():
    with pytest.raises(ValueError, match=r"'inception_v5'; did you mean .*inception_v4"):
        published_recipes.get_recipe("inception_v5")
    with pytest.raises(ValueError, match="'%%'; recipes are demo, fashion_mnist"):
        published_recipes.get_recipe("%%")


@pytest.mark.parametrize(
    ("name", "images_per_epoch", "decays_in_10_epochs", "factor"),
    [
        ("slim", IMAGENET_IMAGES, 5, 0.94),
        ("slim", 1437, 5, 0.94),
        ("inception_v1", IMAGENET_IMAGES, 5, 0.94),
        ("mobilenet_v1", IMAGENET_IMAGES, 4, 0.94),
        ("mobilenet_v2", IMAGENET_IMAGES, 4, 0.98),
        ("inception_v3", IMAGENET_IMAGES, 5, 0.94),
        ("flowers_resnet_v1_50_head", 3320, 5, 0.94),
    ],
)
def test_rates_decay_by_the_epoch(name, images_per_epoch, decays_in_10_epochs, factor):
    config = RECIPES[name].changed(dataset="digits")
    steps = images_per_epoch // config.batch_size
    schedule = Schedule(config, steps * config.batch_size * config.epochs)
    around_the_end = [float(schedule(10 * steps + step)) for step in (-1, 0)]
    decays = (decays_in_10_epochs - 1, decays_in_10_epochs)
    assert around_the_end == pytest.approx([config.learning_rate * factor**n for n in decays])


# The defaults of the flags of research/slim/train_image_classifier.py in
# https://github.com/tensorflow/models at 07ed3667c297eb5c84a2c28d6137d4be0e8ceb4a, by setting.
SLIM_DEFAULTS = {
    "model": "inception_v3",
    "batch_size": 32,
    "optimizer": "rmsprop",
    "momentum": 0.9,  # Of momentum, and of rmsprop.
    "rho": 0.9,  # Of rmsprop.
    "epsilon": 1.0,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "initial_accumulator_value": 0.1,  # Of adagrad, and of ftrl.
    "ftrl_learning_rate_power": -0.5,
    "ftrl_l1": 0.0,
    "ftrl_l2": 0.0,
    "learning_rate": 0.01,
    "schedule": "exponential",
    "decay_rate": 0.94,
    "decay_epochs": 2.0,
    "end_learning_rate": 0.0001,
    "label_smoothing": 0.0,
    "weight_decay": 0.00004,
    "ema_decay": None,
    "labels_offset": 0,
    "preprocessing": None,
    "save_every": 600,
    # What the script has no flag for.
    "nesterov": False,
    "staircase": True,
    "decay_power": 1.0,
    "auxiliary_loss_weight": 0.4,
    "warmup_examples": 0,
    "dropout_keep_prob": None,
    "batch_norm_decay": None,
    "max_shift": 0.0,
    "gradient_accumulation_steps": 1,
    **dict.fromkeys(("clip_norm", "clip_global_norm", "clip_value")),
    **dict.fromkeys(("decoupled_weight_decay", "rand_augment", "random_erasing"), 0.0),
    **dict.fromkeys(("mixup", "cutmix"), 0.0),
}


def test_slims_recipe_has_the_defaults_of_its_script():
    config = dataclasses.asdict(published_recipes.get_recipe("slim").changed(data_dir="prepared"))
    assert {name: config[name] for name in SLIM_DEFAULTS} == SLIM_DEFAULTS
    # For the rest: what it trains on for how long, and what decides nothing of the result.
    assert config["dataset"] == "imagenet2012"
    assert config["image_size"] == 299


@pytest.mark.parametrize("given", [{"decay_examples": 500}, {"decay_epochs": 3.0}])
@pytest.mark.parametrize("base", [{"decay_examples": 900}, {"decay_epochs": 2.0}])
def test_a_decay_in_another_unit_takes_the_place_of_the_recipes(base, given):
    demo = RECIPES["demo"]
    recipe = dataclasses.replace(demo, settings={**demo.settings, **base})
    config = recipe.changed(**given)
    neither = {"decay_examples": None, "decay_epochs": None}
    assert {name: getattr(config, name) for name in neither} == {**neither, **given}


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


def test_a_recipe_is_for_its_own_models():
    changed = RECIPES["resnet_v1"].changed(model="resnet_v1_101", dataset="digits")
    assert changed.model == "resnet_v1_101"
    with pytest.raises(ValueError, match=r"for the models resnet_v1_\*, and resnet_v2_50 is none"):
        RECIPES["resnet_v1"].changed(model="resnet_v2_50", dataset="digits")
    assert RECIPES["demo"].changed(model="inception_v3").model == "inception_v3"
    with pytest.raises(ValueError, match="There is no model 'resnet_v1'"):
        RECIPES["demo"].changed(model="resnet_v1")
