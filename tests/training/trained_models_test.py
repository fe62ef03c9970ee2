"""What a checkpoint is of: from a run's config.json, or as the user says."""

import dataclasses
import pathlib

import hypothesis
import hypothesis.strategies as st
import pytest
from shimzoo import models
from shimzoo.training import DEMO, trained_models
from shimzoo.training.run_directory import RunDirectory

NAME = "mobilenet_v1_0.25_128"
DIGITS = tuple("0123456789")


@pytest.fixture
def run(tmp_path):
    directory = tmp_path / "run"
    RunDirectory(directory).create(
        {"config": dataclasses.asdict(DEMO.config), "resolved": {"class_names": DIGITS}}
    )
    (directory / "checkpoints").mkdir()
    return directory


def test_a_run_stands_for_its_final_weights_or_its_newest_checkpoint(run):
    assert trained_models.find(run).checkpoint == run / "checkpoints"
    (run / "final.weights.h5").write_text("")
    (run / "best.weights.h5").write_text("")
    assert trained_models.find(run).checkpoint == run / "final.weights.h5"


def test_a_run_without_a_checkpoint_is_told(run):
    (run / "checkpoints").rmdir()
    with pytest.raises(FileNotFoundError, match="has no checkpoint yet"):
        trained_models.find(run)


@pytest.mark.parametrize("inside", ["", "final.weights.h5", "checkpoints/step-22"])
def test_a_run_says_what_its_checkpoints_are_of(run, inside):
    found = trained_models.find(run / inside)
    assert (found.model, found.stage, found.image_size) == (NAME, "native", DEMO.config.image_size)
    assert (found.num_classes, found.class_names, found.run) == (10, DIGITS, DEMO.config)


def test_a_relative_path_below_a_run_is_of_it(run, monkeypatch):
    monkeypatch.chdir(run)
    assert trained_models.find(run / "final.weights.h5").run == DEMO.config


def test_the_user_may_choose_stage_and_size_but_not_another_model(run):
    found = trained_models.find(run, stage="shimmed", image_size=64)
    assert (found.stage, found.image_size) == ("shimmed", 64)
    with pytest.raises(ValueError, match=f"trained {NAME}, and --model is resnet_v1_50"):
        trained_models.find(run, model="resnet_v1_50")


def test_the_preprocessing_is_the_runs_or_the_models_or_as_asked(run, tmp_path):
    assert trained_models.find(run).preprocessing == DEMO.config.preprocessing == "resize"
    other = tmp_path / "model.ckpt"
    assert trained_models.find(other, model=NAME).preprocessing == "inception"
    asked = trained_models.find(run, preprocessing="vgg")
    assert trained_models.data_settings(asked).preprocessing == asked.preprocessing == "vgg"
    with pytest.raises(ValueError, match="no preprocessing 'slim': there are inception"):
        trained_models.find(run, preprocessing="slim")


def test_other_checkpoints_need_the_model(tmp_path):
    path = tmp_path / "model.ckpt"
    with pytest.raises(ValueError, match=r"pass --model NAME; `shimzoo inspect .*model.ckpt`"):
        trained_models.find(path)
    found = trained_models.find(path, model=NAME)
    variant = models.get_variant(NAME)
    assert (found.num_classes, found.image_size) == (variant.num_classes, variant.input_size)
    assert (found.class_names, found.stage, found.run) == (None, "native", None)
    assert trained_models.find(path, model=NAME, options={"num_classes": 7}).num_classes == 7


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"model": "resnet"}, "no model 'resnet'"),
        ({"stage": "naive"}, "no stage 'naive'"),
        ({"image_size": 0}, "image_size=0 is not allowed"),
        ({"options": {"num_classes": None}}, "num_classes=None is not allowed"),
        ({"options": {"num_classes": 0}}, "num_classes=0 is not allowed"),
    ],
)
def test_wrong_settings_are_told(tmp_path, wrong, words):
    with pytest.raises(ValueError, match=words):
        trained_models.find(tmp_path, **{"model": NAME} | wrong)


