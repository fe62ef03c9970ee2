"""What the settings of a training run may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

OPTIMIZERS = (
    "adadelta",
    "adagrad",
    "adam",
    "adamw",
    "ftrl",
    "lamb",
    "momentum",
    "rmsprop",
    "sgd",
)
SCHEDULES = ("fixed", "exponential", "polynomial", "cosine", "piecewise")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "parameter_server", "tpu")


# In pixels: no JPEG is longer, whose header has 16 bits for each side.
LONGEST_SIDE = 2**16 - 1
# Keras counts steps in 32 bits, and TensorFlow has as many for seeds and the rows of a batch.
MOST_STEPS = 2**31 - 1
# ImageNet-21k has 21,843; each class that an offset puts in front has a name and a logit.
MOST_CLASSES = 2**16
# Of whole numbers as large a float has each one, and schedules divide them.
MOST_IMAGES = 2**53


def _is_from(least: int, most: int) -> tuple[Callable[[Any], bool], str]:
    return lambda x: least <= x <= most, f"from {least} to {most}"


def _is_count(least: int, most: int) -> tuple[Callable[[Any], bool], str]:
    return lambda x: least <= x <= most, f"{least} or more, up to {most}"


def _is_one_of(choices: tuple[str, ...]) -> tuple[Callable[[Any], bool], str]:
    return choices.__contains__, f"one of {', '.join(choices)}"


def is_positive(value: float) -> bool:
    """Whether it is above 0 and finite."""
    return 0 < value < math.inf


# Settings, what they may be, and that in words; those that can be None may be that too.
ALLOWED: tuple[tuple[tuple[str, ...], Callable[[Any], bool], str], ...] = (
    (("image_size",), *_is_count(1, LONGEST_SIDE)),
    (
        (
            "batch_size",
            "epochs",
            "gradient_accumulation_steps",
            "steps_per_execution",
            "keep",
            "log_every",
            "replicas",
        ),
        *_is_count(1, MOST_STEPS),
    ),
    (("decay_examples",), *_is_count(1, MOST_IMAGES)),
    (("warmup_examples",), *_is_count(0, MOST_IMAGES)),
    (("labels_offset",), *_is_from(-MOST_CLASSES, MOST_CLASSES)),
    (
        (
            "learning_rate",
            "decay_epochs",
            "decay_power",
            "epsilon",
            "clip_norm",
            "clip_global_norm",
            "clip_value",
        ),
        is_positive,
        "above 0 and finite",
    ),
    (
        (
            "weight_decay",
            "decoupled_weight_decay",
            "initial_accumulator_value",
            "ftrl_l1",
            "ftrl_l2",
            "end_learning_rate",
            "auxiliary_loss_weight",
            "save_every",
        ),
        lambda x: 0 <= x < math.inf,
        "0 or more and finite",
    ),
    (
        (
            "momentum",
            "rho",
            "beta_1",
            "beta_2",
            "batch_norm_decay",
            "ema_decay",
            "label_smoothing",
            "max_shift",
        ),
        lambda x: 0 <= x < 1,
        "from 0 to below 1",
    ),
    (
        ("rand_augment", "random_erasing", "mixup", "cutmix", "max_bad_fraction"),
        lambda x: 0 <= x <= 1,
        "from 0 to 1",
    ),
    (("dropout_keep_prob", "decay_rate"), lambda x: 0 < x <= 1, "above 0, up to 1"),
    (("ftrl_learning_rate_power",), lambda x: -math.inf < x <= 0, "0 or below, and finite"),
    (("optimizer",), *_is_one_of(OPTIMIZERS)),
    (("schedule",), *_is_one_of(SCHEDULES)),
    (("precision",), *_is_one_of(PRECISIONS)),
    (("strategy",), *_is_one_of(STRATEGIES)),
    (("seed",), *_is_from(0, MOST_STEPS)),
)
