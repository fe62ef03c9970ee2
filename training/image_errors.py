"""Why an image can't be used, in a line."""

from __future__ import annotations

import tensorflow as tf

_LINE_CHARACTERS = 120


def line_of(error: tf.errors.OpError) -> str:
    """What TensorFlow says is wrong, without the operation's name and the full stop."""
    line = error.message.partition("\n")[0].removeprefix("{{function_node ")
    line = line.rpartition("}} ")[2].partition(" [Op:")[0]
    return line[:_LINE_CHARACTERS].rstrip(". ")


def decoding_error(image: tf.Tensor) -> str | None:
    """Looks for what keeps an image from being decoded as a whole.

    Args:
        image: A string scalar, an encoded image; or pixels, which need no decoding.

    Returns:
        What is wrong, as `line_of` has it; None if it can be decoded.
    """
    if image.dtype != tf.string:
        return None
    try:
        tf.io.decode_image(image, channels=3, expand_animations=False)
    except tf.errors.OpError as error:
        return line_of(error)
    return None
