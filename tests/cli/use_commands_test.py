"""`shimzoo evaluate`, `predict` and `export` on a run and on other checkpoints."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest
import sklearn.datasets
import tensorflow as tf
from shimzoo import checkpoints, cli
from shimzoo.tests.training import formula_model, image_files
from shimzoo.training import DEMO, train
from shimzoo.training.datasets import load_dataset


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of a few steps."""
    directory = tmp_path_factory.mktemp("run") / "run"
    return train(dataclasses.replace(DEMO.config, batch_size=128, epochs=2), out=directory)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A checkpoint that no run wrote, of the same model."""
    prefix = tmp_path_factory.mktemp("foreign") / "model.ckpt"
    checkpoints.save(formula_model.create(), prefix, format="tf1")
    return prefix


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    digits = sklearn.datasets.load_digits()
    for number in range(3):
        pixels = np.uint8(digits.images[number] * 15)[..., None]
        (folder / f"{number}.png").write_bytes(tf.io.encode_png(pixels).numpy())
    return folder


def shimzoo(capsys, *arguments):
    capsys.readouterr()
    code = cli.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys, *arguments):
    code, out, err = shimzoo(capsys, *arguments)
    lines = [line for line in err.splitlines() if "loading the model" not in line]
    assert (code, out) == (2, "")
    assert len(lines) == 1
    assert lines[0].startswith("shimzoo: error: ")
    return lines[0]


def of_formula(foreign, *more):
    """Options for the checkpoint that no run wrote."""
    options = ["--checkpoint", foreign, "--model", formula_model.NAME]
    return [*options, "--image-size", formula_model.SIZE, "--option", "num_classes=10", *more]


def test_a_class_that_the_offset_leaves_out_is_no_bad_image(foreign, tmp_path, capsys):
    image_files.write_slim(tmp_path / "data", {"a_train": 11, "a_test": 11}, classes=11)
    data = ["--dataset", f"tfrecord:{tmp_path / 'data'}", "--labels-offset", 1]
    options = of_formula(foreign, *data)
    for command in (["evaluate", "--out"], ["export", "--batch-size", 1]):
        line = refused(capsys, *command, tmp_path / "out.tflite", *options)
        assert "a_test, record 0 is of class 0 (class 0)" in line
    assert not (tmp_path / "out.tflite").exists()


def test_evaluating_a_run_gives_the_accuracy_of_its_end(capsys, trained, tmp_path):
    out = tmp_path / "evaluation"
    code, shown, _ = shimzoo(capsys, "evaluate", "--checkpoint", trained.directory, "--out", out)
    assert code == 0
    results = json.loads((out / "results.json").read_text())
    assert results["top1"] == pytest.approx(trained.test_accuracy, abs=1e-6)
    assert (results["images"], results["bad_images"]) == (360, 0)
    assert (results["model"], results["dataset"], results["split"]) == (
        DEMO.config.model,
        "digits",
        "test",
    )
    figures = dict(line.split(maxsplit=1) for line in shown.splitlines() if " " in line)
    assert figures["top-1"] == f"{results['top1']:.4f}"
    assert figures["cross-entropy"] == f"{results['cross_entropy']:.4f}"
    rows = [line.split()[0] for line in shown.partition("class ")[2].splitlines()[1:11]]
    assert rows == list("0123456789")
    files = {file.name for file in out.iterdir()}
    assert files == {
        "results.json",
        "per_class.csv",
        "confusion_matrix.csv",
        "confusion_matrix.png",
    }


def write_digits(folder, class_names):
    """The first images of digits' test part, with these numbers for the classes of these names."""
    image_files.write_slim(folder, {"a_train": 1})
    digits = load_dataset("digits")
    for part in ("train", "test"):
        records = []
        for index in range(60):
            example = digits.test.read(index)
            name = digits.class_names[int(example["label"])]
            pixels = tf.image.convert_image_dtype(example["image"], tf.uint8)
            image = tf.io.encode_png(pixels).numpy()
            records.append(image_files.example(image, class_names.index(name)))
        image_files.write_records(folder / f"a_{part}", records)
    (folder / "labels.txt").write_text("\n".join(class_names))
    return f"tfrecord:{folder}"


