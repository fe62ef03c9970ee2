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


def read_batches(
    places: tf.data.Dataset, read: Callable[[Example], Example], split: Split
) -> tf.data.Dataset:
    """Reads the examples of batches, and leaves out those that fail.

    Args:
        places: Batches of what `read` takes, a dict of `[b]` with `index`.
        read: Gives one example of static shape.
        split: What is read.

    Returns:
        A dataset of the places of a batch, and of its examples, each with its `row` there; or one
        of zeros, which is not ok, where none could be read.
    """

    def read_batch(place: Example) -> tf.data.Dataset:
        size = tf.size(place["index"], tf.int64)
        rows = tf.data.Dataset.from_tensor_slices({**place, "row": tf.range(size)})
        examples = rows.map(
            lambda row: {**read(row), "row": row["row"]},
            num_parallel_calls=tf.data.AUTOTUNE,
            deterministic=True,
        )
        spec = examples.element_spec
        none = tf.nest.map_structure(lambda of: tf.zeros([1, *of.shape], of.dtype), spec)
        if not split.in_memory:
            examples = examples.ignore_errors()
        found = examples.batch(size).concatenate(tf.data.Dataset.from_tensors(none)).take(1)
        return tf.data.Dataset.zip(tf.data.Dataset.from_tensors(place), found)

    # Only a dataset can let an operation fail and go on, and to make one takes 0.1 ms: one a batch,
    # not one an image. TensorFlow begins twice `cycle_length` more batches than that, so the next
    # ones are under way while the last images of one are awaited: three in all.
    return places.interleave(read_batch, cycle_length=1, num_parallel_calls=1, deterministic=True)


def finisher(num_own: int | None, bad: BadExamples | None) -> Callable[[Example, Example], Example]:
    """Makes what puts good examples in the places of bad ones, and takes the bad ones down.

    Args:
        num_own: Rows of the batch that are not only there to be mixed with; None for all.
        bad: Where to take them down.

    Returns:
        A function of what `read_batches` gives. It returns examples in all places.
    """

    def finish(place: Example, found: Example) -> Example:
        size, rows = tf.size(place["index"]), found["row"][:, tf.newaxis]
        found = {name: values for name, values in found.items() if name != "row"}
        ok = tf.scatter_nd(rows, found["ok"], [size])
        all_ok = tf.reduce_all(ok)
        good = tf.argmax(found["ok"], output_type=tf.int32)
        own = tf.where(found["ok"], tf.range(tf.size(found["ok"])), good)
        numbers = tf.tensor_scatter_nd_update(tf.fill([size], good), rows, own)

        def gathered() -> Example:
            return tf.nest.map_structure(lambda values: tf.gather(values, numbers), found)

        noted = [] if bad is None else [_note(bad, place, ok[:num_own])]
        with tf.control_dependencies(noted):
            examples = tf.cond(all_ok, lambda: found, gathered)
        static = place["index"].shape
        examples = tf.nest.map_structure(
            lambda values: tf.ensure_shape(values, [*static, *values.shape[1:]]), examples
        )
        return {**examples, "ok": tf.ensure_shape(ok, static)}

    return finish


def _note(bad: BadExamples, place: Example, ok: tf.Tensor) -> tf.Tensor:
    def note() -> tf.Tensor:
        where = [tf.boolean_mask(place[key][: tf.size(ok)], ~ok) for key in ("epoch", "index")]
        with tf.control_dependencies([tf.numpy_function(bad.note, where, [])]):
            return tf.constant(True)

    return tf.cond(tf.reduce_all(ok), lambda: tf.constant(True), note)
