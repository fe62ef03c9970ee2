"""The zoo: reference models, each in three versions that are proven equal.

Importing this package, listing models and looking one up import neither keras nor tensorflow.
"""

from .registry import (
    FAMILIES,
    STAGES,
    check_stage,
    create,
    default_options,
    get_variant,
    in_stage,
    list_models,
    model_class,
    nearest_models,
    nets,
    source_file,
    stage_of,
)
from .variant import Published, Variant

__all__ = [
    "FAMILIES",
    "STAGES",
    "Published",
    "Variant",
    "check_stage",
    "create",
    "default_options",
    "get_variant",
    "in_stage",
    "list_models",
    "model_class",
    "nearest_models",
    "nets",
    "source_file",
    "stage_of",
]