def test_classes_in_another_order_are_measured_by_their_names(capsys, trained, tmp_path):
    names = tuple("0123456789")
    same = write_digits(tmp_path / "same", names)
    other = write_digits(tmp_path / "other", names[::-1])
    run = ["--checkpoint", trained.directory]
    results = []
    for name, dataset in (("same", same), ("other", other)):
        out = tmp_path / f"of {name}"
        code, _, err = shimzoo(capsys, "evaluate", *run, "--dataset", dataset, "--out", out)
        assert code == 0, err
        assert ("labels are matched by name" in err) == (name == "other")
        results.append(json.loads((out / "results.json").read_text()))
        results[-1]["confusion"] = (out / "confusion_matrix.csv").read_text()
    for figure in ("images", "top1", "top5", "cross_entropy", "classes", "confusion"):
        assert results[0][figure] == results[1][figure]
    target = tmp_path / "model.tflite"
    code, shown, err = shimzoo(capsys, "export", target, *run, "--dataset", other)
    assert code == 0
    assert "labels are matched by name" in err
    assert f"accuracy {results[0]['top1']:.4f} before, " in " ".join(shown.split())


@pytest.mark.parametrize("command", [["evaluate", "--out"], ["export"]])
def test_other_classes_than_a_runs_are_refused(capsys, trained, tmp_path, command):
    dataset = write_digits(tmp_path / "data", (*"012345678", "9"))
    (tmp_path / "data" / "labels.txt").write_text("\n".join("012345678x"))
    target = tmp_path / "out.tflite"
    arguments = [*command, target, "--checkpoint", trained.directory, "--dataset", dataset]
    assert "'x' is none of the model's" in refused(capsys, *arguments)
    assert not target.exists()
    # A file says that they are the same by other names.
    labels = tmp_path / "names.txt"
    labels.write_text("\n".join("012345678x"))
    assert shimzoo(capsys, *arguments, "--labels", labels)[0] == 0


def test_a_changed_dataset_of_the_run_is_told(capsys, trained, tmp_path):
    run = shutil.copytree(trained.directory, tmp_path / "run")
    record = json.loads((run / "config.json").read_text())
    record["resolved"]["test_fingerprint"] = "0123456789abcdef"
    (run / "config.json").write_text(json.dumps(record))
    for directory, is_told in ((trained.directory, False), (run, True)):
        out = tmp_path / f"out {is_told}"
        command = ["evaluate", "--checkpoint", directory, "--max-batches", 1, "--out", out]
        code, _, err = shimzoo(capsys, *command)
        assert code == 0
        assert ("digits has other test images than the run had" in err) == is_told


def test_an_evaluation_is_replaced_only_if_asked_for(capsys, trained, tmp_path):
    out = tmp_path / "evaluation"
    command = ["evaluate", "--checkpoint", trained.directory, "--out", out, "--max-batches", 1]
    assert shimzoo(capsys, *command)[0] == 0
    assert "--overwrite" in refused(capsys, *command)
    assert shimzoo(capsys, *command, "--split", "train", "--overwrite")[0] == 0
    results = json.loads((out / "results.json").read_text())
    assert (results["images"], results["split"]) == (128, "train")
    (out / "notes.txt").write_text("mine")
    assert "something else" in refused(capsys, *command, "--overwrite")
    assert (out / "notes.txt").exists()


def test_any_checkpoint_is_evaluated_in_any_stage_alike(capsys, foreign, tmp_path):
    results = []
    for stage in ("native", "shimmed"):
        out = tmp_path / stage
        arguments = of_formula(foreign, "--dataset", "digits", "--stage", stage, "--out", out)
        assert shimzoo(capsys, "evaluate", *arguments)[0] == 0
        results.append(json.loads((out / "results.json").read_text()))
    assert results[0]["cross_entropy"] == pytest.approx(results[1]["cross_entropy"], rel=1e-5)
    assert results[0]["classes"] == results[1]["classes"]


