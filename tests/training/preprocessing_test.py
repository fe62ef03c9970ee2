"""What a model sees of an image: TF-Slim's numbers in evaluation, its distributions in training.

tests/data/slim_preprocessing.npz has what TF-Slim's own evaluation code, run in TF1 graphs on
TensorFlow 2.21, gives for scikit-learn's two photographs: 64x64, 224x224 (every 7th pixel), 32x32
and 28x28 pixels. It is in research/slim/preprocessing in tensorflow/models: inception_, vgg_,
cifarnet_ and lenet_preprocessing.py.
"""

import dataclasses
import io
import pathlib

import hypothesis
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from shimzoo import models
from shimzoo.tests.training import image_files
from shimzoo.training import DEMO, preprocessing
from shimzoo.training.preprocessing import images

GOLDENS = pathlib.Path(__file__).parents[1] / "data" / "slim_preprocessing.npz"
# The size of each golden crop, and which of its pixels are kept.
SIZES = {"inception": (64, 1), "vgg": (224, 7), "cifarnet": (32, 1), "lenet": (28, 1)}
PHOTOS = ("china", "flower")


@pytest.fixture(scope="module")
def goldens():
    with np.load(GOLDENS) as arrays:
        return dict(arrays)


def seeds(count):
    return [tf.constant([number, 7]) for number in range(count)]


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("name", SIZES)
def test_evaluation_gives_slims_numbers(name, photo, goldens):
    size, step = SIZES[name]
    crop = tf.function(preprocessing.get(name).evaluate)(
        tf.constant(image_files.photo(photo)), size
    )
    assert crop.dtype == "float32"
    np.testing.assert_allclose(crop[::step, ::step], goldens[f"{name}/{photo}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", preprocessing.PREPROCESSINGS)
@pytest.mark.parametrize("phase", ["evaluate", "train"])
def test_encoded_and_decoded_images_give_the_same(name, phase):
    data = image_files.photo("china")
    decoded = tf.io.decode_jpeg(data)
    given = {
        "jpeg": data,
        "png": tf.io.encode_png(decoded),
        "webp": image_files.lossless_webp(decoded),
        "uint8": decoded,
        "float32": tf.image.convert_image_dtype(decoded, tf.float32),
    }
    preprocess, size = preprocessing.get(name), 32
    more = (tf.constant([1, 2]),) if phase == "train" else ()
    crops = {
        kind: getattr(preprocess, phase)(tf.convert_to_tensor(image), size, *more)
        for kind, image in given.items()
    }
    for kind, crop in crops.items():
        assert crop.shape == (32, 32, 3)
        # An image of a byte's 256 levels as floats is off by rounding.
        np.testing.assert_allclose(crop, crops["jpeg"], rtol=0, atol=1e-4, err_msg=kind)


@pytest.mark.parametrize("name", preprocessing.PREPROCESSINGS)
def test_grey_images_become_three_equal_channels(name):
    grey = tf.constant(image_files.pixels(3, 40, 40)[..., 1:2])
    crop = preprocessing.get(name).evaluate(grey, 32)
    mean = np.array([123.68, 116.78, 103.94], np.float32) if name == "vgg" else 0.0
    red, green, blue = np.moveaxis(crop + mean, -1, 0)
    np.testing.assert_allclose(green, red, atol=1e-4)
    np.testing.assert_allclose(blue, red, atol=1e-4)


@hypothesis.settings(max_examples=50)
@hypothesis.given(
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    data=st.data(),
    ending=st.sampled_from(["jpg", "png"]),
)
def test_a_decoded_window_is_that_part_of_the_whole(height, width, data, ending):
    encoded = image_files.encoded(5, ending, height=height, width=width)
    top = data.draw(st.integers(0, height - 1))
    left = data.draw(st.integers(0, width - 1))
    size = [data.draw(st.integers(1, height - top)), data.draw(st.integers(1, width - left))]
    whole = images.decode(tf.constant(encoded), 255).numpy()
    assert images.image_size(tf.constant(encoded)).numpy().tolist() == [height, width]
    window = images.decode_window(tf.constant(encoded), tf.constant([top, left]), tf.constant(size))
    np.testing.assert_array_equal(window, whole[top : top + size[0], left : left + size[1]])


@hypothesis.settings(max_examples=25)
@hypothesis.given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 40), st.integers(1, 40))
def test_resizing_is_tf1s_by_its_definition(height, width, new_height, new_width):
    pixels = np.random.default_rng(0).random([height, width, 3], np.float32)

    def interpolated(array, new):
        """Along the first axis: pixel i comes from i * old / new, between it and the next."""
        old = len(array)
        place = np.arange(new) * (old / new)
        low = np.floor(place + 1e-9).astype(int).clip(0, old - 1)
        share = (place - low).reshape(-1, *[1] * (array.ndim - 1))
        return array[low] * (1 - share) + array[np.minimum(low + 1, old - 1)] * share

    expected = interpolated(pixels.astype(float), new_height).swapaxes(0, 1)
    expected = interpolated(expected, new_width).swapaxes(0, 1)
    resized = images.resize_bilinear(tf.constant(pixels), new_height, new_width)
    np.testing.assert_allclose(resized, expected, atol=1e-5)


