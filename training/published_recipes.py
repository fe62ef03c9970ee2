"""Recipes by name: the demonstration, TF-Slim's defaults and fine-tuning, published results.

A published result's is found by its model's name too. What it is to reach stands in the model's
record, but where the recipe's own source says another number.

"Slim" is `research/slim` of https://github.com/tensorflow/models. Its `train_image_classifier.py`
averages the losses of its clones, so that a rate for several clones holds for their batches
together. Its defaults are read from that script at commit
07ed3667c297eb5c84a2c28d6137d4be0e8ceb4a.
"""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any

from .. import models
from .recipes import DEMO, IMAGENET, Recipe

_IMAGENET_IMAGES = 1_281_167  # Of ILSVRC 2012, as in Slim's datasets/imagenet.py.
_MOBILENET_V3_BATCH = 4096
_UNSTATED = "How long it trained is not published: 100 epochs, those of Inception v3's paper."
_SLIM_OPTIMIZER: dict[str, Any] = {
    "optimizer": "rmsprop",
    "momentum": 0.9,
    "rho": 0.9,
    "epsilon": 1.0,
    "weight_decay": 4e-5,
}
_SLIM_DEFAULTS: dict[str, Any] = {
    **_SLIM_OPTIMIZER,
    "batch_size": 32,
    "learning_rate": 0.01,
    "schedule": "exponential",
    "decay_rate": 0.94,
    "decay_epochs": 2.0,
    "end_learning_rate": 1e-4,  # Of a polynomial schedule.
}


def get_recipe(name: str) -> Recipe:
    """A recipe by its name, or that of a published result by the name of its model.

    Args:
        name: One of `RECIPES`, or a model's name as in `models.list_models`.

    Returns:
        The recipe; of a model's name that of its ImageNet training, whose settings are the model's.

    Raises:
        ValueError: There is no such recipe; the message has the nearest names.
    """
    if name in RECIPES:
        return RECIPES[name]
    for recipe in RECIPES.values():
        if recipe.is_of_published_weights and name in models.list_models(recipe.trains):
            return dataclasses.replace(recipe, settings={**recipe.settings, "model": name})
    near = difflib.get_close_matches(name, [*RECIPES, *models.list_models()], n=3, cutoff=0.5)
    known = f"did you mean {' or '.join(near)}?" if near else f"recipes are {', '.join(RECIPES)}."
    raise ValueError(f"There is no recipe {name!r}; {known}")


def _on_imagenet(model: str, **settings: Any) -> dict[str, Any]:
    """Settings of a run on ImageNet."""
    return {
        "model": model,
        "dataset": IMAGENET,
        "epochs": 100,
        "schedule": "exponential",
        **settings,
    }


def _slim_defaults(model: str) -> Recipe:
    return Recipe(
        settings=_on_imagenet(model, **_SLIM_DEFAULTS),
        source="The defaults of Slim's train_image_classifier.py, as its README trains. Google "
        f"trained the published weights with settings of its own. {_UNSTATED}",
        trains=model,
        hardware="not published",
    )


def _inception(model: str, paper: str, hardware: str, **settings: Any) -> Recipe:
    return Recipe(
        settings=_on_imagenet(
            model,
            batch_size=32,
            learning_rate=0.045,
            decay_epochs=2.0,
            ema_decay=0.9999,
            **_SLIM_OPTIMIZER,
            **settings,
        ),
        source=f"{paper} Each replica sent its own steps of 32 images. Weight decay and momentum "
        "are Slim's, the average's decay that of research/inception beside it.",
        trains=model,
        hardware=hardware,
    )


def _mobilenet_v3(
    model: str, trains: str, note: str, own_settings: dict[str, dict[str, int]]
) -> Recipe:
    return Recipe(
        settings=_on_imagenet(
            model,
            batch_size=_MOBILENET_V3_BATCH,
            learning_rate=0.1,
            decay_epochs=3.0,
            decay_rate=0.99,
            dropout_keep_prob=0.8,
            batch_norm_decay=0.99,
            ema_decay=0.9999,
            **{**_SLIM_OPTIMIZER, "weight_decay": 1e-5},
        ),
        trains=trains,
        source="Section 6.1 of https://arxiv.org/abs/1905.02244; the mean square's decay and "
        f"epsilon are Slim's. {note}",
        hardware="32 TPU cores (4x4 TPU Pod)",
        own_settings=own_settings,
    )


