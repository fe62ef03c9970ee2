"""Listing, looking up and creating models by name."""

import inspect
import re
import subprocess
import sys

import keras
import pytest
from shimzoo import models

NAMES = [
    f"mobilenet_v1_{multiplier}_{size}"
    for multiplier in ("0.25", "0.5", "0.75", "1.0")
    for size in (128, 160, 192, 224)
]


def test_all_published_mobilenets_v1_are_listed():
    assert models.list_models("mobilenet_v1*") == NAMES
    assert models.list_models("mobilenet_v1_0.5*") == NAMES[4:8]
    assert models.list_models("no such model") == []


def test_listing_needs_neither_keras_nor_tensorflow():
    code = (
        "import sys; from shimzoo import models; "
        "models.get_variant(models.list_models('*')[0]); "
        "print({'keras', 'tensorflow', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_is_what_its_name_says(name):
    variant = models.get_variant(name)
    multiplier, size = name.removeprefix("mobilenet_v1_").split("_")
    assert (variant.depth_multiplier, variant.input_size) == (float(multiplier), int(size))
    assert variant.checkpoint == f"{name}.ckpt"
    assert variant.archive.endswith(f"/{name}.tgz")
    assert (variant.num_classes, variant.labels_offset) == (1001, 0)


@pytest.mark.parametrize("stage", models.STAGES)
def test_create(stage):
    model = models.create(NAMES[0], stage, num_classes=7, input_size=64, weight_decay=0.0)
    assert isinstance(model, keras.Model)
    assert model.built
    assert model.name == "MobilenetV1"
    assert model.variant is models.get_variant(NAMES[0])
    assert models.stage_of(model) == stage
    assert model.weights[-1].shape == (7,)


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("size", [0, -5, 224.0, "224", (224, 224), True])
def test_sizes_that_are_none(stage, size):
    message = re.escape(f"input_size={size!r} is not allowed: it has to be a whole number of pix")
    with pytest.raises(ValueError, match=f"^{message}"):
        models.create(NAMES[0], stage, input_size=size)


A_MODEL_OF = {models.get_variant(name).family: name for name in models.list_models()}
FAMILIES_WITHOUT_AUX_LOGITS = [
    family
    for family, name in A_MODEL_OF.items()
    if not hasattr(models.default_options(name), "create_aux_logits")
]


@pytest.mark.parametrize("family", models.FAMILIES)
def test_the_versions_have_one_signature(family):
    name = A_MODEL_OF[family]
    for method in ("__init__", "__call__", "call", "end_points", "get_config"):
        signatures = {
            inspect.signature(getattr(models.model_class(name, stage), method))
            for stage in models.STAGES
        }
        assert len(signatures) == 1, method


@pytest.mark.parametrize("stage", models.STAGES)
@pytest.mark.parametrize("family", FAMILIES_WITHOUT_AUX_LOGITS)
def test_images_of_unknown_size(family, stage):
    """Those with an auxiliary head are in `auxiliary_heads_test.py`."""
    model = models.model_class(A_MODEL_OF[family], stage)(A_MODEL_OF[family], num_classes=7)
    assert model(keras.Input((None, None, 3))).shape == (None, 7)


@pytest.mark.parametrize("stage", models.STAGES)
def test_the_same_model_in_another_stage(stage):
    model = models.create(NAMES[0], "native", num_classes=7, input_size=32, min_depth=16)
    other = models.in_stage(model, stage)
    assert models.stage_of(other) == stage
    assert other.get_config() == model.get_config()
    assert [weight.shape for weight in other.weights] == [weight.shape for weight in model.weights]


def test_unknown_names_come_with_the_nearest():
    with pytest.raises(ValueError, match=r"'mobilnet_v1_1.0_224'.*mean mobilenet_v1_1.0_224"):
        models.create("mobilnet_v1_1.0_224")
    first = models.list_models()[0]
    with pytest.raises(ValueError, match=f"no model 'x'; known are {first}, "):
        models.get_variant("x")
    for stage in ("nativ", "x", None):
        with pytest.raises(ValueError, match=f"{stage!r}: stages are shimmed, partially_native, "):
            models.create(NAMES[0], stage)


def test_unknown_families_come_with_that_of_the_models():
    with pytest.raises(ValueError, match=r"no family 'mobilenet_v1': models .* mobilenet\.$"):
        models.source_file("mobilenet_v1", "native")
    with pytest.raises(ValueError, match=r"no family 'x': families are inception_resnet_v2, "):
        models.source_file("x", "native")


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("mobilenet_v1_025", "mobilenet_v1_0.25_128"),
        ("mobilenet_v1_1", "mobilenet_v1_1.0_128"),
        ("resnet", "resnet_v1_50"),
        ("ResNet_v2", "resnet_v2_50"),
        ("MobileNet-v1-0.75-224", "mobilenet_v1_0.75_224"),
        ("mobilenet_v1_10_224", "mobilenet_v1_1.0_224"),
        ("mobilenet_v1_0.5_16", "mobilenet_v1_0.5_160"),
        ("mobilnet_v1_0.5_160", "mobilenet_v1_0.5_160"),
        ("mobilenet*25_192", "mobilenet_v1_0.25_192"),
    ],
)
def test_the_nearest_name_comes_first(text, first):
    assert models.nearest_models(text)[0] == first


@pytest.mark.parametrize("text", ["", "%%%", "x"])
def test_what_resembles_nothing_has_no_nearest_name(text):
    assert models.nearest_models(text) == []
