"""What MobileNet v3 has of its own: gates, settings and depths that no table shows, and figures."""

import keras
import numpy as np
import pytest
from shimzoo import checkpoints, models
from shimzoo.models.mobilenet_v3 import published, variants
from shimzoo.tests.data import goldens
from shimzoo.tests.models.tolerances import SAME, assert_close

SMALL = "mobilenet_v3_small_1.0_224"
EDGETPU = "mobilenet_edgetpu_1.0_224"


def create(name, stage, **options):
    """A model with formula weights, without dropout."""
    model = models.create(name, stage, **{"dropout_keep_prob": 1.0, "input_size": 64, **options})
    for weight in model.weights:
        weight.assign(goldens.value(checkpoints.tf1_name(weight), tuple(weight.shape)))
    return model


def plan_of(name, **options):
    variant = models.get_variant(name)
    return variants.Plan.of(variant, variants.Options.of(variant, **options))


def test_gates_multiply_by_slims_factor():
    """A sixth instead moves the logits by 5e-5 of the largest."""
    model = create(SMALL, "native", input_size=224)
    logits = model(goldens.image((2, 224, 224, 3)))
    assert_close(logits, goldens.outputs(SMALL)["eval_logits"], SAME)


@pytest.mark.parametrize("name", [SMALL, EDGETPU])
@pytest.mark.parametrize(
    ("options", "logits_shape"),
    [
        ({"global_pool": False, "spatial_squeeze": False}, (2, 2, 3, 7)),
        ({"global_pool": False, "spatial_squeeze": False, "output_stride": 8}, (2, 8, 12, 7)),
        ({"spatial_squeeze": False, "output_stride": 16}, (2, 1, 1, 7)),
        # Not a multiple of 8, so that the first block gets an expansion.
        ({"depth_multiplier": 0.35, "min_depth": 12}, (2, 7)),
        ({"depth_multiplier": 1.4, "finegrain_classification_mode": True}, (2, 7)),
    ],
)
def test_settings_are_the_same_in_every_version(name, options, logits_shape):
    images = goldens.image((2, 64, 96, 3))
    shimmed = create(name, "shimmed", num_classes=7, **options)
    expected = shimmed.end_points(images)
    assert expected["Logits"].shape == logits_shape
    for stage in ("partially_native", "native"):
        model = create(name, stage, num_classes=7, **options)
        assert [checkpoints.tf1_name(weight) for weight in model.weights] == [
            checkpoints.tf1_name(weight) for weight in shimmed.weights
        ]
        actual = model.end_points(images)
        assert list(actual) == list(expected)
        for key in expected:
            assert_close(actual[key], expected[key], SAME, key)


@pytest.mark.parametrize("stage", models.STAGES)
def test_without_a_pool_every_pixel_is_convolved(stage):
    options = {"num_classes": None, "output_stride": 16}
    pixels = create(SMALL, stage, global_pool=False, **options)(goldens.image((2, 64, 64, 3)))
    assert pixels.shape == (2, 4, 4, 1024)
    end_points = create(SMALL, stage, **options).end_points(goldens.image((2, 64, 64, 3)))
    assert end_points["layer_13"].shape == (2, 4, 4, 576)
    assert end_points["global_pool"].shape == (2, 1, 1, 1024)
    assert_close(
        end_points["layer_14"], np.mean(end_points["layer_13"], (1, 2), keepdims=True), SAME
    )
    assert_close(end_points["global_pool"], end_points["layer_15"], SAME)


@pytest.mark.parametrize("stage", models.STAGES)
def test_images_of_unknown_and_uneven_size(stage):
    model = models.model_class(SMALL, stage)(SMALL, num_classes=7)
    assert model(keras.Input((None, None, 3))).shape == (None, 7)
    assert model(goldens.image((1, 40, 72, 3))).shape == (1, 7)


def test_depths():
    third = plan_of("mobilenet_v3_large_0.75_224").bottlenecks[2]
    assert (third.inner_depth, third.depth) == (72, 24)
    first = plan_of(SMALL, depth_multiplier=0.35, min_depth=12).bottlenecks[0]
    assert (first.expand_size, first.inner_depth, first.depth) == (1, 16, 12)
    for name, spared in {
        "mobilenet_v3_large_1.0_224": "pooled_depth",
        EDGETPU: "last_depth",
    }.items():
        for mode, depth in {False: 1792, True: 1280}.items():
            plan = plan_of(name, depth_multiplier=1.4, finegrain_classification_mode=mode)
            assert getattr(plan, spared) == depth


@pytest.mark.parametrize("in_file", [False, True])
def test_a_checkpoint_with_the_last_convolution_of_another_width(in_file, tmp_path):
    name, option = "mobilenet_v3_small_0.75_224", "finegrain_classification_mode"
    written = create(name, "native", **{option: in_file})
    checkpoints.save(written, tmp_path / "model.ckpt", format="tf1")
    depth, other = (1024, 768) if in_file else (768, 1024)
    message = rf"biases is float32\[{depth}\] in the file and float32\[{other}\] in the model"
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(
            create(name, "native", **{option: not in_file}), tmp_path / "model.ckpt"
        )


@pytest.mark.parametrize("name", [SMALL, "mobilenet_v3_small_0.75_224"])
def test_published_parameters_fit_1280_channels_behind_the_pool(name):
    plan = plan_of(name)
    more = (1280 - plan.pooled_depth) * (plan.last_depth + 1 + published.NUM_CLASSES)
    parameters = goldens.table(name)["parameters_trainable"] + more
    assert parameters // 100_000 / 10 == models.get_variant(name).published.parameters_millions
