"""The benchmark `input`: what is compared gives a model the same; what is told. Never a time."""

import csv

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from shimzoo import cli
from shimzoo.tools.benchmark import (
    input_settings,
    input_speed,
    input_worker,
    photographs,
    results_file,
    rows,
    textbook_input,
)
from shimzoo.tools.benchmark.input_settings import InputSettings, Step
from shimzoo.tools.benchmark.rows import Row
from shimzoo.training import preprocessing
from shimzoo.training.datasets import load_dataset

TOY = ["--image-size", "32", "--batch-size", "4", "--rounds", "1"]


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photographs")
    photographs.write(folder, 70)
    return load_dataset(f"folder:{folder}").train


def test_photographs_are_as_large_as_imagenets_and_differ(tmp_path):
    photographs.write(tmp_path, 70)
    files = sorted(tmp_path.rglob("*.jpg"))
    assert len(files) == 70
    with PIL.Image.open(files[0]) as image:
        assert image.size == (500, 375)
    assert len({file.read_bytes() for file in files}) > 50
    size = np.mean([file.stat().st_size for file in files])
    assert 30_000 < size < 200_000  # ImageNet's are 110 kB on average.


@pytest.mark.parametrize("batch_size", [1, 32, 500])
def test_there_are_enough_photographs_for_a_batch(tmp_path, batch_size):
    photographs.write(tmp_path, photographs.enough_for(batch_size))
    assert len(load_dataset(f"folder:{tmp_path}").train) >= batch_size


# What two decoders may round otherwise, of a model's range, which has 255 values.
ROUNDING = 2.55


@pytest.mark.parametrize(("name", "unit"), [("inception", 2 / 255), ("vgg", 1.0)])
def test_the_textbooks_evaluation_gives_what_ours_does(split, name, unit):
    [images, labels] = next(iter(textbook_input.evaluation_batches(split, name, 64, 4)))
    ours = preprocessing.get(name)
    for index in range(4):
        example = split.read(tf.constant(index))
        expected = ours.evaluate(example["image"], 64)
        # The windows begin at the same pixels.
        np.testing.assert_allclose(images[index], expected, atol=ROUNDING * unit)
        assert labels[index] == example["label"]


def test_the_textbooks_evaluation_takes_images_in_memory():
    digits = load_dataset("digits").train
    for name, unit in (("inception", 2 / 255), ("vgg", 1.0)):
        [images, _] = next(iter(textbook_input.evaluation_batches(digits, name, 32, 4)))
        expected = preprocessing.get(name).evaluate(digits.read(tf.constant(0))["image"], 32)
        np.testing.assert_allclose(images[0], expected, atol=ROUNDING * unit)


@pytest.mark.parametrize(("name", "middle", "unit"), [("inception", 0, 2 / 255), ("vgg", 12, 1)])
def test_the_textbooks_training_images_are_distorted_and_in_range(split, name, middle, unit):
    batches = iter(textbook_input.training_batches(split, name, 48, 8))
    [first, _], [second, _] = next(batches), next(batches)
    assert first.shape == (8, 48, 48, 3)
    for images in (first, second):
        values = (np.array(images) - middle) / unit
        assert -136 <= np.min(values) < -64
        assert 64 < np.max(values) <= 140
    assert np.abs(first - second).mean() > 6 * unit


def test_the_textbook_computes_with_no_more_than_it_keeps(split):
    [pixels] = textbook_input.decoded(split).take(1)
    assert pixels.dtype == tf.uint8


def test_images_of_one_channel_are_decoded_to_three():
    pixels = textbook_input.decode(tf.constant([[[0], [255]]], tf.uint8))
    assert pixels.numpy().tolist() == [[[0] * 3, [255] * 3]]


def test_a_rate_counts_images_not_batches(monkeypatch):
    monkeypatch.setattr(input_worker, "_RUN_S", 0.0)
    ticks = iter([0.0, 1.0, 2.0])
    monkeypatch.setattr(input_worker.time, "perf_counter", lambda: next(ticks))

    def batches():
        return tf.data.Dataset.from_tensors((tf.zeros([6, 2, 2, 3]), tf.zeros([6])))

    # The first batch is before the start; one more until the clock is asked again.
    assert input_worker.images_a_second(batches) == 3.0


@pytest.mark.large
def test_a_run_writes_rates_and_says_whether_a_step_starves(capsys, tmp_path):
    out = tmp_path / "x.csv"
    arguments = [*TOY, "--step-ms", "0.001", "--out", str(out)]
    assert cli.main(["benchmark", "input", *arguments]) == 0
    with out.open() as file:
        lines = list(csv.DictReader(file))
    found = {(line["measure"], line["contender"], line["against"]) for line in lines}
    assert found == {
        ("decode", "shimzoo", ""),
        *((m, c, "") for m in ("evaluate", "train") for c in ("shimzoo", "textbook")),
        *((m, "shimzoo", "textbook") for m in ("evaluate", "train")),
    }
    for line in lines:
        assert float(line["median"]) > 0
        assert line["unit"] == ("ratio" if line["against"] else "images/s")
        assert (line["dataset"], line["preprocessing"]) == ("photographs", "inception")
        assert (line["image_size"], line["batch_size"], line["threads"]) == ("32", "4", "1")
        assert line["tensorflow"] == tf.__version__
    assert "it would starve, waiting" in capsys.readouterr().out


