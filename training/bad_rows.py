"""How images that can't be used keep their places in a batch, inside `tf.data`."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from .bad_examples import BadExamples
from .datasets import Split

# `image`, `label`, and whether both can be used as `ok`; in training more.
Example = dict[str, tf.Tensor]


def checked(pixels: tf.Tensor, label: tf.Tensor, split: Split) -> Example:
    """An example that is ok if its label is one of the split's classes, and else has label 0."""
    ok = (label >= 0) & (label < split.num_classes)
    return {"image": pixels, "label": tf.where(ok, label, 0), "ok": ok}


def guarded(read: Callable[[], Example], split: Split, image_size: int) -> Example:
    """What `read` gives, or a black image that is not ok where it fails."""
    if split.in_memory:
        return read()
    instead = {
        "image": tf.zeros([image_size, image_size, 3]),
        "label": tf.constant(0),
        "ok": tf.constant(False),
    }
    # In a function, only a dataset can let an operation fail and go on.
    once = tf.data.Dataset.from_tensors(0).map(lambda _: read()).ignore_errors()
    return once.concatenate(tf.data.Dataset.from_tensors(instead)).take(1).get_single_element()


def finisher(
    num_own: int | None, bad: BadExamples | None
) -> Callable[[Example], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Makes what puts good examples in the places of bad ones, and takes the bad ones down.

    Args:
        num_own: Rows of the batch that are not only there to be mixed with; None for all.
        bad: Where to take them down.
    """

    def finish(batch: Example) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        ok = batch["ok"]
        good = tf.argmax(ok, output_type=tf.int32)
        numbers = tf.where(ok, tf.range(tf.size(ok)), good)
        images, labels = batch["image"], batch["label"]
        all_ok = tf.reduce_all(ok)
        noted = [] if bad is None else [_note(bad, batch, all_ok, num_own)]
        with tf.control_dependencies(noted):
            images = tf.cond(all_ok, lambda: images, lambda: tf.gather(images, numbers))
        return images, tf.gather(labels, numbers), tf.cast(ok[:num_own], tf.float32)

    return finish


def _note(bad: BadExamples, batch: Example, all_ok: tf.Tensor, num_own: int | None) -> tf.Tensor:
    def note() -> tf.Tensor:
        not_ok = ~batch["ok"][:num_own]
        where = [tf.boolean_mask(batch[key][:num_own], not_ok) for key in ("epoch", "index")]
        with tf.control_dependencies([tf.numpy_function(bad.note, where, [])]):
            return tf.constant(True)

    return tf.cond(all_ok, lambda: tf.constant(True), note)