def test_images_that_cannot_be_read_are_named_and_counted(capsys, foreign, tmp_path):
    folder = tmp_path / "data"
    for part in ("train", "test"):
        image_files.write_folder(folder / part, {f"class {i}": 2 for i in range(10)})
    bad = folder / "test" / "class 3" / "006.png"
    bad.write_bytes(bad.read_bytes()[:50])
    out = tmp_path / "out"
    data = of_formula(foreign, "--dataset", f"folder:{folder}")
    for command in (["evaluate", "--out", out], ["export", out]):
        code, shown, err = shimzoo(capsys, *command, *data)
        assert (code, shown) == (1, "")
        line = err.splitlines()[-1]
        assert line.startswith("shimzoo: error: 1 of 20 test images could not be used: ")
        assert "more than the 0 that max_bad_fraction=0.01 allows" in line
        assert not out.exists()
    # Of the first 4 images all can be read, and of the first 8 one can not.
    for batches, allowed, code in ((1, 0, 0), (2, 0.1, 1), (2, 0.125, 0)):
        some = ["--batch-size", 4, "--max-batches", batches, "--max-bad-fraction", allowed]
        arguments = [*data, *some, "--overwrite", "--out", out]
        assert shimzoo(capsys, "evaluate", *arguments)[0] == code
    arguments = [*data, "--overwrite", "--out", out, "--max-bad-fraction", 0.05]
    code, shown, err = shimzoo(capsys, "evaluate", *arguments)
    assert code == 0
    assert "1 of 20 test images could not be used" in err
    assert "006.png" in err
    assert "19 images, 1 more could not be read" in shown
    results = json.loads((out / "results.json").read_text())
    assert (results["images"], results["bad_images"]) == (19, 1)
    assert [one["images"] for one in results["classes"]] == [2, 2, 2, 1, 2, 2, 2, 2, 2, 2]


def test_int8_is_calibrated_with_images_of_a_folder(capsys, foreign, tmp_path):
    folder = tmp_path / "data"
    for part in ("train", "test"):
        image_files.write_folder(folder / part, {f"class {i}": 2 for i in range(10)})
    arguments = of_formula(foreign, "--dataset", f"folder:{folder}", "--precision", "int8")
    code, shown, _ = shimzoo(capsys, "export", tmp_path / "model.tflite", *arguments)
    assert code == 0
    assert "on 20 test images of folder:" in shown


def test_predictions_are_the_runs_and_name_its_classes(capsys, trained, digit_files):
    command = ["predict", digit_files, "--checkpoint", trained.directory]
    code, shown, _ = shimzoo(capsys, *command, "--json", "--top", 10)
    assert code == 0
    predictions = json.loads(shown)
    assert [one["image"] for one in predictions] == [
        str(digit_files / f"{number}.png") for number in range(3)
    ]
    for one in predictions:
        probabilities = [entry["probability"] for entry in one["classes"]]
        assert probabilities == sorted(probabilities, reverse=True)
        assert sum(probabilities) == pytest.approx(1, abs=1e-4)
        assert {entry["name"] for entry in one["classes"]} == set("0123456789")
    code, shown, _ = shimzoo(capsys, *command, "--top", 1)
    best = predictions[0]["classes"][0]
    assert shown.splitlines()[1].split() == [best["name"], f"{best['probability']:.2%}"]


def test_a_folders_files_that_are_no_images_are_told(capsys, trained, digit_files, tmp_path):
    shutil.copytree(digit_files, tmp_path / "digits")
    command = ["predict", tmp_path / "digits", "--checkpoint", trained.directory, "--json"]
    told = {}
    for name in (".hidden", "t.tiff"):
        (tmp_path / "digits" / name).write_text("")
        code, shown, told[name] = shimzoo(capsys, *command)
        assert (code, len(json.loads(shown))) == (0, 3)
    assert "left out" not in told[".hidden"]
    assert re.search(r"^shimzoo: left out 1 file that .*t\.tiff'$", told["t.tiff"], re.M)


def test_an_unreadable_image_is_named_and_the_others_are_told(
    capsys, trained, digit_files, tmp_path
):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    command = ["predict", bad, digit_files / "0.png", "--checkpoint", trained.directory]
    code, shown, err = shimzoo(capsys, *command)
    assert code == 1
    assert f"shimzoo: error: '{bad}' can't be used: Unknown image file format" in err
    assert shown.startswith(str(digit_files / "0.png"))
    code, shown, _ = shimzoo(capsys, *command, "--json")
    assert code == 1
    assert [sorted(one) for one in json.loads(shown)] == [["error", "image"], ["classes", "image"]]


