"""The benchmark `throughput`: which nets are compared with which, and which can't be."""

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shimzoo import models
from shimzoo.tools.benchmark import counterparts, rows, throughput_report, throughput_settings
from shimzoo.tools.benchmark.rows import Row
from shimzoo.tools.benchmark.throughput_settings import Entry, Settings, entries


def settings(**changes):
    return Settings(
        **{"model": "mobilenet_v1_0.25_128", "batch_size": 2, "image_size": 32, **changes}
    )


@given(
    model=st.sampled_from(models.list_models()),
    backend=st.sampled_from(throughput_settings.BACKENDS),
    stage=st.sampled_from(models.STAGES),
)
def test_contenders_by_default_are_those_that_have_the_net(model, backend, stage):
    given_settings = settings(model=model, image_size=models.get_variant(model).input_size)
    found = entries(given_settings, stage, backend)
    assert found[0].name == stage
    assert found[-1].kind == "matrix_product"
    assert len({entry.name for entry in found}) == len(found)
    kinds = {entry.kind for entry in found}
    has_keras = counterparts.keras_application(model) is not None
    assert ("keras_applications" in kinds) == has_keras
    has_slim = model in counterparts.SLIM_NETS
    assert ("tf1_session" in kinds) == (has_slim and backend == "tensorflow")
    in_torch = {counterparts.torchvision_model(model), counterparts.timm_model(model)} != {None}
    assert bool(kinds & {"torchvision", "timm"}) == in_torch


def test_counterparts_are_of_the_zoo_and_exist_where_they_are_installed():
    keras = pytest.importorskip("keras")
    of_keras = [counterparts.keras_application(model) for model in models.list_models()]
    names = {found[0] for found in of_keras if found}
    assert len(names) == 12
    assert all(hasattr(keras.applications, name) for name in names)
    assert counterparts.SLIM_NETS.keys() <= set(models.list_models())
    assert counterparts.keras_application("mobilenet_v3_small_minimalistic_1.0_224") == (
        "MobileNetV3Small",
        {"alpha": 1.0, "minimalistic": True, "include_preprocessing": False},
    )
    assert counterparts.keras_application("mobilenet_edgetpu_1.0_224") is None
    if importlib.util.find_spec("timm") is not None:
        import timm

        found = {counterparts.timm_model(model) for model in models.list_models()} - {None}
        assert found <= set(timm.list_models())


def test_settings_go_to_a_contenders_process_and_back():
    original = settings(options={"batch_norm_decay": 0.9}, phases=("training",), replicas=None)
    assert Settings.from_json(original.to_json()) == original


@pytest.mark.parametrize(
    ("name", "missing", "command"),
    [
        ("native:jax", {"jax"}, "'shimzoo[jax]'"),
        ("timm", {"torch", "timm"}, "'shimzoo[torch]' timm"),
        ("torchvision", {"torchvision"}, "torchvision"),
    ],
)
def test_what_is_not_installed_says_how_to(monkeypatch, name, missing, command):
    monkeypatch.setattr(
        throughput_settings.importlib.util,
        "find_spec",
        lambda module: None if module in missing else module,
    )
    entry = Entry.parse(name, "tensorflow")
    wanted = f"not installed: pip install {command}"
    assert entry.hindrance(settings(model="mobilenet_v2_1.0_224")) == wanted


def test_stages_that_need_tensorflow_say_so():
    entry = Entry.parse("shimmed", "jax")
    assert entry.hindrance(settings()) == "runs on TensorFlow alone, and the backend is jax"


@pytest.mark.parametrize(
    ("model", "options", "unlike"),
    [
        ("mobilenet_v1_1.0_224", {"depth_multiplier": 0.25}, {"keras_applications", "timm"}),
        ("mobilenet_v1_1.0_224", {"depth_multiplier": 1.0}, set()),
        ("mobilenet_v1_1.0_224", {"weight_decay": 0.0}, set()),
        ("mobilenet_v1_1.0_224", {"weight_decay": 0.1}, {"keras_applications"}),
        ("inception_v3", {"create_aux_logits": False}, set()),
        ("inception_v3", {"create_aux_logits": True}, set()),
        (
            "inception_v3",
            {"dropout_keep_prob": 0.5},
            {"keras_applications", "torchvision", "timm", "tf1_session"},
        ),
        (
            "resnet_v1_50",
            {"output_stride": 8},
            {"keras_applications", "torchvision", "tf1_session"},
        ),
    ],
)
def test_a_net_that_can_not_follow_an_option_is_not_compared(model, options, unlike):
    given_settings = settings(model=model, image_size=299, options=options)
    found = entries(given_settings, "native", "tensorflow")
    kinds = {entry.kind for entry in found} | unlike
    for kind in kinds - {"native", "matrix_product"}:
        reason = Entry.parse(kind, "tensorflow").hindrance(given_settings) or ""
        words = ", ".join(f"{name}={value}" for name, value in options.items())
        assert reason.startswith(f"its net can't follow {words}") == (kind in unlike)
    # It is a row that says why, and not left out.
    assert "keras_applications" in {entry.kind for entry in found}


@pytest.mark.parametrize(("jit", "compiled"), [(None, ["native"]), (True, ...), (False, [])])
def test_each_backend_decides_for_its_own_contenders_whether_they_are_compiled(jit, compiled):
    given_settings = settings(jit_compile=jit)
    others = ("native:tensorflow", "keras_applications:torch")
    found = entries(given_settings, "native", "jax", others)[:3]
    facts = {
        entry.name: throughput_report.stage_and_backend(entry, given_settings) for entry in found
    }
    expected = list(facts) if compiled is ... else compiled
    assert [name for name, fact in facts.items() if fact["jit_compile"]] == expected
    [said, *_] = throughput_report.notes(given_settings, facts)
    assert said.endswith(f"jit_compile: {', '.join(expected) or 'none'}")


def test_a_quarter_of_the_width_is_no_targets():
    row = Row.ratio("native", "training", [0.5] * 5, "keras_applications", [1.0] * 5)
    for options, outcome in (({}, "ok"), ({"depth_multiplier": 0.25}, "")):
        given_settings = settings(
            model="mobilenet_v1_1.0_224",
            batch_size=8,
            image_size=224,
            options=options,
        )
        native = Entry.parse("native", "tensorflow")
        facts = {
            "native": throughput_report.sizes(given_settings)
            | throughput_report.stage_and_backend(native, given_settings)
            | {"threads": 2}
        }
        [judged] = rows.judged([row], throughput_report.lines([row], facts))
        assert judged.outcome == outcome


def test_torchvisions_net_has_an_auxiliary_head_where_the_zoos_has_one():
    for model, expected in (
        ("inception_v1", False),
        ("inception_v3", True),
        ("resnet_v1_50", None),
    ):
        for has_one in {expected is True, False}:
            made = counterparts.torchvision_arguments(model, has_one)
            assert made == ({} if expected is None else {"aux_logits": has_one})
