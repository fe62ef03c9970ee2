"""`tf.compat.v1.layers.experimental`, which is left out."""

from __future__ import annotations

from typing import NoReturn

from .autograph import without_autograph


@without_autograph
def keras_style_scope() -> NoReturn:
    """Left out: layers that keep their weights themselves are Keras'.

    Raises:
        NotImplementedError: always.
    """
    _leave_out("keras_style_scope")


@without_autograph
def set_keras_style() -> NoReturn:
    """Left out, as `keras_style_scope`.

    Raises:
        NotImplementedError: always.
    """
    _leave_out("set_keras_style")


def _leave_out(name: str) -> NoReturn:
    raise NotImplementedError(
        f"tf.compat.v1.layers.experimental.{name} makes layers that keep their weights themselves, "
        "apart from variable scopes. Leave it out: layer objects share their weights from call to "
        "call anyway. Or take Keras' layers, by get_or_create_layer in a decorated method."
    )
