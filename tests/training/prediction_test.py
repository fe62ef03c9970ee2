"""The most probable classes of image files."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from shimzoo.tests.training import image_files
from shimzoo.training import prediction, preprocessing
from shimzoo.training.bad_examples import BadExamples
from shimzoo.training.datasets import load_dataset
from shimzoo.training.image_files import describe_others, find_images

SIZE = 8
NAMES = ("dark", "grey", "light")


def brightness(images):
    """Logits that are highest for the class whose brightness an image has."""
    means = images.mean(axis=(1, 2, 3))
    return -10 * (means[:, None] - np.array([-1.0, 0.0, 1.0])) ** 2


def write(path, level, encode=tf.io.encode_png, channels=3):
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels = tf.fill([12, 10, channels], tf.constant(level, tf.uint8))
    path.write_bytes(encode(pixels).numpy())
    return path


def predict(files, **options):
    options = {"size": SIZE, "preprocessing": "inception", "class_names": NAMES} | options
    return list(prediction.predict(brightness, files, **options))


def test_every_image_gets_its_classes_in_order_and_bad_ones_their_reason(tmp_path):
    files = [
        write(tmp_path / "light.png", 255),
        write(tmp_path / "dark.jpg", 0, tf.io.encode_jpeg),
        tmp_path / "bad.png",
        tmp_path / "gone.png",
        write(tmp_path / "grey.png", 127, channels=1),
    ]
    files[2].write_bytes(files[0].read_bytes()[:30])
    found = predict(files)
    assert [one.image for one in found] == files
    assert [one.classes[0][1] if one.classes else None for one in found] == [
        "light",
        "dark",
        None,
        None,
        "grey",
    ]
    assert "Invalid PNG" in found[2].error
    assert "No such file" in found[3].error
    number, name, probability = found[4].classes[0]
    assert (number, name) == (1, "grey")
    assert probability == pytest.approx(1 / (1 + 2 * np.exp(-10)), abs=1e-3)
    assert sum(probability for _, _, probability in found[0].classes) == pytest.approx(1)


JPEG = image_files.photo("china")
TIFF = b"II*\0" + bytes(60)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Input is empty"),
        (b"a text of some words", "Unknown image file format"),
        (TIFF, "Unknown image file format"),
        (JPEG[: len(JPEG) // 2], "JPEG"),
    ],
    ids=["empty", "text", "tiff", "cut"],
)
def test_what_is_wrong_with_a_file_is_told_as_in_training(tmp_path, content, reason):
    folder = tmp_path / "photos"
    image_files.write_folder(folder, {"ant": 2, "bee": 2})
    for file in folder.glob("*/*"):
        file.write_bytes(content)
    split = load_dataset(f"folder:{folder}").train
    in_training = BadExamples(split, 1.0).reason(0)
    assert reason in in_training
    (found,) = predict([pathlib.Path(split.name_of(0))])
    assert found.error == f"can't be used: {in_training}"


def test_an_image_that_is_too_small_is_no_damaged_one(tmp_path):
    (found,) = predict([write(tmp_path / "a.png", 0)], size=300, preprocessing="vgg")
    assert found.error == "can't be used: too small for the crop"


@pytest.mark.parametrize("name", ["inception", "vgg", "lenet", "resize"])
def test_an_image_is_prepared_as_the_preprocessing_does(name):
    image = tf.constant(image_files.photo("china"))
    pixels = prediction.read_image(image, SIZE, name)
    expected = preprocessing.get(name).evaluate(image, SIZE)
    np.testing.assert_array_equal(pixels, expected)
    assert (float(np.min(pixels)) < -1) == (name == "vgg")  # The others give [-1, 1].


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_model_that_gives_nan_is_an_error(tmp_path, wrong):
    files = [tmp_path / "gone.png", write(tmp_path / "a.png", 0), write(tmp_path / "b.png", 255)]

    def logits_of(images):
        return np.where(images.mean(axis=(1, 2, 3))[:, None] > 0, wrong, brightness(images))

    with pytest.raises(FloatingPointError, match=r"gives NaN for '.*/b\.png'"):
        list(
            prediction.predict(
                logits_of, files, size=SIZE, preprocessing="resize", class_names=NAMES, top=1
            )
        )


def test_as_many_classes_are_told_as_asked_for(tmp_path):
    files = [write(tmp_path / "light.png", 255)]
    assert [len(predict(files, top=top)[0].classes) for top in (1, 2, 9)] == [1, 2, 3]


def test_many_images_go_in_batches(tmp_path):
    files = [write(tmp_path / f"{i}.png", 255 * (i % 2)) for i in range(70)]
    sizes = []
    found = predict(files, on_batch=sizes.append)
    assert sizes == [32, 32, 6]
    assert [one.classes[0][1] for one in found] == ["dark", "light"] * 35


def test_bad_images_alone_need_no_model(tmp_path):
    (tmp_path / "bad.png").write_text("")
    (found,) = predict([tmp_path / "bad.png"])
    assert (found.classes, bool(found.error)) == ((), True)


def test_folders_stand_for_the_images_below_them(tmp_path):
    wanted = [
        write(tmp_path / "a" / "2.PNG", 0),
        write(tmp_path / "a" / "deep" / "1.jpeg", 0, tf.io.encode_jpeg),
    ]
    (tmp_path / "a" / ".git").mkdir()
    for left_out in ("notes.txt", ".DS_Store", ".git/config"):
        (tmp_path / "a" / left_out).write_text("")
    other = write(tmp_path / "b.image", 0)
    found = find_images([other, tmp_path / "a"])
    assert found.images == [other, *wanted]
    assert found.others == [tmp_path / "a" / "notes.txt"]


def test_files_that_are_left_out_are_counted_with_an_example(tmp_path):
    assert describe_others([]) is None
    others = [tmp_path / "a.tiff", tmp_path / "b.txt"]
    assert re.fullmatch(rf"1 file that .*\.webp: '{others[0]}'", describe_others(others[:1]))
    assert re.fullmatch(rf"2 files that .*, such as '{others[0]}'", describe_others(others))


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no image or folder"):
        find_images([tmp_path / "nothing.png"])
    with pytest.raises(FileNotFoundError, match=r"no image in the folder.*\.png"):
        find_images([tmp_path])
