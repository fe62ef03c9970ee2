"""What a trained model is measured on: as its run was read, or as the user says."""

import dataclasses
import pathlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from shimzoo.tests.training import image_files
from shimzoo.tests.training.reading import examples
from shimzoo.training import DEMO, datasets, measured_data, trained_models
from shimzoo.training.datasets.class_order import with_class_order

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
        recorded={},
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
        measured_data.load_data(found, config, print)
    if offset < 0:
        shifted = measured_data.data_settings(found, dataset="digits", labels_offset=offset)
        assert len(measured_data.load_data(found, shifted, print).class_names) == classes


def test_another_number_of_classes_is_told(tmp_path):
    found = trained_models.find(tmp_path / "model.ckpt", model=NAME)
    config = measured_data.data_settings(found, dataset="digits")
    with pytest.raises(ValueError, match=r"has 1001 classes, and the dataset digits has 10"):
        measured_data.load_data(found, config, print)


NAMES = ("ant", "bee", "cat")


@pytest.fixture
def folder(tmp_path):
    """A dataset of a folder without parts, with six images a class."""
    image_files.write_folder(tmp_path / "photos", dict.fromkeys(NAMES, 6))
    return tmp_path / "photos"


def of_run(dataset, class_names, labels=None, **recorded):
    """A model of a run on a dataset, whose classes had these names then."""
    return trained_models.TrainedModel(
        checkpoint=pathlib.Path("run"),
        model=NAME,
        stage="native",
        image_size=32,
        preprocessing="resize",
        num_classes=len(class_names),
        options={},
        class_names=tuple(labels or class_names),
        ema="auto",
        run=dataclasses.replace(DEMO.config, dataset=dataset),
        recorded={"class_names": list(class_names)} | recorded,
    )


def loaded(trained, dataset=None, part="test"):
    """The dataset that a model is measured on, and what is told of it."""
    told = []
    config = measured_data.data_settings(trained, dataset=dataset)
    return measured_data.load_data(trained, config, told.append, part), told


@hypothesis.given(order=st.permutations(NAMES))
@hypothesis.settings(
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture], deadline=None
)
def test_labels_are_those_of_the_models_classes_whatever_their_order(folder, order):
    data, told = loaded(of_run("digits", order), f"folder:{folder}")
    assert data.class_names == tuple(order)
    for split in (data.train, data.test):
        for index, example in enumerate(examples(split)):
            label = int(example["label"])
            assert label == split.labels[index]
            assert pathlib.Path(split.name_of(index)).parent.name == order[label]
    is_same = tuple(order) == NAMES
    assert told == [] if is_same else "classes in another order: its labels are" in told[0]


def test_a_label_that_is_no_class_is_none_in_another_order():
    labels = np.array([0, -1, 2, 3, 1], np.int32)
    split = datasets.ArraySplit(np.zeros([5, 1, 1, 1], np.uint8), labels, 3)
    data = with_class_order(datasets.Dataset("few", split, split, NAMES), ("cat", "ant", "bee"))
    assert data.train.labels.tolist() == [1, -1, 0, 3, 2]
    assert [int(example["label"]) for example in examples(data.train)] == [1, -1, 0, 3, 2]
    assert data.train.fingerprint != split.fingerprint


@pytest.mark.parametrize(
    ("class_names", "difference"),
    [(("ant", "bee", "cow"), "'cat' is none of the model's"), (("ant", "cat", "cat"), "'bee' is")],
)
def test_other_classes_than_the_runs_are_refused(folder, class_names, difference):
    trained = of_run("digits", class_names)
    with pytest.raises(ValueError, match="not those that 'run' was trained on: ") as refused:
        loaded(trained, f"folder:{folder}")
    assert difference in str(refused.value)
    assert "\n" not in str(refused.value)


def test_classes_that_share_a_name_are_not_matched_in_another_order(tmp_path):
    image_files.write_slim(tmp_path, {"a_train": 6, "a_test": 3})
    (tmp_path / "labels.txt").write_text("crane\nbee\ncrane\n")
    data, told = loaded(of_run("digits", ("crane", "bee", "crane")), f"tfrecord:{tmp_path}")
    assert (data.class_names, told) == (("crane", "bee", "crane"), [])
    with pytest.raises(ValueError, match="another one, and some have the same name"):
        loaded(of_run("digits", ("bee", "crane", "crane")), f"tfrecord:{tmp_path}")


def test_labels_say_which_of_a_datasets_names_are_the_models(folder):
    trained = of_run("digits", "xyz", labels=("cat", "ant", "bee"))
    data, told = loaded(trained, f"folder:{folder}")
    assert data.class_names == ("cat", "ant", "bee")
    assert len(told) == 1
    # What the run itself has recorded is not to be overruled.
    data, told = loaded(of_run("digits", NAMES, labels=("cat", "ant", "bee")), f"folder:{folder}")
    assert (data.class_names, told) == (NAMES, [])


def test_files_that_are_no_images_are_told(folder):
    (folder / NAMES[0] / "t.tiff").write_text("")
    _, (line,) = loaded(of_run(f"folder:{folder}", NAMES))
    assert line.startswith("left out 1 file that ends in none of ")


def test_a_dataset_that_has_changed_since_the_run_is_told(folder):
    name = f"folder:{folder}"
    before = datasets.load_dataset(name)
    trained = of_run(
        name,
        NAMES,
        train_fingerprint=before.train.fingerprint,
        test_fingerprint=before.test.fingerprint,
    )
    assert loaded(trained)[1] == loaded(trained, part="train")[1] == []
    # More images of a class move some of its others into the test part.
    image_files.write_folder(folder.parent / "more", {"ant": 30})
    for file in (folder.parent / "more" / "ant").iterdir():
        file.rename(folder / "ant" / f"more {file.name}")
    (line,) = loaded(trained)[1]
    assert line.startswith(f"{name} has other test images than the run had, or of other classes")
    (line,) = loaded(trained, part="train")[1]
    assert "has other training images than the run had" in line
    # Of another dataset nothing is known.
    folder.rename(folder.with_name("elsewhere"))
    assert loaded(trained, f"folder:{folder.with_name('elsewhere')}")[1] == []
