"""What other libraries have of the zoo's models: the same net, or the nearest that they have."""

from __future__ import annotations

import re

# TF-Slim's nets by the zoo's names, as module and function of `tf_slim.nets`.
SLIM_NETS = {
    **{f"resnet_{v}_{n}": f"resnet_{v}" for v in ("v1", "v2") for n in (50, 101, 152, 200)},
    **{f"inception_{v}": f"inception_{v}" for v in ("v1", "v2", "v3")},
}
_KERAS = {
    **{f"resnet_v1_{n}": f"ResNet{n}" for n in (50, 101, 152)},
    **{f"resnet_v2_{n}": f"ResNet{n}V2" for n in (50, 101, 152)},
    "inception_v3": "InceptionV3",
    "inception_resnet_v2": "InceptionResNetV2",
}
_TORCHVISION = {
    **{f"resnet_v1_{n}": f"resnet{n}" for n in (50, 101, 152)},
    "inception_v1": "googlenet",
    "inception_v3": "inception_v3",
    "mobilenet_v2_1.0": "mobilenet_v2",
    "mobilenet_v3_large_1.0": "mobilenet_v3_large",
    "mobilenet_v3_small_1.0": "mobilenet_v3_small",
}
_TIMM = {
    **{f"resnet_v1_{n}": f"resnet{n}" for n in (50, 101, 152, 200)},
    **{f"resnet_v2_{n}": f"resnetv2_{n}" for n in (50, 101, 152)},
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "inception_resnet_v2": "inception_resnet_v2",
    "mobilenet_v1_1.0": "mobilenetv1_100",
    "mobilenet_v2_0.35": "mobilenetv2_035",
    "mobilenet_v2_0.5": "mobilenetv2_050",
    "mobilenet_v2_0.75": "mobilenetv2_075",
    "mobilenet_v2_1.0": "mobilenetv2_100",
    "mobilenet_v2_1.4": "mobilenetv2_140",
    "mobilenet_v3_large_0.75": "mobilenetv3_large_075",
    "mobilenet_v3_large_1.0": "mobilenetv3_large_100",
    "mobilenet_v3_small_0.75": "mobilenetv3_small_075",
    "mobilenet_v3_small_1.0": "mobilenetv3_small_100",
    "mobilenet_edgetpu_1.0": "mobilenet_edgetpu_100",
}
_KERAS_MOBILENET = re.compile(r"mobilenet_(v1|v2|v3_large|v3_small)(_minimalistic)?_(\d\.\d+)$")
_KERAS_MOBILENETS = {
    "v1": "MobileNet",
    "v2": "MobileNetV2",
    "v3_large": "MobileNetV3Large",
    "v3_small": "MobileNetV3Small",
}


def keras_application(model: str) -> tuple[str, dict[str, object]] | None:
    """What `keras.applications` has of a model.

    Args:
        model: a name of the zoo.

    Returns:
        The function's name and the arguments that make the variant; None if there is none.
    """
    net = _without_size(model)
    if net in _KERAS:
        return _KERAS[net], {}
    if found := _KERAS_MOBILENET.match(net):
        version, minimalistic, alpha = found.groups()
        arguments: dict[str, object] = {"alpha": float(alpha)}
        if version.startswith("v3"):
            # Images come in the range that the zoo's models take.
            arguments |= {"minimalistic": bool(minimalistic), "include_preprocessing": False}
        return _KERAS_MOBILENETS[version], arguments
    return None


def torchvision_model(model: str) -> str | None:
    """The name in `torchvision.models`; None if there is none."""
    return _TORCHVISION.get(_without_size(model))


def timm_model(model: str) -> str | None:
    """The name in timm; None if there is none."""
    return _TIMM.get(_without_size(model))


def torchvision_arguments(model: str, has_auxiliary_head: bool) -> dict[str, object]:
    """What makes torchvision's model the same net; arguments of its function.

    Args:
        model: a name of the zoo.
        has_auxiliary_head: whether the zoo's model has one.
    """
    is_inception = torchvision_model(model) in ("googlenet", "inception_v3")
    return {"aux_logits": has_auxiliary_head} if is_inception else {}


def has_option(library: str, model: str, name: str, value: object) -> bool:
    """Whether a library's net can be made as an option makes the zoo's.

    Args:
        library: "keras_applications", "torchvision", "timm" or "tf1_session".
        model: a name of the zoo of which the library has the net.
        name: the option's name.
        value: its value, another than the usual one.
    """
    if name == "weight_decay":
        # PyTorch's are of the optimizer; keras.applications' nets have none.
        return library in ("torchvision", "timm") or (library, value) == ("keras_applications", 0)
    if name != "create_aux_logits":
        return False
    if library in ("torchvision", "tf1_session"):
        return model == "inception_v3"
    return value is False  # The others' nets have no auxiliary heads.


def _without_size(model: str) -> str:
    """A name without the size of the images that MobileNets' names end in."""
    return re.sub(r"(?<=\d)_\d+$", "", model) if model.startswith("mobilenet") else model
