"""What a trained model is measured on: as its run was read, or as the user says."""

import dataclasses
import pathlib

import pytest
from shimzoo.training import DEMO, measured_data, trained_models

NAME = "mobilenet_v1_0.25_128"
DIGITS = tuple("0123456789")


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
    return measured_data.data_settings(trained, **given)


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
        measured_data.data_settings(found, dataset=None)
    config = measured_data.data_settings(found, dataset="digits", batch_size=None)
    assert (config.model, config.dataset, config.image_size) == (NAME, "digits", 128)


@pytest.mark.parametrize(("classes", "offset"), [(11, -1), (9, 1)])
def test_one_class_more_or_less_may_be_the_background(tmp_path, classes, offset):
    found = trained_models.find(tmp_path / "a.ckpt", model=NAME, options={"num_classes": classes})
    config = measured_data.data_settings(found, dataset="digits")
    with pytest.raises(ValueError, match=rf"background class in front, .*-offset {offset}\."):
        measured_data.load_data(found, config)
    if offset < 0:
        shifted = measured_data.data_settings(found, dataset="digits", labels_offset=offset)
        assert len(measured_data.load_data(found, shifted).class_names) == classes


def test_another_number_of_classes_is_told(tmp_path):
    found = trained_models.find(tmp_path / "model.ckpt", model=NAME)
    config = measured_data.data_settings(found, dataset="digits")
    with pytest.raises(ValueError, match=r"has 1001 classes, and the dataset digits has 10"):
        measured_data.load_data(found, config)
