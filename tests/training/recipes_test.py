"""The settings of a run are checked when they are written down."""

import dataclasses
import math

import pytest
from shimzoo.training import DEMO

BAD = [
    ("model", "mobilenet_v1_0.25_129", "mobilenet_v1_0.25_128"),
    ("stage", "nativ", "shimmed, partially_native, native"),
    ("dataset", "mnist", "digits"),
    ("image_size", 0, "1 or more"),
    ("batch_size", 0, "1 or more"),
    ("batch_size", -3, "1 or more"),
    ("epochs", 0, "1 or more"),
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
    ],
)
def test_settings_that_exclude_each_other_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(DEMO.config, **settings)
