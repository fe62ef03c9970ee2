"""`shimzoo ...`: a thin front of typer over the rooms.

No command imports TensorFlow, keras or numpy before it needs them, so that `--help`, `list`,
`show` and the report of a wrong setting come at once.
"""

from .command_line import main

__all__ = ["main"]
