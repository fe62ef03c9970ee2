"""In which order a run reads its training images: a function of seed, epoch and place alone."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from .datasets import Split
from .train_config import TrainConfig


def rows_of_worker(
    batch_size: int, num_workers: int, worker_index: int, partners: int
) -> np.ndarray:
    """Which rows of each batch a worker reads.

    Args:
        batch_size: Rows of a batch.
        num_workers: Workers that share it; a divisor of its size.
        worker_index: Which of them this is.
        partners: Rows behind its own that it mixes with them.

    Returns:
        int `[batch_size / num_workers + partners]`.

    Raises:
        ValueError: The batch size is not divided evenly.
    """
    if batch_size % num_workers:
        raise ValueError(
            f"batch_size={batch_size} is not allowed with {num_workers} workers, who share a batch "
            f"evenly: take a multiple of {num_workers}."
        )
    share = batch_size // num_workers
    first = worker_index * share
    return np.arange(first, first + share + partners) % batch_size


def places(
    split: Split, config: TrainConfig, steps: int, first_step: int, rows: np.ndarray
) -> tf.data.Dataset:
    """What is to be read, in order, from a step of the run to its end.

    Args:
        split: The training part of a dataset.
        config: The run's settings.
        steps: Training steps in an epoch.
        first_step: Training steps that are already done.
        rows: Which rows of each batch.

    Returns:
        A dataset of batches: `epoch`, `place` in the epoch and `index` in the split, `[rows]` each.
    """
    first_epoch, steps_done = divmod(first_step, steps)
    grid = [steps, config.batch_size]
    in_epoch = tf.reshape(tf.range(steps * config.batch_size), grid)

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        order = split.order(epoch_seed(config.seed, epoch))
        indices = tf.reshape(order[: steps * config.batch_size], grid)
        begin = tf.where(epoch == first_epoch, steps_done, 0)
        place, index = (tf.gather(numbers[begin:], rows, axis=1) for numbers in (in_epoch, indices))
        chosen = {"epoch": tf.fill(tf.shape(place), epoch), "place": place, "index": index}
        return tf.data.Dataset.from_tensor_slices(chosen)

    # Only numbers are made an epoch at a time: what reads them goes on from epoch to epoch.
    return tf.data.Dataset.range(first_epoch, config.epochs).flat_map(of_epoch)


def read_until(
    split: Split, config: TrainConfig, steps: int, step: int, rows: np.ndarray
) -> tuple[int, np.ndarray]:
    """What a step's epoch has read when the step is done.

    Args:
        split: The training part of a dataset.
        config: The run's settings.
        steps: Training steps in an epoch.
        step: A step of the run, from 1.
        rows: Which rows of each batch.

    Returns:
        The epoch, from 0; and numbers in the split, int32 `[steps of the epoch * rows]`.
    """
    epoch, before = divmod(step - 1, steps)
    order = split.order(epoch_seed(config.seed, tf.constant(epoch, tf.int64))).numpy()
    batches = order[: (before + 1) * config.batch_size].reshape(-1, config.batch_size)
    return epoch, batches[:, rows].ravel()


def epoch_seed(seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """What the order of an epoch is drawn from, int32 `[2]`, and what distorts its images."""
    return tf.random.experimental.stateless_fold_in([seed, 0], epoch)
