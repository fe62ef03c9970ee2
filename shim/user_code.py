"""Where in the user's code a call comes from."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

# Neither a line nor an object of these says who asks.
_LIBRARIES = ("tensorflow.", "keras.", "tf_keras.", "tf_slim.", f"{__package__}.")
# The function that runs a decorated method.
_ENTRY = (f"{__package__}.tracking", "run_decorated")


def users_line() -> str:
    """The innermost line of the user's code: file and number."""
    frame = next(filter(_is_users, _frames()), None)
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def path_through_call() -> tuple[tuple[tuple[str, int, int], ...], list[Any]]:
    """How the innermost decorated call has come to here, through the user's code.

    Returns:
        `(path, objects)`: a point of the code for each function, the innermost first; and the
        objects whose methods they are.
    """
    in_call = itertools.takewhile(lambda frame: not _is_entry(frame), _frames())
    frames = list(filter(_is_users, in_call))
    path = ((f.f_code.co_name, f.f_code.co_firstlineno, f.f_lasti) for f in frames)
    return tuple(path), [self for frame in frames for self in _objects_of(frame)]


def _frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_entry(frame: FrameType) -> bool:
    return (frame.f_globals.get("__name__"), frame.f_code.co_name) == _ENTRY


def _is_users(frame: FrameType) -> bool:
    return not f"{frame.f_globals.get('__name__')}.".startswith(_LIBRARIES)


def _objects_of(frame: FrameType) -> Iterator[Any]:
    """What may be a method's `self`, also of one around a function within it."""
    code = frame.f_code
    first = code.co_varnames[: min(code.co_argcount, 1)]
    for name in (*first, *code.co_freevars):
        candidate = frame.f_locals.get(name)
        if hasattr(candidate, "__dict__"):
            yield candidate
