"""The settings of a training run: every number of it, as plain data.

Nothing here imports keras or TensorFlow, so the command line can check settings at once.
"""

from __future__ import annotations

import dataclasses
import itertools
import re

from .. import models
from . import preprocessing as preprocessings
from .datasets import check_dataset_name
from .limits import ALLOWED, MOST_IMAGES, MOST_STEPS, is_positive


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is trained, on what, and how.

    A model trains on cross-entropy, its auxiliary head's with a weight of its own, plus the model's
    own weight decay. Learning rates change with the training images seen, not with steps, so they
    do not depend on the batch size.

    The command line takes its help from here: a setting's text has to say what it is in a sentence
    or two.

    Args:
        model: What to train: a name as `shimzoo list` prints it.
        stage: Which version of it: shimmed, partially_native, native.
        dataset: What to train on: digits, fashion_mnist, `folder:PATH`, `tfrecord:PATTERN`, or a
            name of TensorFlow Datasets; docs/data.md has all.
        data_dir: Where TensorFlow Datasets or Fashion-MNIST is; none where no folder is needed.
        labels_offset: What is subtracted from the labels: 1 leaves out a background class that no
            image is of, -1 puts one in front.
        preprocessing: How images are prepared, a name as in docs/data.md; none is the model's own.
        image_size: Height and width of the images as the model sees them, in pixels.
        batch_size: Images in one training step, over all replicas.
        epochs: Passes over the training images.
        optimizer: adadelta, adagrad, adam, adamw, ftrl, lamb, momentum, rmsprop or sgd. rmsprop
            starts its mean square at one, as TF1's does.
        learning_rate: The peak of the schedule.
        momentum: Share of the last step's direction kept in the next one, 0 to below 1; of
            momentum and rmsprop.
        nesterov: Whether momentum looks one step ahead.
        rho: Share of the old mean square kept in a step, 0 to below 1; of rmsprop and adadelta.
        beta_1: Share of the old mean gradient kept in a step, 0 to below 1; of adam, adamw and
            lamb.
        beta_2: Share of the old mean square kept in a step, 0 to below 1; of adam, adamw and lamb.
        epsilon: What is added to the mean square, inside the root (rmsprop, adadelta, adagrad) or
            to the root (adam, adamw, lamb).
        initial_accumulator_value: Where the sum of squares starts; of adagrad and ftrl.
        ftrl_learning_rate_power: Exponent of ftrl's sum of squares, 0 or below.
        ftrl_l1: Strength of ftrl's own L1 regularization.
        ftrl_l2: Strength of ftrl's own L2 regularization.
        decoupled_weight_decay: Share of each kernel, times the learning rate, taken away in a step,
            beside the loss; of adamw and lamb.
        schedule: fixed, exponential, polynomial, cosine or piecewise.
        warmup_examples: Training images seen until the peak is reached, in a line from zero.
        decay_examples: Training images per decay of an exponential schedule, or those after which
            a polynomial or cosine one has come to its end; none is the whole run.
        decay_epochs: The same in epochs of the run, in place of decay_examples, whatever the number
            of training images.
        decay_rate: Factor of each decay of an exponential schedule, above 0, up to 1.
        staircase: Whether an exponential schedule decays at once, and not bit by bit.
        end_learning_rate: Where a polynomial or cosine schedule ends.
        decay_power: Exponent of a polynomial schedule.
        boundaries: Training images after which a piecewise schedule goes on to its next factor.
        factors: What a piecewise schedule multiplies the peak by from each boundary on.
        label_smoothing: Share of each label that is spread over all classes, 0 to below 1.
        auxiliary_loss_weight: Weight of the auxiliary head's loss; for models that have one.
        weight_decay: TF-Slim's: `weight_decay * sum(w ** 2) / 2` is added to the loss.
        dropout_keep_prob: Share of the features kept before the last layer, above 0, up to 1; none
            is the model's own.
        batch_norm_decay: Share of the old moving statistics kept in a training step, 0 to below 1;
            none is the model's own.
        ema_decay: Share of the old moving averages of all weights kept in a training step, 0 to
            below 1; they are what is tested and saved at the end. none is without averages.
        clip_norm: Longest gradient of a single weight; longer ones are shortened.
        clip_global_norm: Longest gradient of all weights together.
        clip_value: Largest entry of a gradient.
        gradient_accumulation_steps: Training steps whose gradients are averaged for one update.
        precision: float32, mixed_float16 or mixed_bfloat16.
        steps_per_execution: Training steps between two looks at the run from outside; it has to
            divide the steps of an epoch.
        jit_compile: Whether the training step is compiled by XLA.
        max_shift: Training images are moved at random by up to this share of their size,
            horizontally and vertically, 0 to below 1.
        rand_augment: Strength of RandAugment, 0 (none) to 1.
        random_erasing: Share of the training images that get a rectangle of noise, 0 to 1.
        mixup: Mixup's alpha, 0 (none) to 1: training images are mixed in pairs, labels too.
        cutmix: CutMix's factor, 0 (none) to 1: parts of training images are cut from others.
        max_bad_fraction: The largest share of the images that may be unreadable, 0 to 1.
        checkpoint: Weights to start from, of any kind that `shimzoo inspect` reads.
        exclude: What is not taken from the checkpoint but made anew: TF1 names, scopes or regular
            expressions for them. Can be repeated.
        exclude_head: Likewise for the layers that depend on the classes.
        trainable: The only weights that are trained: a regular expression for TF1 names or scopes.
        save_every: Seconds between two checkpoints within an epoch, 0 for one after each step; each
            epoch's end has one anyway. none is without those.
        keep: Newest checkpoints that are kept, beside the newest one that passed its test and the
            weights of the best epoch.
        log_every: Training steps between two lines of metrics within an epoch.
        profile: First and last step to record for TensorBoard's profiler.
        seed: Decides fresh weights, the order of the images, shifts and dropout; 0 to 2**31 - 1.
        strategy: How devices share the work: one_device, mirrored, multi_worker, parameter_server
            or tpu; docs/scaling.md has all. auto is multi_worker where the environment has
            TF_CONFIG, else mirrored on several GPUs, else one_device.
        replicas: How many devices mirrored uses: GPUs or, on a machine without any, parts of the
            CPU. none is all GPUs, or one CPU.
        sync_batch_norm: Whether batch norm takes its statistics over the global batch, in native
            models. Otherwise, as in TF-Slim, over each replica's share of it.

    Raises:
        ValueError: A value is out of its range, settings exclude each other, or there is no such
            model, stage or dataset.
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
    optimizer: str = "momentum"
    learning_rate: float
    momentum: float = 0.9
    nesterov: bool = False
    rho: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    initial_accumulator_value: float = 0.1
    ftrl_learning_rate_power: float = -0.5
    ftrl_l1: float = 0.0
    ftrl_l2: float = 0.0
    decoupled_weight_decay: float = 0.0
    schedule: str = "cosine"
    warmup_examples: int = 0
    decay_examples: int | None = None
    decay_epochs: float | None = None
    decay_rate: float = 0.94
    staircase: bool = True
    end_learning_rate: float = 0.0
    decay_power: float = 1.0
    boundaries: tuple[int, ...] = ()
    factors: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    auxiliary_loss_weight: float = 0.4
    weight_decay: float
    dropout_keep_prob: float | None = None
    batch_norm_decay: float | None = None
    ema_decay: float | None = None
    clip_norm: float | None = None
    clip_global_norm: float | None = None
    clip_value: float | None = None
    gradient_accumulation_steps: int = 1
    precision: str = "float32"
    steps_per_execution: int = 1
    jit_compile: bool = False
    max_shift: float = 0.0
    rand_augment: float = 0.0
    random_erasing: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    max_bad_fraction: float = 0.01
    checkpoint: str | None = None
    exclude: tuple[str, ...] = ()
    exclude_head: bool = False
    trainable: str | None = None
    save_every: float | None = 600.0
    keep: int = 2
    log_every: int = 100
    profile: tuple[int, ...] = ()
    seed: int = 0
    strategy: str = "auto"
    replicas: int | None = None
    sync_batch_norm: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if isinstance(value := getattr(self, field.name), list):  # From JSON.
                object.__setattr__(self, field.name, tuple(value))
        variant = models.get_variant(self.model)
        models.check_stage(self.stage)
        check_dataset_name(self.dataset, self.data_dir)
        for names, is_allowed, allowed in ALLOWED:
            for name in names:
                value = getattr(self, name)
                self._check(name, value is None or is_allowed(value), allowed)
        preprocessings.check(self.preprocessing or variant.preprocessing, self.image_size)
        self._check_schedule()
        self._check_gradients()
        self._check_checkpoint()
        self._check_strategy()

    def _check(self, name: str, ok: bool, allowed: str) -> None:
        if not ok:
            raise ValueError(
                f"{name}={getattr(self, name)!r} is not allowed: it has to be {allowed}."
            )

    def _check_schedule(self) -> None:
        boundaries, piecewise = self.boundaries, self.schedule == "piecewise"
        if bool(boundaries) != piecewise or len(boundaries) != len(self.factors):
            raise ValueError(
                f"schedule={self.schedule!r} with {len(boundaries)} boundaries and "
                f"{len(self.factors)} factors is not allowed: a piecewise schedule, and no other, "
                "has boundaries, and a factor for each."
            )
        ends = (0, *boundaries, MOST_IMAGES + 1)
        increasing = all(a < b for a, b in itertools.pairwise(ends))
        self._check("boundaries", increasing, f"increasing numbers of images, 1 to {MOST_IMAGES}")
        self._check("factors", all(is_positive(x) for x in self.factors), "above 0 and finite")
        decays = [n for n in ("decay_examples", "decay_epochs") if getattr(self, n) is not None]
        if len(decays) > 1:
            raise ValueError(
                "decay_examples and decay_epochs exclude each other: pass one of them."
            )
        if self.schedule == "exponential" and not decays:
            raise ValueError(
                "An exponential schedule needs decay_examples (--decay-examples) or decay_epochs "
                "(--decay-epochs)."
            )

    def _check_gradients(self) -> None:
        clips = [n for n in ("clip_norm", "clip_global_norm", "clip_value") if getattr(self, n)]
        if len(clips) > 1:
            raise ValueError(f"{' and '.join(clips)} exclude each other: pass one of them.")
        if self.decoupled_weight_decay and self.optimizer not in ("adamw", "lamb"):
            raise ValueError(
                f"decoupled_weight_decay is of adamw and lamb, and optimizer is "
                f"{self.optimizer!r}: weight_decay adds one to the loss."
            )

    def _check_checkpoint(self) -> None:
        if (self.exclude or self.exclude_head) and self.checkpoint is None:
            raise ValueError(
                "exclude and exclude_head say what is not taken from a checkpoint, and there is "
                "none: pass one (--checkpoint)."
            )
        for pattern in (*self.exclude, self.trainable or ""):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}.") from None
        ends = (1, *self.profile, MOST_STEPS)
        first_and_last = len(self.profile) == 2 and all(a <= b for a, b in itertools.pairwise(ends))
        allowed = f"a first and a last step, 1 to {MOST_STEPS}"
        self._check("profile", not self.profile or first_and_last, allowed)

    def _check_strategy(self) -> None:
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
        if self.sync_batch_norm and self.strategy == "parameter_server":
            raise ValueError(
                "sync_batch_norm=True does not go with strategy='parameter_server', whose workers "
                "never wait for each other."
            )
        if self.strategy not in ("multi_worker", "parameter_server"):
            return
        if self.jit_compile:
            raise ValueError(
                f"jit_compile=True does not go with strategy='{self.strategy}': leave it out, as "
                "XLA compiles no communication between processes."
            )
        if self.steps_per_execution > 1:
            raise ValueError(
                f"steps_per_execution={self.steps_per_execution} does not go with strategy="
                f"'{self.strategy}': leave it out, as processes take one step at a time."
            )
