"""Which tensor of a checkpoint a variable is to be filled from."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from .names import names_of

if TYPE_CHECKING:
    from .names import AnyVariable


def tensors_for(
    variables: list[AnyVariable],
    stored: Collection[str],
    assignment_map: Mapping[str, str] | None = None,
) -> dict[str, AnyVariable]:
    """The variables under the names of the tensors they are to be filled from.

    Args:
        variables: A model's variables.
        stored: Names of the checkpoint's tensors. A native variable that `tf.compat.v1.layers` and
            TF-Slim name differently goes by the name that is there; by TF-Slim's if none is.
        assignment_map: As for `restore`; without it all variables go by their own names.

    Returns:
        Name of a tensor -> variable, in the variables' order. The tensor need not exist.

    Raises:
        ValueError: Two variables have the same name, or the map names something that no variable
            of the model is or is in.
    """
    assigned: dict[str, AnyVariable] = {}
    used: set[str] = set()
    for variable in variables:
        names = names_of(variable)
        if assignment_map is not None:
            sources = [source for name in names for source in _sources(name, assignment_map)]
            used.update(own for _, own in sources)
            names = [tensor for tensor, _ in sources]
        if not names:
            continue
        name = next((name for name in names if name in stored), names[0])
        if name in assigned:
            raise ValueError(
                f"Two variables have the TF1 name {name} (paths {names_of(assigned[name])[-1]} and "
                f"{names_of(variable)[-1]}): give their layers different names."
            )
        assigned[name] = variable
    for tensor, own in (assignment_map or {}).items():
        if own not in used:
            known = [name for variable in variables for name in names_of(variable)]
            near = difflib.get_close_matches(own, known, n=1)
            raise ValueError(
                f"assignment_map maps {tensor!r} to {own!r}, which is no variable of the model and "
                "no scope ('<scope>/', '/' for all) that one is in, or one is a scope and the "
                f"other is none.{f' Near it: {near[0]}.' if near else ''}"
            )
    return assigned


def _sources(name: str, assignment_map: Mapping[str, str]) -> list[tuple[str, str]]:
    """Tensors that the map assigns to a variable, with what they are assigned to."""
    sources = []
    for tensor, own in assignment_map.items():
        if tensor.endswith("/") and own.endswith("/"):
            scope, own_scope = tensor.removeprefix("/"), own.removeprefix("/")
            if name.startswith(own_scope):
                sources.append((scope + name.removeprefix(own_scope), own))
        elif name == own and not tensor.endswith("/"):
            sources.append((tensor, own))
    return sources
