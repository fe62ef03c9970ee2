"""Tracebacks that end at the user's line."""

from __future__ import annotations

import os
import types

import tensorflow as tf
from tensorflow.python.util import traceback_utils

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
    hide_own_frames()
    if not tf.debugging.is_traceback_filtering_enabled():
        return traceback
    return _without_internal_frames(traceback) or traceback


def hide_own_frames() -> None:
    """Lets TensorFlow leave out the shim's frames with its own, from an error's text as well.

    In a `tf.function` that names the frames of the code that was traced.
    """
    if _INTERNAL[0] not in traceback_utils._EXCLUDED_PATHS:
        traceback_utils._EXCLUDED_PATHS = (*traceback_utils._EXCLUDED_PATHS, _INTERNAL[0])


def ending_at_the_call(error: Exception) -> Exception:
    """The error without the frames below the function that raises it on, but those of users' code.

    For what users call outside of decorated methods.
    """
    if error.__traceback__ is None or not tf.debugging.is_traceback_filtering_enabled():
        return error
    return error.with_traceback(_without_internal_frames(error.__traceback__))


def _without_internal_frames(traceback: types.TracebackType) -> types.TracebackType | None:
    kept = []
    step: types.TracebackType | None = traceback
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(_INTERNAL):
            kept.append(step)
        step = step.tb_next
    users = None
    for step in reversed(kept):
        users = types.TracebackType(users, step.tb_frame, step.tb_lasti, step.tb_lineno)
    return users
