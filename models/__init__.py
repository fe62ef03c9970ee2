"""The zoo: reference models, each in three versions that are proven equal.

Importing this package, listing models and looking one up import neither keras nor tensorflow.
"""

from .registry import (
    STAGES,
    check_stage,
    create,
    get_variant,
    in_stage,
    list_models,
    model_class,
    nearest_models,
    stage_of,
)
from .variant import Published, Variant

__all__ = [
    "STAGES",
    "Published",
    "Variant",
    "check_stage",
    "create",
    "get_variant",
    "in_stage",
    "list_models",
    "model_class",
    "nearest_models",
    "stage_of",
]
