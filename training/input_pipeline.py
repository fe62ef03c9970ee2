"""From a dataset to the batches a model trains on, by `tf.data`.

What a training step sees is a function of the seed and of the step's number alone: order and
shifts are drawn from both, without state. So a run that starts at any step sees what an
uninterrupted one would have seen there.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from .datasets import Examples
from .recipes import TrainConfig


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


def training_batches(
    examples: Examples,
    config: TrainConfig,
    first_step: int = 0,
    num_workers: int = 1,
    worker_index: int = 0,
) -> tf.data.Dataset:
    """The batches of a run from one of its steps to its end.

    Every epoch is a new order of all images, shifted anew; the images that do not fill a batch at
    its end are left out of that epoch.

    Args:
        examples: The training part of a dataset.
        config: The run's settings.
        first_step: Training steps that are already done.
        num_workers: How many share each batch, of which `batch_size` is a multiple.
        worker_index: Whose share this is, from 0.

    Returns:
        A dataset of pairs: images, float32 `[b, image_size, image_size, 3]` in [-1, 1], and labels,
        int32 `[b]`, with `b = batch_size / num_workers`. The shares of all workers, in their order,
        are the batches of one.
    """
    share = config.batch_size // num_workers
    own = slice(worker_index * share, (worker_index + 1) * share)
    steps = steps_per_epoch(config, len(examples))
    first_epoch, steps_done = divmod(first_step, steps)
    images, labels = tf.constant(examples.images), tf.constant(examples.labels)

    def batches_of(epoch: tf.Tensor) -> tf.data.Dataset:
        seed = tf.random.experimental.stateless_fold_in([config.seed, 0], epoch)
        order = tf.random.experimental.stateless_shuffle(tf.range(len(examples)), seed)
        indices = tf.data.Dataset.from_tensor_slices(order)
        batches = indices.batch(config.batch_size, drop_remainder=True).enumerate()
        batches = batches.skip(tf.cast(epoch == first_epoch, tf.int64) * steps_done)

        def to_model_input(step: tf.Tensor, batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            step_seed = tf.random.experimental.stateless_fold_in(seed, step)
            pixels = _scaled(tf.gather(images, batch[own]), config.image_size)
            moves = _moves(config, step_seed)[own]
            return _model_input(_shifted(pixels, moves)), tf.gather(labels, batch[own])

        return batches.map(to_model_input, num_parallel_calls=tf.data.AUTOTUNE)

    epochs = tf.data.Dataset.range(first_epoch, config.epochs)
    return epochs.flat_map(batches_of).prefetch(tf.data.AUTOTUNE)


def evaluation_batches(examples: Examples, config: TrainConfig) -> tf.data.Dataset:
    """All images of a test part once, in their order, unshifted.

    Args:
        examples: The test part of a dataset.
        config: The run's settings.

    Returns:
        A dataset of pairs as in `training_batches`; the last batch may be smaller.
    """

    def to_model_input(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return _model_input(_scaled(images, config.image_size)), labels

    batches = tf.data.Dataset.from_tensor_slices((examples.images, examples.labels))
    return batches.batch(config.batch_size).map(to_model_input).prefetch(tf.data.AUTOTUNE)


def _scaled(images: tf.Tensor, image_size: int) -> tf.Tensor:
    return tf.image.resize(images, [image_size, image_size], method="bilinear")


def _moves(config: TrainConfig, seed: tf.Tensor) -> tf.Tensor:
    """How far each image of a batch is moved down and to the right, in pixels."""
    limit = config.max_shift * config.image_size
    return tf.random.stateless_uniform([config.batch_size, 2], seed, -limit, limit)


def _shifted(images: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
    """Moves each image; what comes in at the border is black."""
    dy, dx = tf.unstack(moves, axis=1)
    one, zero = tf.ones_like(dy), tf.zeros_like(dy)
    # As `ImageProjectiveTransform` has it: rows of a 3x3 matrix, the last 1 left out.
    matrices = tf.stack([one, zero, dx, zero, one, dy, zero, zero], axis=1)
    return keras.ops.image.affine_transform(
        images, matrices, interpolation="bilinear", fill_mode="constant", fill_value=0.0
    )


def _model_input(images: tf.Tensor) -> tf.Tensor:
    """Repeats grey in three channels and maps [0, 1] to [-1, 1].

    [-1, 1] is TF-Slim's Inception preprocessing, which the MobileNets were trained with.
    """
    if images.shape[-1] == 1:
        images = tf.image.grayscale_to_rgb(images)
    return images * 2.0 - 1.0