@pytest.mark.parametrize("new", [7, 40], ids=["of_a_large_image", "of_a_small_one"])
@pytest.mark.parametrize("value_range", [None, (0.0, 1.0), (-1.0, 1.0)])
def test_bytes_are_resized_as_the_floats_that_they_stand_for(value_range, new):
    pixels = image_files.pixels(1, 60, 50)
    floats = tf.cast(pixels, tf.float32)
    low, high = value_range or (0.0, 255.0)
    expected = images.resize_bilinear(floats, new, new) * ((high - low) / 255) + low
    tolerance = 1e-6 * (high - low)
    resized = images.resize_bilinear(tf.constant(pixels), new, new, value_range)
    np.testing.assert_allclose(resized, expected, rtol=0, atol=tolerance)
    given = floats if value_range is None else floats / 255
    resized = images.resize_bilinear(given, new, new, value_range)
    np.testing.assert_allclose(resized, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", preprocessing.PREPROCESSINGS)
def test_what_a_model_sees_is_the_crop_normalized(name):
    preprocess, image = preprocessing.get(name), tf.constant(image_files.photo("china"))
    cropped = preprocess.normalize(preprocess.crop(image, 32))
    np.testing.assert_allclose(preprocess.evaluate(image, 32), cropped, rtol=0, atol=1e-6)
    for seed in seeds(4):
        distorted = preprocess.normalize(preprocess.distort(image, 32, seed))
        np.testing.assert_allclose(preprocess.train(image, 32, seed), distorted, rtol=0, atol=1e-6)


def test_colours_of_inception_change_as_by_tensorflows_own_operations(monkeypatch):
    """One after the other, in Slim's orders and ranges."""
    size = 16
    pixels = tf.constant(image_files.pixels(2, size, size))
    draw, drawn = tf.random.stateless_uniform, []
    monkeypatch.setattr(images, "decode_window", lambda image, begin, extent: image)
    monkeypatch.setattr(
        tf.random, "stateless_uniform", lambda *args: drawn.append(draw(*args)) or drawn[-1]
    )
    changes = {
        "brightness": (tf.image.adjust_brightness, -32 / 255, 32 / 255),
        "saturation": (tf.image.adjust_saturation, 0.5, 1.5),
    }
    flips = set()
    for seed in seeds(16):
        drawn.clear()
        changed = preprocessing.get("inception").distort(pixels, size, seed)
        [[flip, *shares]] = [values.numpy() for values in drawn]
        flips.add(flip < 0.5)
        expected = tf.image.convert_image_dtype(pixels, tf.float32)
        expected = tf.image.flip_left_right(expected) if flip < 0.5 else expected
        for share, (change, least, most) in zip(shares, changes.values(), strict=True):
            expected = change(expected, least + share * (most - least))
        expected = tf.clip_by_value(expected, 0.0, 1.0)
        np.testing.assert_allclose(changed, expected, rtol=0, atol=1e-6)
    assert flips == {True, False}


@hypothesis.settings(max_examples=50)
@hypothesis.given(st.floats(0, 3, width=32), st.integers(0, 1000))
def test_saturation_is_that_of_tensorflow(factor, seed):
    pixels = np.random.default_rng(seed).uniform(-0.2, 1.2, [8, 8, 3]).astype(np.float32)
    # Grey, black, and two channels alike.
    pixels[0] = pixels[0, :, :1]
    pixels[1] = 0
    pixels[2, :, 1] = pixels[2, :, 0]
    actual = images.adjust_saturation(tf.constant(pixels), factor)
    np.testing.assert_allclose(actual, tf.image.adjust_saturation(pixels, factor), atol=1e-6)


@pytest.mark.parametrize("name", preprocessing.PREPROCESSINGS)
def test_training_is_a_function_of_the_seed(name):
    image = tf.constant(image_files.photo("flower"))
    train = tf.function(lambda seed: preprocessing.get(name).train(image, 32, seed))
    crops = [train(seed).numpy() for seed in seeds(6)]
    for crop, seed in zip(crops, seeds(6), strict=True):
        np.testing.assert_array_equal(crop, train(seed))
    different = len({crop.tobytes() for crop in crops})
    assert different == (1 if name in ("lenet", "resize") else 6)


@pytest.mark.parametrize("name", ["inception", "inception_full"])
def test_values_of_inception_stay_in_their_range_in_training(name):
    image = tf.constant(image_files.photo("china"))
    train = tf.function(lambda seed: preprocessing.get(name).train(image, 24, seed))
    crops = np.stack([train(seed) for seed in seeds(24)])
    assert crops.min() >= -1
    assert crops.max() <= 1
    assert crops.min() < -0.9
    assert crops.max() > 0.9


def positions(height, width):
    """An image whose red says the row and whose green the column, from 0 to 1."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return tf.constant(np.stack([y / height, x / width, 0 * y], axis=-1))


def test_crops_of_inception_have_slims_areas_and_proportions(monkeypatch):
    seen = []
    monkeypatch.setattr(
        images,
        "decode_window",
        lambda image, begin, size: seen.append((begin.numpy(), size.numpy())) or image,
    )
    image = positions(200, 300)
    for seed in seeds(400):
        preprocessing.get("inception").distort(image, 8, seed)
    begins, sizes = map(np.array, zip(*seen, strict=True))
    areas = sizes.prod(axis=1) / (200 * 300)
    proportions = sizes[:, 1] / sizes[:, 0]
    assert (begins >= 0).all()
    assert (begins + sizes <= [200, 300]).all()
    assert 0.045 < areas.min() < 0.15
    assert 0.8 < areas.max() <= 1.0
    assert 0.72 < proportions.min() < 0.8
    assert 1.25 < proportions.max() < 1.37


def test_crops_of_vgg_are_of_images_whose_smaller_side_is_256_to_512():
    image = positions(60, 90)
    train = tf.function(lambda seed: preprocessing.get("vgg").distort(image, 224, seed))
    sides, flips, tops = [], [], []
    for seed in seeds(60):
        crop = train(seed).numpy() / 255
        sides.append(1 / np.median(np.diff(crop[20:-20, 0, 0])))
        flips.append(crop[0, 0, 1] > crop[0, -1, 1])
        tops.append(crop[0, 0, 0])
    assert 255 < min(sides) < 290
    assert 470 < max(sides) < 514
    assert 15 < sum(flips) < 45
    assert max(tops) - min(tops) > 0.3


def test_crops_of_cifarnet_move_by_4_pixels_each_way():
    dot = np.zeros([32, 32, 3], np.uint8)
    dot[16, 16] = 255
    train = tf.function(
        lambda seed: preprocessing.get("cifarnet").distort(tf.constant(dot), 32, seed)
    )
    places = [np.unravel_index(train(s).numpy()[..., 0].argmax(), (32, 32)) for s in seeds(120)]
    rows, columns = np.array(places).T
    assert (rows.min(), rows.max()) == (12, 20)
    # A flip takes column 16 to 15.
    assert (columns.min(), columns.max()) == (11, 20)


@pytest.mark.parametrize("name", models.list_models())
def test_every_models_preprocessing_is_there(name):
    assert models.get_variant(name).preprocessing in preprocessing.PREPROCESSINGS


def test_a_name_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"'vgg_16': there are inception, .*resize"):
        preprocessing.get("vgg_16")
    with pytest.raises(ValueError, match="no preprocessing 'slim'"):
        dataclasses.replace(DEMO.config, preprocessing="slim")


def test_a_crop_larger_than_vggs_images_is_refused():
    with pytest.raises(ValueError, match=r"image_size=257 is too large.*256"):
        dataclasses.replace(DEMO.config, preprocessing="vgg", image_size=257)
    dataclasses.replace(DEMO.config, preprocessing="vgg", image_size=256)


def test_a_jpeg_in_cmyk_is_read():
    image = PIL.Image.fromarray(image_files.pixels(3, 40, 40)).convert("CMYK")
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    crop = preprocessing.get("inception").evaluate(tf.constant(buffer.getvalue()), 32)
    assert crop.shape == (32, 32, 3)
