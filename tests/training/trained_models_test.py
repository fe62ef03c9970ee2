"""What a checkpoint is of: from a run's config.json, or as the user says."""

import dataclasses

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
    with pytest.raises(FileNotFoundError, match=r"no checkpoint yet: .* after `--save-every` s"):
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
    assert trained_models.find(run, preprocessing="vgg").preprocessing == "vgg"
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


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (2, "names 2 classes, and the model has 10: a line for each is needed\\."),
        (9, "class 0 is the background"),
    ],
)
def test_labels_of_another_number_of_classes_are_told(run, tmp_path, lines, words):
    path = tmp_path / "labels.txt"
    path.write_text("".join(f"{i}:name {i}\n" for i in range(lines)))
    with pytest.raises(ValueError, match=words):
        trained_models.find(run, labels=path)


def test_labels_name_the_classes(run, tmp_path):
    path = tmp_path / "labels.txt"
    path.write_text("\n".join("abcdefghij"))
    assert trained_models.find(run, labels=path).class_names == tuple("abcdefghij")
