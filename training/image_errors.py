"""What TensorFlow's errors tell: why an image can't be used, and that memory did not suffice."""

from __future__ import annotations

import re

import tensorflow as tf

_OUT_OF_MEMORY = re.compile(r"\bOOM\b|\bout of memory\b|\bfailed to allocate\b", re.IGNORECASE)
_LINE_CHARACTERS = 120


def is_out_of_memory(error: Exception) -> bool:
    """Whether it is for want of memory, of which TensorFlow tells as of a full disk."""
    return isinstance(error, MemoryError) or bool(_OUT_OF_MEMORY.search(str(error)))


def line_of(error: tf.errors.OpError) -> str:
    """What TensorFlow says is wrong, without operation, device and full stop."""
    line = error.message.partition("\n")[0].removeprefix("{{function_node ")
    line = line.rpartition("}} ")[2].partition(" [Op:")[0].partition(" on /job:")[0]
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
