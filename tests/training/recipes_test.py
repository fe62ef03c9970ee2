"""The settings of a run are checked when they are written down."""

import dataclasses
import json
import math

import pytest
from shimzoo.training import DEMO, TrainConfig

BAD = [
    ("model", "mobilenet_v1_0.25_129", "mobilenet_v1_0.25_128"),
    ("stage", "nativ", "shimmed, partially_native, native"),
    ("dataset", "mnist", "digits"),
    ("image_size", 0, "1 or more"),
    ("batch_size", 0, "1 or more"),
    ("batch_size", -3, "1 or more"),
    ("epochs", 0, "1 or more"),
    ("image_size", 2**16, "up to 65535"),
    ("epochs", 10**20, "up to 2147483647"),
    ("batch_size", 2**31, "up to 2147483647"),
    ("decay_examples", 10**400, "up to 9007199254740992"),
    ("warmup_examples", 2**53 + 1, "up to 9007199254740992"),
    ("labels_offset", 10**20, "to 65536"),
    ("labels_offset", -(10**20), "from -65536"),
    ("profile", (1, 2**31), "1 to 2147483647"),
    ("learning_rate", 0.0, "above 0"),
    ("learning_rate", -0.1, "above 0"),
    ("learning_rate", math.nan, "above 0"),
    ("learning_rate", math.inf, "finite"),
    ("warmup_examples", -1, "0 or more"),
    ("momentum", 1.0, "below 1"),
    ("weight_decay", -1e-4, "0 or more"),
    ("dropout_keep_prob", 0.0, "above 0"),
    ("dropout_keep_prob", 1.1, "up to 1"),
    ("batch_norm_decay", 1.0, "below 1"),
    ("max_shift", 1.0, "below 1"),
    ("optimizer", "sdg", "adadelta, adagrad, adam, adamw, ftrl, lamb, momentum, rmsprop, sgd"),
    ("schedule", "linear", "fixed, exponential, polynomial, cosine, piecewise"),
    ("precision", "float16", "float32, mixed_float16, mixed_bfloat16"),
    ("rho", 1.0, "below 1"),
    ("beta_1", -0.1, "from 0"),
    ("beta_2", 1.0, "below 1"),
    ("epsilon", 0.0, "above 0"),
    ("initial_accumulator_value", -0.1, "0 or more"),
    ("ftrl_learning_rate_power", 0.5, "0 or below"),
    ("ftrl_l1", -1.0, "0 or more"),
    ("ftrl_l2", math.inf, "finite"),
    ("decay_examples", 0, "1 or more"),
    ("decay_epochs", 0.0, "above 0"),
    ("decay_epochs", math.inf, "finite"),
    ("decay_rate", 0.0, "above 0"),
    ("end_learning_rate", -1.0, "0 or more"),
    ("decay_power", 0.0, "above 0"),
    ("label_smoothing", 1.0, "below 1"),
    ("auxiliary_loss_weight", -0.4, "0 or more"),
    ("ema_decay", 1.0, "below 1"),
    ("clip_norm", 0.0, "above 0"),
    ("clip_global_norm", -1.0, "above 0"),
    ("clip_value", math.nan, "above 0"),
    ("gradient_accumulation_steps", 0, "1 or more"),
    ("steps_per_execution", 0, "1 or more"),
    ("keep", 0, "1 or more"),
    ("profile", (3,), "a first and a last step"),
    ("profile", (3, 2), "a first and a last step"),
    ("profile", (0, 2), "a first and a last step"),
    ("seed", -1, "from 0"),
    ("seed", 2**31, "to 2147483647"),
    ("strategy", "mirored", "multi_worker"),
    ("replicas", 0, "1 or more"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_a_bad_value_is_named_with_what_is_allowed(name, value, allowed):
    with pytest.raises(ValueError, match=r"There is no|not allowed") as raised:
        dataclasses.replace(DEMO.config, **{name: value})
    assert str(value) in str(raised.value)
    assert allowed in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "piecewise"}, "with 0 boundaries and 0 factors"),
        ({"boundaries": (5,), "factors": (0.1,)}, "'cosine' with 1 boundaries.*no other"),
        (
            {"schedule": "piecewise", "boundaries": (5, 9), "factors": (0.1,)},
            "2 boundaries and 1 factors.*a factor for each",
        ),
        (
            {"schedule": "piecewise", "boundaries": (9, 9), "factors": (0.1, 0.1)},
            "boundaries=.*increasing",
        ),
        (
            {"schedule": "piecewise", "boundaries": (2**53 + 1,), "factors": (0.1,)},
            "boundaries=.*1 to 9007199254740992",
        ),
        (
            {"schedule": "piecewise", "boundaries": (9,), "factors": (0.0,)},
            "factors=.*above 0",
        ),
        ({"schedule": "exponential"}, "needs decay_examples.*--decay-epochs"),
        ({"decay_examples": 5, "decay_epochs": 2.0}, "exclude each other"),
        ({"clip_norm": 1.0, "clip_value": 2.0}, "clip_norm and clip_value exclude each other"),
        ({"decoupled_weight_decay": 0.1}, "is of adamw and lamb, and optimizer is 'momentum'"),
        ({"exclude_head": True}, "not taken from a checkpoint, and there is none"),
        ({"exclude": ("Logits",)}, "not taken from a checkpoint, and there is none"),
        ({"trainable": "(Logits"}, r"'\(Logits' is no regular expression"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DEMO.config, **changes)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"optimizer": "adam", "momentum": 0.5}, "momentum=0.5 .*'adam'.* momentum or rmsprop"),
        ({"optimizer": "sgd", "nesterov": True}, "nesterov=True .*optimizer='sgd'"),
        ({"optimizer": "rmsprop", "nesterov": True}, "nesterov=True .*optimizer='rmsprop'"),
        ({"beta_1": 0.8}, "beta_1=0.8 .*optimizer='momentum'.* adam or adamw or lamb"),
        ({"epsilon": 1.0}, "epsilon=1.0 has no effect"),
        ({"ftrl_l1": 0.1}, "ftrl_l1=0.1 .* take ftrl"),
        ({"schedule": "fixed", "decay_rate": 0.9}, "decay_rate=0.9 .*'fixed'.* exponential"),
        ({"schedule": "fixed", "decay_examples": 500}, "decay_examples=500 has no effect"),
        ({"schedule": "fixed", "decay_epochs": 2.0}, "decay_epochs=2.0 has no effect"),
        ({"staircase": True}, "staircase=True .*schedule='cosine'"),
        ({"decay_power": 2.0}, "decay_power=2.0 .* take polynomial"),
        ({"schedule": "fixed", "end_learning_rate": 0.1}, "end_learning_rate=0.1 has no effect"),
    ],
)
def test_what_was_asked_for_without_effect_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        DEMO.changed(**given)
    dataclasses.replace(DEMO.config, **given)  # From a recipe it may stand.