def _published_epochs(pattern: str, batch_size: int) -> dict[str, dict[str, int]]:
    """Epochs by model, of the steps that the names of published checkpoints end with."""
    found = {}
    for name in models.list_models(pattern):
        steps = int(models.get_variant(name).checkpoint.rpartition("-")[2])
        found[name] = {"epochs": round(steps * batch_size / _IMAGENET_IMAGES)}
    return found


def _resnet(version: int, note: str, accuracies: dict[str, float]) -> Recipe:
    return Recipe(
        settings=_on_imagenet(
            f"resnet_v{version}_50",
            batch_size=256,
            epochs=90,
            optimizer="momentum",
            nesterov=True,
            learning_rate=0.1,
            schedule="piecewise",
            boundaries=tuple(epoch * _IMAGENET_IMAGES for epoch in (30, 60, 80)),
            factors=(0.1, 0.01, 0.001),
            weight_decay=1e-4,
        ),
        trains=f"resnet_v{version}_*",
        source=f"Section 5.1 of https://arxiv.org/abs/1706.02677 for a batch of 256. {note}",
        accuracies=accuracies,
        hardware="8 NVIDIA Tesla P100",
    )


def _flowers_head(model: str, epochs: int, **settings: Any) -> Recipe:
    """Slim's first stage: a new head on published weights."""
    variant = models.get_variant(model)
    heads = variant.head_scopes
    head = heads[0] if len(heads) == 1 else f"({'|'.join(heads)})"
    return _flowers(
        model,
        epochs=epochs,
        learning_rate=0.01,
        checkpoint=f"/tmp/checkpoints/{model}.ckpt",
        exclude_head=True,
        trainable=f"{variant.scope}/{head}",
        **settings,
    )


def _flowers(model: str, **settings: Any) -> Recipe:
    return Recipe(
        settings={
            **_SLIM_DEFAULTS,
            "model": model,
            "dataset": "tfrecord:/tmp/flowers/flowers",
            **settings,
        },
        source=f"Slim's scripts/finetune_{model}_on_flowers.sh, with its paths. Its steps are "
        "rounded up to whole epochs.",
        trains=model,
        hardware="not published",
    )


def _flowers_all(model: str, **settings: Any) -> Recipe:
    """Slim's second stage: all weights, from where the first one ended."""
    first_run = f"/tmp/flowers-models/{model}/final.weights.h5"
    return _flowers(model, checkpoint=first_run, **settings)


