"""Which rungs of the parity ladder run on which models, and how large the images are there."""

from collections.abc import Callable, Collection

import pytest
from shimzoo import models

# These run with every `./zoo test`, the others with `-m large`: of each architecture the smallest,
# of Inception the one with an auxiliary head.
EVERYDAY = (
    "inception_v3",
    "mobilenet_v1_0.25_128",
    "mobilenet_v2_0.35_96",
    "mobilenet_v3_small_1.0_224",
    "resnet_v1_50",
    "resnet_v2_50",
)
# Used in every way, saved and misused, every day.
EVERYDAY_IN_USE = (
    "mobilenet_v1_0.25_128",
    "mobilenet_v2_0.35_96",
    "mobilenet_v3_small_1.0_224",
    "resnet_v1_50",
)
# What takes minutes, in processes of its own, runs with this one every day.
EVERYDAY_PROCESSES = ("mobilenet_v1_0.25_128",)
# Variables and end points at the published size, where there is a table of them.
EVERYDAY_TABLES = (
    *EVERYDAY,
    "inception_resnet_v2",
    "inception_v1",
    "inception_v2",
    "inception_v4",
    "mobilenet_edgetpu_1.0_224",
    "mobilenet_v1_1.0_224",
    "mobilenet_v2_1.0_224",
    "resnet_v1_101",
)

# In training with formula weights these give float32 logits that are off from float64's by more
# than the tolerances allow (Inception v4: by 0.0045 of the largest one, with XLA and without), so
# XLA is compared in float64 there. Each norm divides by the batch's deviation, and without
# shortcuts that widens the error of rounding from module to module.
WIDENS_ROUNDING = ("inception_v4",)

# Ends of the names of end points that are logits; the last of a model is what it returns.
LOGITS = ("Logits", "/spatial_squeeze")

# At 155 the last convolution of an auxiliary head over its whole map has 2x2 weights.
_INPUT_SIZES = {
    "inception_v1": 64,
    "inception_v2": 64,
    "inception_v3": 139,
    "inception_v4": 155,
    "inception_resnet_v2": 155,
}
_LAST_MAPS = {
    "resnet": "{scope}/block4",
    "mobilenet_v1": "Conv2d_13_pointwise",
    "mobilenet_v2": "layer_19",
    "mobilenet_v3_large": "layer_17",
    "mobilenet_v3_small": "layer_13",
    "mobilenet_edgetpu": "layer_24",
}


def input_size(name: str) -> int:
    """Height and width of the images at which versions are compared with each other."""
    return next((size for key, size in _INPUT_SIZES.items() if name.startswith(key)), 64)


def is_first_of_its_net(name: str) -> bool:
    """Whether no other model is the same net for smaller images.

    At the size of `input_size` all of a net compute the same, so the ladder climbs one of them.
    """
    return any(name == names[0] for names in models.nets())


def nets(everyday: Collection[str] = EVERYDAY) -> list:
    """Test parameters: a model of each net."""
    return names(is_first_of_its_net, everyday)


def names(is_wanted: Callable[[str], bool], everyday: Collection[str] = EVERYDAY) -> list:
    """Test parameters: the models that are wanted, `large` if not for every day.

    Tests of one model share a worker, and so what they have made of it.
    """
    return [
        pytest.param(
            name,
            marks=[
                pytest.mark.xdist_group(name),
                *([] if name in everyday else [pytest.mark.large]),
            ],
        )
        for name in models.list_models()
        if is_wanted(name)
    ]


def without_dropout(name: str) -> dict[str, float]:
    """The option that turns dropout off; ResNet has none."""
    return {} if name.startswith("resnet") else {"dropout_keep_prob": 1.0}


def has_output_stride(name: str) -> bool:
    """Whether the model can be made atrous."""
    return any(name.startswith(key) for key in _LAST_MAPS)


def is_atrous_net(name: str) -> bool:
    """Whether it is the first of its net, and the net can be made atrous."""
    return is_first_of_its_net(name) and has_output_stride(name)


def last_map(name: str) -> str:
    """The end point with the last map before pooling."""
    ending = next(value for key, value in _LAST_MAPS.items() if name.startswith(key))
    return ending.format(scope=models.get_variant(name).scope)