@pytest.mark.large
def test_a_dataset_in_memory_and_a_preprocessing_without_textbook(capsys, tmp_path):
    out = tmp_path / "x.csv"
    arguments = ["--dataset", "digits", "--preprocessing", "resize", *TOY, "--out", str(out)]
    assert cli.main(["benchmark", "input", *arguments]) == 0
    with out.open() as file:
        lines = list(csv.DictReader(file))
    measures = {line["measure"] for line in lines if line["median"]}
    assert measures == set(input_settings.MEASURES)
    [line] = [line for line in lines if line["contender"] == "textbook"]
    assert line["note"] == "textbook pipelines are there for inception and vgg, not for resize"


def test_a_contender_that_fails_is_a_row(monkeypatch):
    samples = {"train": {"shimzoo": [], "textbook": [5.0]}}
    found = input_speed.found_rows(samples, {"shimzoo": "out of memory: no"})
    assert [(row.contender, row.note) for row in found] == [
        ("textbook", ""),
        ("shimzoo", "out of memory: no"),
    ]


@given(
    milliseconds=st.floats(0.1, 1e4),
    batch_size=st.integers(1, 4096),
    rate=st.floats(1, 1e5),
    cores=st.integers(1, 256),
)
def test_a_step_starves_where_it_takes_more_than_all_cores_give(
    milliseconds, batch_size, rate, cores
):
    text = Step(milliseconds, batch_size, is_on_gpu=True).verdict(rate, cores)
    needed = batch_size * 1000 / milliseconds
    if needed > 1.001 * rate * cores:
        assert "it would starve, waiting" in text
    elif needed < 0.999 * rate * cores:
        assert text.endswith("on a GPU it would not starve")


def test_a_step_on_the_cpu_shares_the_cores_with_its_input():
    # A batch takes 0.5 s of a core to prepare and 1 s of two cores to compute.
    on_cpu = Step(1000, 32, is_on_gpu=False).verdict(64, 2)
    assert on_cpu.endswith("input takes 20 % of their time, and a step up to 1250 ms")
    assert "on a GPU" not in on_cpu
    unknown = Step(1000, 32).verdict(64, 2)
    assert "on a GPU it would not starve; on the CPU" in unknown


def test_the_step_of_a_file_of_throughput(tmp_path):
    path = tmp_path / "x.csv"
    sizes = {"batch_size": 8, "image_size": 299}
    ratio = Row.ratio("shimmed", "training", [0.9], "native", [1.0])
    steps = [
        Row.of(name, "training", "ms", [time]) for name, time in (("keras", 700.0), ("n", 500.0))
    ]
    for gpu in ("", "NVIDIA"):
        facts = {"keras": {"gpu": gpu, **sizes}, "n": {"stage": "native", "gpu": gpu, **sizes}}
        facts["shimmed"] = facts["n"]
        lines = rows.lines([ratio, *steps], "throughput", facts)
        results_file.write_csv(path, lines, results_file.origin())
        assert Step.measured(path, 299) == Step(500.0, 8, is_on_gpu=bool(gpu))
    with pytest.raises(
        ValueError, match=r"image_size=224, and the step .* takes images of 299 pix"
    ):
        Step.measured(path, 224)
    results_file.write_csv(path, lines[:1], results_file.origin())
    with pytest.raises(ValueError, match="has no training step of the zoo's"):
        Step.measured(path, 299)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rounds", "0"], "rounds=0: must be 1 or more"),
        (["--batch-size", "0"], "batch_size=0: must be 1 or more"),
        (["--threads", "9999"], "threads=9999, and this process may use"),
        (["--step-ms", "0"], "step_ms=0: must be above 0"),
        (["--step-ms", "1", "--step-of", "x.csv"], "exclude each other"),
        (["--step-of", "absent.csv"], "'absent.csv': No such file"),
        (["--dataset", "imagenet"], "There is no dataset 'imagenet'"),
        (["--dataset", "folder:absent"], "There is no folder 'absent'"),
        (["--dataset", "digits", "--batch-size", "9999"], "digits has 1437 training images"),
        (["--data-dir", "."], "leave data_dir='.' out"),
        (["--preprocessing", "vg"], "'vg'"),
        (["--out", "absent/x.csv"], "'absent/x.csv': No such file"),
    ],
)
def test_bad_input_is_refused_in_one_line(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["benchmark", "input", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert words in err
    assert not list(tmp_path.iterdir())


def test_settings_go_to_a_contenders_process_and_back():
    original = InputSettings(dataset="digits", image_size=64)
    assert InputSettings.from_json(original.to_json()) == original
    assert original.hindrance(input_settings.TEXTBOOK) is None