def test_classes_without_names_are_numbered_or_named_by_a_file(
    capsys, foreign, digit_files, tmp_path
):
    image = digit_files / "0.png"
    command = ["predict", image, *of_formula(foreign, "--top", 1)]
    code, shown, _ = shimzoo(capsys, *command)
    assert code == 0
    number = int(shown.split("class ")[1].split()[0])
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{i}:name of {i}\n" for i in range(10)))
    assert f"name of {number} " in shimzoo(capsys, *command, "--labels", labels)[1]


def test_export_prints_what_it_costs(capsys, trained, tmp_path):
    target = tmp_path / "model.tflite"
    command = ["export", target, "--checkpoint", trained.directory]
    code, shown, _ = shimzoo(capsys, *command, "--precision", "int8")
    assert code == 0
    for words in (
        "(TFLite, int8)",
        "MB, of weights of 0.88 MB",
        "on 360 test images of digits",
        f"{trained.test_accuracy:.4f} before, ",
    ):
        assert words in shown
    written = target.read_bytes()
    assert "--overwrite" in refused(capsys, *command)
    assert target.read_bytes() == written


def test_export_without_a_dataset_compares_on_photographs(capsys, foreign, tmp_path):
    target = tmp_path / "model.onnx"
    code, shown, _ = shimzoo(capsys, "export", target, *of_formula(foreign))
    assert code == 0
    assert "on two photographs" in shown
    assert "accuracy" not in shown
    arguments = of_formula(foreign, "--precision", "int8")
    assert "--dataset" in refused(capsys, "export", tmp_path / "model.tflite", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["evaluate"], ["--checkpoint"]),
        (["evaluate", "--checkpoint", "x"], ["'x'", "--model NAME", "shimzoo inspect x"]),
        (["evaluate", "--checkpoint", "x", "--model", "resnet"], ["'resnet'"]),
        (["evaluate", "--checkpoint", "x", "--split", "val"], ["'val'", "test, train"]),
        (["evaluate", "--checkpoint", "x", "--batch-size", "0"], ["--batch-size 0", "1 or more"]),
        (["evaluate", "--checkpoint", "x", "--max-batches", "0"], ["--max-batches 0"]),
        (["evaluate", "--checkpoint", "x", "--ema", "maybe"], ["'maybe'", "auto, yes, no"]),
        (["evaluate", "--checkpoint", "x", "--model", formula_model.NAME], ["--dataset NAME"]),
        (["evaluate", *of_formula("x", "--preprocessing", "slim")], ["'slim'", "inception"]),
        (["evaluate", *of_formula("x", "--dataset", "folder:nowhere")], ["nowhere"]),
        (["predict"], ["IMAGE"]),
        (["predict", "nothing.png", "--checkpoint", "x"], ["'nothing.png'"]),
        (["predict", ".", "--checkpoint", "x", "--top", "0"], ["--top 0", "1 or more"]),
        (["export", "m", "--checkpoint", "x"], ["'x'", "--model NAME"]),
        (["export", "--checkpoint", "x"], ["TARGET"]),
        (["export", "m.pb", *of_formula("x")], ["ends in .pb", ".tflite", "SavedModel"]),
        (["export", "m", "--checkpoint", "x", "--batch-size", "-1"], ["--batch-size -1"]),
        (
            ["export", "m.onnx", *of_formula("x", "--precision", "int8")],
            ["m.onnx", "float32 only", ".tflite"],
        ),
        (["export", "m.tflite", *of_formula("x", "--precision", "int4")], ["'int4'", "int8"]),
        (["export", "m", *of_formula("x")], ["no checkpoint x"]),
        (["export", "/proc/m", *of_formula("x")], ["'/proc/m'", "can't be written"]),
    ],
)
def test_bad_input_is_one_line(capsys, arguments, words):
    line = refused(capsys, *arguments)
    for word in words:
        assert word in line


def test_another_number_of_classes_than_the_datasets_is_told(capsys, foreign, tmp_path):
    arguments = ["--checkpoint", foreign, "--model", formula_model.NAME, "--dataset", "digits"]
    line = refused(capsys, "evaluate", *arguments, "--out", tmp_path / "out")
    assert "has 1001 classes" in line
    assert f"has {len(load_dataset('digits').class_names)}" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["evaluate", "predict", "export"])
def test_help_is_there(capsys, command):
    code, shown, err = shimzoo(capsys, command, "--help")
    assert (code, err) == (0, "")
    assert "--checkpoint" in shown
