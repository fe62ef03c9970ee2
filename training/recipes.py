"""Recipes: every number of a training run, as plain data.

Nothing here imports keras or TensorFlow, so the command line can check settings at once.
"""

from __future__ import annotations

import dataclasses
import math

from .. import models
from .datasets import check_dataset_name

STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker", "parameter_server", "tpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is trained, on what, and how.

    A model trains from fresh weights, by stochastic gradient descent with Nesterov momentum, on
    cross-entropy plus the model's own weight decay. The learning rate rises linearly to its peak
    and then falls to zero along half a cosine.

    Args:
        model: A name as in `models.list_models`.
        stage: One of `models.STAGES`.
        dataset: One of `datasets.DATASETS`.
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
        jit_compile: Whether the training step is compiled by XLA.
        seed: Decides fresh weights, the order of the images, shifts and dropout; 0 to 2**31 - 1.
        strategy: One of `STRATEGIES`, how the devices share the work. "auto" is "multi_worker"
            where the environment has TF_CONFIG, else "mirrored" on several GPUs, else
            "one_device".
        replicas: With "mirrored", how many devices to use: GPUs or, on a machine without any,
            parts of the CPU. None for all GPUs, or one CPU.
        sync_batch_norm: Whether batch norm takes its statistics over the global batch, in
            "native" models. Otherwise, as in TF-Slim, over each replica's share of it.

    Raises:
        ValueError: A value is out of its range, or there is no such model, stage or dataset.
    """

    model: str
    stage: str = "native"
    dataset: str
    image_size: int
    batch_size: int
    epochs: int
    learning_rate: float
    warmup_examples: int
    momentum: float
    weight_decay: float
    dropout_keep_prob: float
    batch_norm_decay: float
    max_shift: float
    jit_compile: bool
    seed: int = 0
    strategy: str = "auto"
    replicas: int | None = None
    sync_batch_norm: bool = False

    def __post_init__(self) -> None:
        models.get_variant(self.model)
        models.check_stage(self.stage)
        check_dataset_name(self.dataset)
        for name in ("image_size", "batch_size", "epochs"):
            self._check(name, getattr(self, name) >= 1, "1 or more")
        self._check("learning_rate", 0 < self.learning_rate < math.inf, "above 0 and finite")
        self._check("warmup_examples", self.warmup_examples >= 0, "0 or more")
        self._check("momentum", 0 <= self.momentum < 1, "from 0 to below 1")
        self._check("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more and finite")
        self._check("dropout_keep_prob", 0 < self.dropout_keep_prob <= 1, "above 0, up to 1")
        self._check("batch_norm_decay", 0 <= self.batch_norm_decay < 1, "from 0 to below 1")
        self._check("max_shift", 0 <= self.max_shift < 1, "from 0 to below 1")
        self._check("seed", 0 <= self.seed < 2**31, "from 0 to 2147483647")
        self._check_strategy()

    def _check_strategy(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(
                f"There is no strategy {self.strategy!r}: strategies are {', '.join(STRATEGIES)}."
            )
        self._check("replicas", self.replicas is None or self.replicas >= 1, "1 or more")
        if self.replicas is not None and self.strategy != "mirrored":
            raise ValueError(
                f"replicas={self.replicas} is for strategy='mirrored' only, and the strategy is "
                f"'{self.strategy}': the others use all devices that they find."
            )
        if self.sync_batch_norm and self.stage != "native":
            raise ValueError(
                f"sync_batch_norm=True needs stage='native', and the stage is '{self.stage}': the "
                "TF1 code of the others normalizes by each replica's own statistics."
            )
        spread = ("multi_worker", "parameter_server")
        if self.jit_compile and self.strategy in spread:
            raise ValueError(
                f"jit_compile=True does not go with strategy='{self.strategy}': leave it out, as "
                "XLA compiles no communication between processes."
            )
        if self.sync_batch_norm and self.strategy == "parameter_server":
            raise ValueError(
                "sync_batch_norm=True does not go with strategy='parameter_server', whose workers "
                "never wait for each other."
            )

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
