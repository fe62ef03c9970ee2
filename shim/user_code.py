"""Where in the user's code a call comes from."""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Neither a line nor an object of these says who asks.
_LIBRARIES = ("tensorflow.", "keras.", "tf_keras.", "tf_slim.", f"{__package__}.")
# The function that runs a decorated method.
_ENTRY = (f"{__package__}.tracking", "run_decorated")


def users_line() -> str:
    """The innermost line of the user's code: file and number."""
    frame = users_frame()
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def users_frame() -> FrameType | None:
    """The innermost frame of the user's code."""
    return next(filter(is_users, _frames()), None)


def warn_at(frame: FrameType | None, message: str) -> None:
    """Warns of the line that a frame of the user's code is at."""
    if frame is None:
        warnings.warn(message, stacklevel=2)
    else:
        warn_of_line(frame.f_globals, frame.f_code.co_filename, frame.f_lineno, message)


def warn_of_line(module: dict[str, Any], filename: str, line: int, message: str) -> None:
    """Warns of a line in the user's code, whose module has these globals."""
    warnings.warn_explicit(
        message,
        UserWarning,
        filename,
        line,
        module=module.get("__name__"),
        registry=module.setdefault("__warningregistry__", {}),
    )


def path_through_call() -> tuple[tuple[tuple[str, int, int], ...], list[Any]]:
    """How the innermost decorated call has come to here, through the user's code.

    Returns:
        `(path, objects)`: a point of the code for each function, the innermost first; and the
        objects whose methods they are.
    """
    in_call = itertools.takewhile(lambda frame: not _is_entry(frame), _frames())
    frames = list(filter(is_users, in_call))
    path = ((f.f_code.co_name, f.f_code.co_firstlineno, f.f_lasti) for f in frames)
    return tuple(path), [self for frame in frames for self in _objects_of(frame)]


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_entry(frame: FrameType) -> bool:
    return (frame.f_globals.get("__name__"), frame.f_code.co_name) == _ENTRY


def is_users(frame: FrameType) -> bool:
    """Whether the frame's code is neither a library's nor the shim's."""
    return not f"{frame.f_globals.get('__name__')}.".startswith(_LIBRARIES)


def _objects_of(frame: FrameType) -> Iterator[Any]:
    """What may be a method's `self`, also of one around a function within it."""
    code = frame.f_code
    first = code.co_varnames[: min(code.co_argcount, 1)]
    for name in (*first, *code.co_freevars):
        candidate = frame.f_locals.get(name)
        if hasattr(candidate, "__dict__"):
            yield candidate