@pytest.mark.parametrize(
    "given",
    [
        {"optimizer": "adam"},
        {"schedule": "fixed"},
        {"optimizer": "sgd", "nesterov": False},
        {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "rmsprop", "momentum": 0.5, "rho": 0.8, "epsilon": 1.0},
        {"optimizer": "ftrl", "ftrl_l2": 0.1, "initial_accumulator_value": 0.2},
        {"schedule": "cosine", "decay_epochs": 2.0, "end_learning_rate": 0.01},
        {"schedule": "polynomial", "decay_examples": 500, "decay_power": 2.0},
        {"schedule": "exponential", "decay_epochs": 2.0, "staircase": True, "decay_rate": 0.9},
    ],
)
def test_what_has_an_effect_or_asks_for_nothing_is_taken(given):
    config = DEMO.changed(**given)
    assert {name: getattr(config, name) for name in given} == given


def test_what_json_made_of_the_settings_is_the_same_again():
    config = dataclasses.replace(
        DEMO.config, schedule="piecewise", boundaries=(5, 9), factors=(0.1, 0.01), profile=(2, 3)
    )
    saved = json.loads(json.dumps(dataclasses.asdict(config)))
    assert TrainConfig(**saved) == config


def test_the_largest_numbers_are_allowed():
    config = dataclasses.replace(
        DEMO.config,
        image_size=2**16 - 1,
        epochs=2**31 - 1,
        warmup_examples=2**53,
        decay_examples=2**53,
        labels_offset=-(2**16),
        profile=(1, 2**31 - 1),
        schedule="piecewise",
        boundaries=(1, 2**53),
        factors=(0.1, 0.01),
    )
    assert json.loads(json.dumps(dataclasses.asdict(config)))["warmup_examples"] == 2**53


def test_the_limits_themselves_are_allowed():
    dataclasses.replace(
        DEMO.config,
        batch_size=1,
        epochs=1,
        learning_rate=1e-9,
        warmup_examples=0,
        momentum=0.0,
        weight_decay=0.0,
        dropout_keep_prob=1.0,
        batch_norm_decay=0.0,
        max_shift=0.0,
        seed=2**31 - 1,
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replicas": 2}, "for strategy='mirrored' only"),
        ({"sync_batch_norm": True, "stage": "shimmed"}, "needs stage='native'"),
        ({"sync_batch_norm": True, "strategy": "parameter_server"}, "never wait"),
        ({"jit_compile": True, "strategy": "multi_worker"}, "leave it out"),
        ({"steps_per_execution": 2, "strategy": "multi_worker"}, "one step at a time"),
    ],
)
def test_settings_that_exclude_each_other_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DEMO.config, **settings)
