"""Recipes: every number of a training run, as plain data.

Nothing here imports keras or TensorFlow, so the command line can check settings at once.
"""

from __future__ import annotations

import dataclasses
import math

from .. import models
from . import preprocessing as preprocessings
from .datasets import check_dataset_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is trained, on what, and how.

    A model trains from fresh weights, by stochastic gradient descent with Nesterov momentum, on
    cross-entropy plus the model's own weight decay. The learning rate rises linearly to its peak
    and then falls to zero along half a cosine.

    Args:
        model: A name as in `models.list_models`.
        stage: One of `models.STAGES`.
        dataset: A name as in `datasets.load_dataset`.
        data_dir: Where TensorFlow Datasets or Fashion-MNIST is, None where no folder is needed.
        labels_offset: What is subtracted from the labels: 1 leaves out a background class that no
            image is of, -1 puts one in front.
        preprocessing: One of `preprocessing.PREPROCESSINGS`; None for that of the model's record.
        image_size: Height and width of the images as the model sees them, in pixels.
        batch_size: Images in one training step, over all replicas.
        epochs: Passes over the training images.
        learning_rate: The peak of the schedule.
        warmup_examples: Training images seen until the peak is reached.
        momentum: Share of the last step's direction kept in the next one, 0 to 1.
        weight_decay: TF-Slim's: `weight_decay * sum(w ** 2) / 2` is added to the loss.
        dropout_keep_prob: Share of the features kept before the last layer, above 0, up to 1.
        batch_norm_decay: Share of the old moving statistics kept in a training step, 0 to 1.
        max_shift: Training images are moved at random by up to this share of their size,
            horizontally and vertically, 0 to below 1.
        rand_augment: Strength of RandAugment, 0 (none) to 1.
        random_erasing: Share of the training images that get a rectangle of noise, 0 to 1.
        mixup: Mixup's alpha, 0 (none) to 1: training images are mixed in pairs, labels too.
        cutmix: CutMix's factor, 0 (none) to 1: parts of training images are cut from others.
        max_bad_fraction: The largest share of the images that may be unreadable, 0 to 1.
        jit_compile: Whether the training step is compiled by XLA.
        seed: Decides fresh weights, the order of the images, shifts and dropout; 0 to 2**31 - 1.

    Raises:
        ValueError: A value is out of its range, or there is no such model, stage or dataset.
    """

    model: str
    stage: str = "native"
    dataset: str
    data_dir: str | None = None
    labels_offset: int = 0
    preprocessing: str | None = None
    image_size: int
    batch_size: int
    epochs: int
    learning_rate: float
    warmup_examples: int
    momentum: float
    weight_decay: float
    dropout_keep_prob: float
    batch_norm_decay: float
    max_shift: float = 0.0
    rand_augment: float = 0.0
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    max_bad_fraction: float = 0.01
    jit_compile: bool
    seed: int = 0

    def __post_init__(self) -> None:
        variant = models.get_variant(self.model)
        models.check_stage(self.stage)
        check_dataset_name(self.dataset, self.data_dir)
        for name in ("image_size", "batch_size", "epochs"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "above 0 and finite")
        self._check("warmup_examples", self.warmup_examples >= 0, "0 or more")
        self._check("momentum", 0 <= self.momentum < 1, "from 0 to below 1")
        self._check("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more and finite")
        self._check("dropout_keep_prob", 0 < self.dropout_keep_prob <= 1, "above 0, up to 1")
        self._check("batch_norm_decay", 0 <= self.batch_norm_decay < 1, "from 0 to below 1")
        self._check("max_shift", 0 <= self.max_shift < 1, "from 0 to below 1")
        for name in ("rand_augment", "random_erasing", "mixup", "cutmix", "max_bad_fraction"):
            self._check(name, 0 <= getattr(self, name) <= 1, "from 0 to 1")
        preprocessings.check(self.preprocessing or variant.preprocessing, self.image_size)
        self._check("seed", 0 <= self.seed < 2**31, "from 0 to 2147483647")

    def _check(self, name: str, ok: bool, allowed: str) -> None:
        if not ok:
            raise ValueError(
                f"{name}={getattr(self, name)!r} is not allowed: it has to be {allowed}."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run that is known to work, and what it takes and gives.

    Args:
        config: Every number of it.
        test_accuracy: What it reaches at least, as measured over several seeds, 0 to 1.
        hardware: What it was measured on.
        minutes: How long it took there, from the command to the closing table.
    """

    config: TrainConfig
    test_accuracy: float
    hardware: str
    minutes: float


DEMO = Recipe(
    config=TrainConfig(
        model="mobilenet_v1_0.25_128",
        dataset="digits",
        preprocessing="resize",
        image_size=32,
        batch_size=64,
        epochs=30,
        learning_rate=0.1,
        warmup_examples=3_000,
        momentum=0.9,
        weight_decay=4e-5,
        dropout_keep_prob=1.0,
        batch_norm_decay=0.9,
        max_shift=0.1,
        jit_compile=False,
    ),
    test_accuracy=0.97,
    hardware="2 cores of an Intel Xeon at 2.8 GHz",
    minutes=1.5,
)
