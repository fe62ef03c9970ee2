"""From a dataset to the batches a model trains on, by `tf.data`.

What a training step sees is a function of the seed and of the step's number alone: order and
distortions are drawn from both, without state. So a run that starts at any step sees what an
uninterrupted one would have seen there, and workers see parts of what one process would have seen;
but the pixels in the place of an image that can't be read are of the worker's own part.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from .. import models
from . import augmentation, preprocessing
from .bad_examples import EVALUATION, BadExamples
from .bad_rows import Example, checked, finisher, read_batches
from .datasets import Split
from .input_order import epoch_seed, places, rows_of_worker
from .preprocessing.base import Preprocessing, seeds
from .train_config import TrainConfig


def steps_per_epoch(config: TrainConfig, num_train: int) -> int:
    """Training steps in an epoch: full batches only, so that every step has the same shapes.

    Args:
        config: The run's settings.
        num_train: Training images in the dataset.

    Returns:
        A number of steps, 1 or more.

    Raises:
        ValueError: A batch would need more images than there are.
    """
    if config.batch_size > num_train:
        raise ValueError(
            f"The batch size is {config.batch_size}, and {config.dataset} has {num_train} training "
            f"images: a batch takes 1 to {num_train}."
        )
    return num_train // config.batch_size


def preprocessing_of(config: TrainConfig) -> Preprocessing:
    """The preprocessing that the settings name, or else that of the model's record."""
    variant = models.get_variant(config.model)
    return preprocessing.get(config.preprocessing or variant.preprocessing)


def has_soft_labels(config: TrainConfig) -> bool:
    """Whether labels are shares of classes, as mixup and CutMix make them, and not numbers."""
    return bool(config.mixup or config.cutmix)


def training_batches(
    split: Split,
    config: TrainConfig,
    first_step: int = 0,
    num_workers: int = 1,
    worker_index: int = 0,
    bad: BadExamples | None = None,
) -> tf.data.Dataset:
    """The batches of a run from one of its steps to its end.

    Every epoch is a new order of all images, distorted anew; the images that do not fill a batch at
    its end are left out of that epoch. An image that can't be read, or whose label is none of the
    classes, keeps its place with weight 0 and another one's pixels and label.

    Args:
        split: The training part of a dataset.
        config: The run's settings.
        first_step: Training steps that are already done.
        num_workers: Workers that share each batch; a divisor of the batch size.
        worker_index: Which of them this is: it gets its share of the rows of each batch.
        bad: Where to take down what can't be used; None for nowhere.

    Returns:
        A dataset of images, float32 `[b, image_size, image_size, 3]` as the preprocessing gives
        them; labels, int32 `[b]`, or float32 `[b, classes]` where `has_soft_labels`; and
        weights, float32 `[b]`, 0 or 1. b is batch_size / num_workers.

    Raises:
        ValueError: The batch size is not divided evenly.
    """
    mixing = augmentation.Mixing(config.mixup, config.cutmix, split.num_classes)
    rows = rows_of_worker(config.batch_size, num_workers, worker_index, mixing.partners)
    num_own = len(rows) - mixing.partners
    finish = finisher(num_own, bad)

    def to_training_batch(place: Example, found: Example) -> tuple[tf.Tensor, ...]:
        batch = finish(place, found)
        images, labels = batch["image"], batch["label"]
        if has_soft_labels(config):
            images, labels = mixing.mix(images, labels, batch["ok"], batch["mixing"])
        return images, labels, tf.cast(batch["ok"][:num_own], tf.float32)

    steps = steps_per_epoch(config, len(split))
    ordered = places(split, config, steps, first_step, rows)
    batches = read_batches(ordered, _training_loader(split, config, mixing), split)
    return _with_options(batches.map(to_training_batch).prefetch(tf.data.AUTOTUNE))


def evaluation_batches(
    split: Split,
    config: TrainConfig,
    bad: BadExamples | None = None,
    num_workers: int = 1,
    worker_index: int = 0,
) -> tf.data.Dataset:
    """All images of a test part once, in their order, undistorted.

    Args:
        split: The test part of a dataset.
        config: The run's settings.
        bad: As in `training_batches`; its epoch is `EVALUATION`.
        num_workers: Workers that share the batches.
        worker_index: Which of them this is: it reads every `num_workers`-th batch, from this one.

    Returns:
        A dataset as in `training_batches`, of batches as one worker alone has them; the last one
        may be smaller.
    """
    preprocess = preprocessing_of(config)
    finish = finisher(None, bad)

    def load(place: Example) -> Example:
        example = split.read(place["index"])
        pixels = preprocess.evaluate(example["image"], config.image_size)
        return checked(pixels, example["label"], split)

    def to_batch(place: Example, found: Example) -> tuple[tf.Tensor, ...]:
        batch = finish(place, found)
        labels = batch["label"]
        if has_soft_labels(config):
            labels = tf.one_hot(labels, split.num_classes)
        return batch["image"], labels, tf.cast(batch["ok"], tf.float32)

    # Shared before anything is read; only the last batch of all can be smaller, so a worker's are
    # put together again as they were.
    order = split.order(None)
    batch_number = tf.range(tf.size(order)) // config.batch_size
    is_own = batch_number % num_workers == worker_index
    own = tf.boolean_mask(order, is_own)
    ordered = tf.data.Dataset.from_tensor_slices(
        {"epoch": tf.fill(tf.shape(own), tf.constant(EVALUATION, tf.int64)), "index": own}
    ).batch(config.batch_size)
    batches = read_batches(ordered, load, split).map(to_batch)
    # Keras warns of what it can't count.
    batches = batches.apply(tf.data.experimental.assert_cardinality(ordered.cardinality()))
    return _with_options(batches.prefetch(tf.data.AUTOTUNE))


def _training_loader(
    split: Split, config: TrainConfig, mixing: augmentation.Mixing
) -> Callable[[Example], Example]:
    """Makes what reads and distorts one example."""
    distort = _distortion(config)

    def load(place: Example) -> Example:
        of_epoch = epoch_seed(config.seed, place["epoch"])
        seed = tf.random.experimental.stateless_fold_in(of_epoch, place["place"])
        distort_seed, mixing_seed = seeds(seed, 2)
        example = split.read(place["index"])
        pixels = distort(example["image"], distort_seed)
        drawn = mixing.draw(pixels, mixing_seed)
        return {**checked(pixels, example["label"], split), "mixing": drawn}

    return load


def _distortion(config: TrainConfig) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The preprocessing with the augmentations in between, in the order of their papers."""
    preprocess, size = preprocessing_of(config), config.image_size
    between = []
    if config.max_shift:
        between.append(lambda pixels, seed: augmentation.shift(pixels, config.max_shift, seed))
    if config.rand_augment:
        between.append(augmentation.rand_augment(config.rand_augment, preprocess.value_range))
    if config.random_erasing:
        between.append(augmentation.random_erasing(config.random_erasing, preprocess.value_range))

    def distort(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if not between:
            return preprocess.train(image, size, *seeds(seed, 1))
        first, *others = seeds(seed, 1 + len(between))
        pixels = preprocess.distort(image, size, first)
        for augment, own_seed in zip(between, others, strict=True):
            pixels = augment(pixels, own_seed)
        return preprocess.normalize(pixels)

    return distort


def _with_options(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Workers have their parts already.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return batches.with_options(options)