def settings_of(config, **given):
    """Data settings for a model of a run with these settings, in the stage `shimmed`."""
    trained = trained_models.TrainedModel(
        checkpoint=pathlib.Path("run"),
        model=config.model,
        stage="shimmed",
        image_size=48,
        preprocessing="vgg",
        num_classes=10,
        options={},
        class_names=DIGITS,
        ema="auto",
        run=config,
    )
    return trained_models.data_settings(trained, **given)


def test_a_run_is_read_as_it_was_trained():
    run = dataclasses.replace(
        DEMO.config,
        dataset="cifar10",
        data_dir="prepared",
        labels_offset=-1,
        batch_size=7,
        max_bad_fraction=0.5,
    )
    config = settings_of(run, dataset=None)
    assert (config.model, config.stage) == (NAME, "shimmed")
    assert (config.image_size, config.preprocessing) == (48, "vgg")
    for name in ("dataset", "data_dir", "labels_offset", "batch_size", "max_bad_fraction"):
        assert getattr(config, name) == getattr(run, name)
    asked = settings_of(run, dataset="cifar10", data_dir="other", labels_offset=0, batch_size=5)
    assert (asked.data_dir, asked.labels_offset, asked.batch_size) == ("other", 0, 5)


def test_another_dataset_is_not_read_as_the_runs():
    run = dataclasses.replace(DEMO.config, dataset="cifar10", data_dir="a", labels_offset=-1)
    config = settings_of(run, dataset="digits")
    assert (config.dataset, config.data_dir, config.labels_offset) == ("digits", None, 0)
    assert (config.batch_size, config.preprocessing) == (run.batch_size, "vgg")
    with pytest.raises(ValueError, match="--data-dir"):
        settings_of(run, dataset="cifar100")


def test_what_a_run_said_of_training_keeps_no_stage_from_being_measured():
    run = dataclasses.replace(DEMO.config, sync_batch_norm=True, mixup=0.2, strategy="mirrored")
    config = settings_of(run)
    assert (config.stage, config.sync_batch_norm) == ("shimmed", False)
    assert (config.mixup, config.strategy) == (0.0, "auto")


def test_without_a_run_a_dataset_has_to_be_named(tmp_path):
    found = trained_models.find(tmp_path / "model.ckpt", model=NAME)
    with pytest.raises(ValueError, match="pass --dataset NAME"):
        trained_models.data_settings(found, dataset=None)
    config = trained_models.data_settings(found, dataset="digits", batch_size=None)
    assert (config.model, config.dataset, config.image_size) == (NAME, "digits", 128)


def test_another_number_of_classes_is_told(tmp_path):
    found = trained_models.find(tmp_path / "model.ckpt", model=NAME)
    config = trained_models.data_settings(found, dataset="digits")
    with pytest.raises(ValueError, match=r"has 1001 classes, and the dataset digits has 10"):
        trained_models.load_data(found, config)


names = st.lists(
    st.text(st.characters(categories=["L", "Nd", "Zs"]), min_size=1).map(str.strip).filter(bool),
    min_size=1,
    max_size=20,
)


@hypothesis.settings(
    max_examples=50, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(names, st.randoms(use_true_random=False))
def test_labels_are_read_in_their_order_or_by_their_numbers(tmp_path, names, random):
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(names) + "\n", "utf-8")
    assert trained_models.read_labels(path, len(names)) == tuple(names)
    numbered = [f"{number}:{name}" for number, name in enumerate(names)]
    random.shuffle(numbered)
    path.write_text("\n".join(numbered), "utf-8")
    assert trained_models.read_labels(path, len(names)) == tuple(names)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "names 0 classes"),
        (b"a\nb\n", "names 2 classes, and the model has 4"),
        (b"a\nb\nc\n", "class 0 is the background"),
        (b"0:a\n1:b\n1:c\n2:d\n", "numbers its 4 classes otherwise"),
        (b"1:a\n2:b\n3:c\n4:d\n", "numbers its 4 classes otherwise"),
        (b"\xff\xfe\x00", "not a text in UTF-8"),
    ],
)
def test_wrong_labels_are_told(tmp_path, text, words):
    path = tmp_path / "labels.txt"
    path.write_bytes(text)
    with pytest.raises(ValueError, match=words):
        trained_models.read_labels(path, 4)
