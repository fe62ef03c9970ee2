"""Templates of `make_template` in decorated calls."""

from __future__ import annotations

import copy
import itertools
from typing import Any

from tensorflow.python.ops import template, variable_scope

from . import call_state
from .held_parts import ATTRIBUTE, contents

CALL_TEMPLATE = template.EagerTemplate.__call__
# Set on a template whose scope has the name that it keeps.
_IS_NAMED = "_tf1_is_named"


def call_template(eager_template: template.EagerTemplate, *args: Any, **kwargs: Any) -> Any:
    """Calls a template of `make_template`.

    It would keep the context manager that opens its scope for the next call, and with it the graph
    of the `tf.function`, the scopes of the decorated call and the thread that it was made in.
    """
    call = call_state.current_call()
    if call is None:
        return CALL_TEMPLATE(eager_template, *args, **kwargs)
    if _IS_NAMED not in vars(eager_template):
        _name_scopes(call.owner, eager_template)
    if not eager_template._variable_scope:
        return CALL_TEMPLATE(eager_template, *args, **kwargs)
    with (
        variable_scope.variable_scope(
            eager_template._variable_scope, reuse=variable_scope.AUTO_REUSE
        ),
        eager_template._template_store.as_default(),
    ):
        return eager_template._call_func(args, kwargs)


def _name_scopes(owner: Any, called: template.EagerTemplate) -> None:
    """Numbers the scopes that an object's templates got when they were made.

    TensorFlow counts them over the whole process, so the next object of a class would have other
    names. They are numbered here as in a TF1 graph with this object alone: those in attributes in
    the order they were made in, others as they are called.
    """
    taken = vars(owner)[ATTRIBUTE].store.template_scopes
    held = [part for _, part in contents(owner) if isinstance(part, template.EagerTemplate)]
    unnamed = {id(t): t for t in (*held, called) if _IS_NAMED not in vars(t)}
    with_scope = [t for t in unnamed.values() if t._variable_scope and not t._variables_created]
    for eager_template in sorted(with_scope, key=lambda t: _base_and_number(t)[1]):
        base = _base_and_number(eager_template)[0]
        numbered = (f"{base}_{number}" for number in itertools.count(1))
        name = next(n for n in itertools.chain([base], numbered) if n not in taken)
        taken.add(name)
        scope = copy.copy(eager_template._variable_scope)
        scope._name = scope._name_scope = name
        eager_template._variable_scope = scope
        eager_template._template_store.set_variable_scope_name(name)
    for eager_template in unnamed.values():
        setattr(eager_template, _IS_NAMED, True)


def _base_and_number(eager_template: template.EagerTemplate) -> tuple[str, int]:
    """The name that a template's scope was to have, and the number that TensorFlow added."""
    name = eager_template._variable_scope.name
    if name.endswith(eager_template._name):
        return name, 0
    base, _, number = name.rpartition("_")
    return base, int(number)