RECIPES: dict[str, Recipe] = {
    "demo": DEMO,
    "fashion_mnist": Recipe(
        settings={
            **DEMO.settings,
            "model": "mobilenet_v1_0.5_128",
            "dataset": "fashion_mnist",
            "batch_size": 128,
            "epochs": 20,
            "warmup_examples": 60_000,
        },
        source="Settings and accuracy were found here: docs/results/fashion_mnist.",
        trains="*",
        accuracies={"mobilenet_v1_0.5_128": 0.91},
        hardware="2 cores of an AMD EPYC, busy with other work too",
        minutes=13,
    ),
    "slim": Recipe(
        settings=_on_imagenet("inception_v3", **_SLIM_DEFAULTS),
        source="The defaults of Slim's train_image_classifier.py, for any model and data. It "
        "trains until it is stopped; 100 epochs are chosen here.",
        trains="*",
        hardware="not published",
    ),
    "mobilenet_v1": Recipe(
        settings=_on_imagenet(
            "mobilenet_v1_1.0_224",
            batch_size=64,
            optimizer="sgd",
            learning_rate=0.045,
            decay_epochs=2.5,
            weight_decay=4e-5,
        ),
        trains="mobilenet_v1_*",
        source="Slim's nets/mobilenet_v1_train.py, whose flags are the width and the images' size. "
        f"Google trained the published weights with settings of its own. {_UNSTATED}",
        hardware="not published",
    ),
    "mobilenet_v2": Recipe(
        settings=_on_imagenet(
            "mobilenet_v2_1.0_224",
            batch_size=8 * 96,
            epochs=420,
            learning_rate=8 * 0.045,
            decay_epochs=2.5,
            decay_rate=0.98,
            label_smoothing=0.1,
            ema_decay=0.9999,
            **_SLIM_OPTIMIZER,
        ),
        trains="mobilenet_v2_*",
        source="Slim's nets/mobilenet/README.md for 8 GPUs; its 700,000 steps are 420 epochs. It "
        "tells the accuracy of the full net by them, and that they give those of the others.",
        accuracies={"mobilenet_v2_1.0_224": 0.72},
        hardware="8 GPUs",
    ),
    "mobilenet_v3": _mobilenet_v3(
        "mobilenet_v3_large_1.0_224",
        "mobilenet_v3_*",
        "Epochs are the steps in the published checkpoints' names, if these had that batch.",
        own_settings=_published_epochs("mobilenet_v3_*", _MOBILENET_V3_BATCH),
    ),
    "mobilenet_edgetpu": _mobilenet_v3(
        "mobilenet_edgetpu_1.0_224",
        "mobilenet_edgetpu_*",
        "They are MobileNet v3's, as nothing is published of this one. 600 epochs are chosen here.",
        own_settings={"mobilenet_edgetpu_1.0_224": {"epochs": 600}},
    ),
    "resnet_v1": _resnet(
        1,
        "The accuracy of resnet_v1_50 stands there, of a net with the stride in other layers and "
        "with factors of zero at the start of each block's last norm. The published weights are "
        "those of https://arxiv.org/abs/1512.03385, trained with a batch of 256 on 8 GPUs as well.",
        {"resnet_v1_50": 0.764},
    ),
    "resnet_v2": _resnet(
        2,
        "They are for v1; Google trained the published weights of v2 with settings of its own.",
        {},
    ),
    "inception_v1": _slim_defaults("inception_v1"),
    "inception_v2": _slim_defaults("inception_v2"),
    "inception_v3": _inception(
        "inception_v3",
        "Section 8 of https://arxiv.org/abs/1512.00567, with label smoothing of section 7.",
        "50 NVIDIA Kepler GPUs",
        label_smoothing=0.1,
        clip_global_norm=2.0,
    ),
    "inception_v4": _inception(
        "inception_v4",
        f"Section 4 of https://arxiv.org/abs/1602.07261. {_UNSTATED}",
        "20 NVIDIA Kepler GPUs",
    ),
    "inception_resnet_v2": _inception(
        "inception_resnet_v2",
        f"Section 4 of https://arxiv.org/abs/1602.07261. {_UNSTATED}",
        "20 NVIDIA Kepler GPUs",
    ),
    "flowers_inception_v1_head": _flowers_head("inception_v1", epochs=30),
    "flowers_inception_v1": _flowers_all("inception_v1", epochs=10, learning_rate=0.001),
    "flowers_inception_v3_head": _flowers_head("inception_v3", epochs=10, schedule="fixed"),
    "flowers_inception_v3": _flowers_all(
        "inception_v3", epochs=5, learning_rate=0.0001, schedule="fixed"
    ),
    "flowers_inception_resnet_v2_head": _flowers_head(
        "inception_resnet_v2", epochs=10, schedule="fixed"
    ),
    "flowers_inception_resnet_v2": _flowers_all(
        "inception_resnet_v2", epochs=5, learning_rate=0.0001, schedule="fixed"
    ),
    "flowers_resnet_v1_50_head": _flowers_head("resnet_v1_50", epochs=30),
    "flowers_resnet_v1_50": _flowers_all("resnet_v1_50", epochs=10, learning_rate=0.001),
}
