"""Tracebacks that end at the user's line."""

from __future__ import annotations

import os
import types

import tensorflow as tf

# Beside the user's code an error passes through that of the shim and of TensorFlow.
_INTERNAL = (os.path.dirname(__file__) + os.sep, tf.sysconfig.get_lib() + os.sep)


def users_frames(traceback: types.TracebackType) -> types.TracebackType:
    """The traceback without the shim's frames and those of TensorFlow below them.

    Args:
        traceback: of an error raised in a decorated method.

    Returns:
        The frames of everybody else's code; all frames after
        `tf.debugging.disable_traceback_filtering()` and where nothing else would be left.
    """
    if not tf.debugging.is_traceback_filtering_enabled():
        return traceback
    kept = []
    step: types.TracebackType | None = traceback
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(_INTERNAL):
            kept.append(step)
        step = step.tb_next
    if not kept:
        return traceback
    users = None
    for step in reversed(kept):
        users = types.TracebackType(users, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return users
