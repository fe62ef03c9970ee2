"""Recipes by name: the demonstration, one per published result, and TF-Slim's fine-tuning.

"Slim" is `research/slim` of https://github.com/tensorflow/models. Its `train_image_classifier.py`
averages the losses of its clones, so that a rate for several clones holds for their batches
together. It trains with RMSProp (decay and momentum 0.9, epsilon 1.0) from a rate of 0.01, which
falls by 0.94 every two epochs, and with a weight decay of 0.00004, unless its flags say otherwise.
"""

from __future__ import annotations

import difflib
from typing import Any

from .. import models
from .recipes import DEMO, Recipe

_IMAGENET_IMAGES = 1_281_167  # Of ILSVRC 2012, as in Slim's datasets/imagenet.py.
_FLOWERS_IMAGES = 3_320  # As in Slim's datasets/flowers.py.
_UNSTATED = "How long it trained is not published: 100 epochs, those of Inception v3's paper."
_SLIM_OPTIMIZER: dict[str, Any] = {
    "optimizer": "rmsprop",
    "momentum": 0.9,
    "rho": 0.9,
    "epsilon": 1.0,
    "weight_decay": 4e-5,
}


def get_recipe(name: str) -> Recipe:
    """A recipe by its name.

    Args:
        name: One of `RECIPES`.

    Raises:
        ValueError: There is no such recipe; the message has the nearest names.
    """
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=3, cutoff=0.5)
        known = (
            f"did you mean {' or '.join(near)}?" if near else f"recipes are {', '.join(RECIPES)}."
        )
        raise ValueError(f"There is no recipe {name!r}; {known}")
    return RECIPES[name]


def _published_accuracy(model: str) -> float:
    return models.get_variant(model).published.top1_percent / 100


def _on_imagenet(
    model: str, *, epochs_per_decay: float | None = None, **settings: Any
) -> dict[str, Any]:
    """Settings of a run on ImageNet at the model's own size."""
    if epochs_per_decay is not None:
        settings["decay_examples"] = round(epochs_per_decay * _IMAGENET_IMAGES)
    return {
        "model": model,
        "dataset": "imagenet2012",
        "image_size": models.get_variant(model).input_size,
        "epochs": 100,
        "schedule": "exponential",
        **settings,
    }


def _slim_defaults(model: str) -> Recipe:
    return Recipe(
        settings=_on_imagenet(
            model, batch_size=32, learning_rate=0.01, epochs_per_decay=2, **_SLIM_OPTIMIZER
        ),
        source="The defaults of Slim's train_image_classifier.py, as its README trains. The "
        "accuracy is that of the published weights, which Google trained with settings of its own. "
        + _UNSTATED,
        test_accuracy=_published_accuracy(model),
        hardware="not published",
    )


def _inception(model: str, paper: str, hardware: str, **settings: Any) -> Recipe:
    return Recipe(
        settings=_on_imagenet(
            model,
            batch_size=32,
            learning_rate=0.045,
            epochs_per_decay=2,
            ema_decay=0.9999,
            **_SLIM_OPTIMIZER,
            **settings,
        ),
        source=f"{paper} Each replica sent its own steps of 32 images. Weight decay and momentum "
        "are Slim's, the average's decay that of research/inception beside it.",
        test_accuracy=_published_accuracy(model),
        hardware=hardware,
    )


def _mobilenet_v3(model: str) -> Recipe:
    return Recipe(
        settings=_on_imagenet(
            model,
            batch_size=4096,
            epochs=600,
            learning_rate=0.1,
            epochs_per_decay=3,
            decay_rate=0.99,
            dropout_keep_prob=0.8,
            batch_norm_decay=0.99,
            ema_decay=0.9999,
            **{**_SLIM_OPTIMIZER, "weight_decay": 1e-5},
        ),
        source="Section 6.1 of https://arxiv.org/abs/1905.02244. Epochs are not published, and "
        "chosen here; the mean square's decay and epsilon are Slim's.",
        test_accuracy=_published_accuracy(model),
        hardware="32 TPU cores (4x4 TPU Pod)",
    )


def _resnet(model: str, note: str, test_accuracy: float) -> Recipe:
    return Recipe(
        settings=_on_imagenet(
            model,
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
        source=f"Section 5.1 of https://arxiv.org/abs/1706.02677 for a batch of 256. {note}",
        test_accuracy=test_accuracy,
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
    decay = {} if settings.get("schedule") else {"decay_examples": 2 * _FLOWERS_IMAGES}
    return Recipe(
        settings={
            "model": model,
            "dataset": "tfrecord:/tmp/flowers/flowers",
            "image_size": models.get_variant(model).input_size,
            "batch_size": 32,
            "schedule": "exponential",
            **decay,
            **_SLIM_OPTIMIZER,
            **settings,
        },
        source=f"Slim's scripts/finetune_{model}_on_flowers.sh, with its paths. Its steps are "
        "rounded up to whole epochs.",
        test_accuracy=None,
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
        test_accuracy=0.91,
        hardware="2 cores of an AMD EPYC, busy with other work too",
        minutes=13,
        is_for_any_model=True,
    ),
    "mobilenet_v1": Recipe(
        settings=_on_imagenet(
            "mobilenet_v1_1.0_224",
            batch_size=64,
            optimizer="sgd",
            learning_rate=0.045,
            epochs_per_decay=2.5,
            weight_decay=4e-5,
        ),
        source="Slim's nets/mobilenet_v1_train.py. The accuracy is that of the published weights, "
        f"which Google trained with settings of its own. {_UNSTATED}",
        test_accuracy=_published_accuracy("mobilenet_v1_1.0_224"),
        hardware="not published",
    ),
    "mobilenet_v2": Recipe(
        settings=_on_imagenet(
            "mobilenet_v2_1.0_224",
            batch_size=8 * 96,
            epochs=420,
            learning_rate=8 * 0.045,
            epochs_per_decay=2.5,
            decay_rate=0.98,
            label_smoothing=0.1,
            ema_decay=0.9999,
            **_SLIM_OPTIMIZER,
        ),
        source="Slim's nets/mobilenet/README.md for 8 GPUs; its 700,000 steps are 420 epochs. The "
        "accuracy stands there.",
        test_accuracy=0.72,
        hardware="8 GPUs",
    ),
    "mobilenet_v3_large": _mobilenet_v3("mobilenet_v3_large_1.0_224"),
    "mobilenet_v3_small": _mobilenet_v3("mobilenet_v3_small_1.0_224"),
    "resnet_v1_50": _resnet(
        "resnet_v1_50",
        "The accuracy stands there, of a net with the stride in other layers and with factors of "
        "zero at the start of each block's last norm.",
        0.764,
    ),
    "resnet_v2_50": _resnet(
        "resnet_v2_50",
        "They are for v1; the accuracy is that of the published weights of v2, which Google "
        "trained with settings of its own.",
        _published_accuracy("resnet_v2_50"),
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
