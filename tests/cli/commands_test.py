"""The command line without training: listing, showing, helping, and refusing bad input."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from shimzoo import cli, models, training
from shimzoo.cli import app
from shimzoo.training import DEMO, published_recipes, run_directory, startup

NAME = "mobilenet_v1_0.25_128"


def shimzoo(capsys, *arguments):
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys, *arguments):
    """The one line with which a command line is refused."""
    code, out, err = shimzoo(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("shimzoo: error: ")
    assert err.count("\n") == 1
    return err


def test_list_prints_every_name_on_its_line(capsys):
    assert shimzoo(capsys, "list") == (0, "\n".join(models.list_models()) + "\n", "")
    assert shimzoo(capsys, "list", "*_0.25_128")[1].split() == [NAME]


def test_show_prints_the_record(capsys):
    code, out, _ = shimzoo(capsys, "show", NAME)
    variant = models.get_variant(NAME)
    assert code == 0
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert f"input size {variant.input_size}" in lines
    assert f"paper {variant.paper}" in lines
    assert f"top-1, percent {variant.published.top1_percent:.2f} -" in lines
    assert "parameters, millions 0.47 0.47" in lines
    assert "multiply-adds, millions 14.00 13.57" in lines


def test_show_says_what_was_not_published_and_what_differs(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    out = shimzoo(capsys, "show", "resnet_v1_50")[1]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "multiply-adds, millions 3800 3482" in lines
    why = models.get_variant("resnet_v1_50").published.multiply_adds_explained.why
    assert f"multiply-adds differ {why}" in lines
    assert not any(line.startswith(("parameters differ", "note")) for line in lines)

    out = shimzoo(capsys, "show", "mobilenet_v3_small_0.75_224")[1]
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "finegrain classification mode True" in lines
    assert "parameters, millions 2.40 2.04" in lines
    assert "top-5, percent - -" in lines
    assert (
        sum(line.startswith(("parameters differ ", "multiply-adds differ ")) for line in lines) == 2
    )


@pytest.mark.parametrize("name", [NAME, "inception_v3", "resnet_v1_50"])
def test_show_lists_the_options_with_their_defaults_and_what_is_allowed(capsys, monkeypatch, name):
    monkeypatch.delenv("COLUMNS", raising=False)
    lines = shimzoo(capsys, "show", name)[1].splitlines()
    listed = lines[lines.index(next(x for x in lines if x.startswith("options "))) + 1 :]
    options = models.default_options(name)
    for field, line in zip(dataclasses.fields(options), listed, strict=False):
        option, default, *allowed = line.split()
        assert (option, default) == (field.name, str(getattr(options, field.name)))
        # The words of the message that refuses a value of another type.
        with pytest.raises(ValueError, match=re.escape(f"has to be {' '.join(allowed)}.")):
            dataclasses.replace(options, **{option: "x"})
    assert listed[len(dataclasses.fields(options))].startswith("figures ")


def test_show_prints_words_and_wraps_them_to_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out = shimzoo(capsys, "show", "inception_v3")[1]
    assert all(len(line) <= 80 for line in out.splitlines() if "http" not in line)
    assert re.search("^head scopes +Logits, AuxLogits$", out, re.MULTILINE)
    why = models.get_variant("inception_v3").published.multiply_adds_explained.why
    assert " ".join(why.split()) in " ".join(out.split())
    monkeypatch.delenv("COLUMNS")
    assert f"multiply-adds differ        {why}\n" in shimzoo(capsys, "show", "inception_v3")[1]


def test_diff_shows_two_versions(capsys):
    code, out, err = shimzoo(capsys, "diff", "resnet", "shimmed", "native")
    assert (code, err) == (0, "")
    assert all(len(line) <= 120 for line in out.splitlines())
    assert "ResNet v1 and v2 in pure Keras" in out


@pytest.mark.parametrize("command", [(), ("list",), ("show",), ("diff",), ("train",)])
def test_help_is_there_for_every_command(capsys, command):
    code, out, err = shimzoo(capsys, *command, "--help")
    assert (code, err) == (0, "")
    assert "Usage: shimzoo" in out
    assert shimzoo(capsys, *command, "-h")[1] == out


def test_without_a_command_there_is_help(capsys):
    assert shimzoo(capsys) == shimzoo(capsys, "--help")


def test_help_tells_how_the_tests_are_run(capsys):
    assert "./zoo test" in shimzoo(capsys, "--help")[1]


def test_help_of_train_tells_every_default(capsys):
    out = " ".join(shimzoo(capsys, "train", "--help")[1].split())
    for default in (NAME, "native", "digits", "runs/<model>-<stage>-<time>"):
        assert f"[default: {default}]" in out
    assert "shimmed, partially_native, native" in out
    for field in dataclasses.fields(DEMO.config):
        assert f"--{field.name.replace('_', '-')}" in out


def test_help_of_train_lists_the_recipes(capsys):
    out = shimzoo(capsys, "train", "--help")[1]
    rows = [line.split() for line in out[out.index("  recipe ") :].splitlines()]
    assert [row[0] for row in rows] == ["recipe", *published_recipes.RECIPES]
    for name, *cells in rows[1:]:
        recipe = published_recipes.RECIPES[name]
        assert cells[0] == recipe.trains
        assert recipe.settings["dataset"].startswith(cells[1])
    shown = {row[0]: " ".join(row[3:]) for row in rows}
    assert (shown["demo"], shown["inception_v1"]) == ("0.97", "0.698")
    assert shown["mobilenet_v1"] == "0.415 to 0.709"
    assert shown["flowers_inception_v1"] == ""


def test_a_recipe_gives_what_is_not_said(capsys, monkeypatch):
    configs = []

    def choose(config, *_):
        configs.append(config)
        raise ValueError("enough")

    monkeypatch.setattr(run_directory, "choose", choose)
    name = "flowers_resnet_v1_50"
    on_digits = ["--dataset", "digits"]
    refused(capsys, "train", "--recipe", name, "--epochs", "3", "--no-staircase", *on_digits)
    refused(capsys, "train", "--recipe", f"{name}_head", "--trainable", "none", *on_digits)
    recipe = published_recipes.get_recipe(name)
    assert configs[0] == recipe.changed(epochs=3, staircase=False, dataset="digits")
    assert configs[1].trainable is None
    assert configs[1].exclude_head


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--recipe", "mobilenet_v2", "--model", "mobilenet_v2_0.5_160"], "0.6100, as published"),
        (["--recipe", "mobilenet_v2_0.5_160"], "0.6100, as published"),
        (["--recipe", "mobilenet_v2"], "0.7200, as its source says"),
        (["--recipe", "resnet_v2_50"], "0.7560, as published (`shimzoo show resnet_v2_50` tells"),
        (
            ["--recipe", "inception_v3", "--epochs", "3"],
            "0.7800, as published (`shimzoo show inception_v3` tells how); not the recipe's: epo",
        ),
        (["--recipe", "resnet_v1_200"], None),
    ],
)
def test_a_run_is_told_what_its_recipe_reaches(tmp_path, monkeypatch, options, expected):
    options = [*options, "--data-dir", str(tmp_path), "--out", str(tmp_path / "run")]
    told = expected_of_the_run(monkeypatch, *options)
    assert told.startswith(expected) if expected else told is None


def test_another_dataset_has_no_expected_accuracy(tmp_path, monkeypatch):
    options = ["--recipe", "resnet_v1_50", "--dataset", "digits", "--out", str(tmp_path / "run")]
    assert expected_of_the_run(monkeypatch, *options) is None


def expected_of_the_run(monkeypatch, *options):
    """What a run with these options would tell of the accuracy to expect, were it to begin."""
    told = []

    def train(config, recipe, **_):
        told.append(published_recipes.get_recipe(recipe).expected_of(config))
        raise ValueError("enough")

    monkeypatch.setattr(startup, "import_tensorflow", lambda: None)
    monkeypatch.setattr(training, "train", train, raising=False)
    assert cli.main(["train", *options]) == 2
    (expected,) = told
    return expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], ["'trian'", "'train'"]),
        (["xyz"], ["'xyz'"]),
        (["--debgu"], ["--debgu", "--debug"]),
        (["train", "--epcohs", "3"], ["--epcohs", "--epochs"]),
        (["train", "--train_dir", "run"], ["--train_dir", "TF-Slim", "docs/training.md"]),
        (["train", "--epochs"], ["--epochs", "requires"]),
        (["train", "now"], ["now"]),
        (["show"], ["NAME"]),
        (["diff", "resnet"], ["FIRST"]),
        (
            ["diff", "resnets", "shimmed", "native"],
            ["'resnets'", "families are inception"],
        ),
        (["diff", "resnet", "shimed", "native"], ["'shimed'", "stages are shimmed, "]),
        (["show", "mobilnet_v1_0.25_128"], ["'mobilnet_v1_0.25_128'", NAME]),
        (["list", "mobilenet_v1_0.25"], ["'mobilenet_v1_0.25'", NAME[:-3]]),
        (["list", "mobilenet_v1_025"], ["'mobilenet_v1_025'", f"nearest are {NAME},"]),
        (["list", "%%%"], ["'%%%'", "shimzoo list"]),
        (["train", "--model", "mobilenet_v1_0.25_12"], ["'mobilenet_v1_0.25_12'", NAME]),
        (["train", "--stage", "nativ"], ["'nativ'", "shimmed, partially_native, native"]),
        (["train", "--dataset", "mnist"], ["'mnist'", "digits"]),
        (["train", "--batch-size", "0"], ["batch_size=0", "1 or more"]),
        (["train", "--batch-size", "many"], ["--batch-size", "'many'", "whole number"]),
        (["train", "--epochs", "0"], ["epochs=0", "1 or more"]),
        (["train", "--epochs", "9" * 20], [f"epochs={'9' * 20}", "up to 2147483647"]),
        (["train", "--image-size", "100000"], ["image_size=100000", "up to 65535"]),
        (["train", "--epochs", "1.5"], ["--epochs", "'1.5'", "whole number"]),
        (["train", "--image-size", "-1"], ["image_size=-1", "1 or more"]),
        (["train", "--learning-rate", "0"], ["learning_rate=0.0", "above 0"]),
        (["train", "--learning-rate", "nan"], ["learning_rate=nan", "above 0"]),
        (["train", "--learning-rate", "fast"], ["--learning-rate", "'fast'", "a number"]),
        (["train", "--seed", "-1"], ["seed=-1", "from 0 to 2147483647"]),
        (["train", "--out", "/proc/run"], ["'/proc/run'", "can't be written"]),
        (["train", "--recipe", "inception_v33"], ["'inception_v33'", "inception_v3"]),
        (["train", "--recipe", "demo", "--optimizer", "sdg"], ["'sdg'", "momentum, rmsprop, sgd"]),
        (["train", "--boundaries", "10,many"], ["--boundaries", "'many'", "whole number"]),
        (["train", "--schedule", "exponential"], ["decay_examples", "--decay-examples"]),
        (["train", "--optimizer", "adam", "--momentum", "0.5"], ["momentum=0.5", "'adam'"]),
        (["train", "--optimizer", "sgd", "--nesterov"], ["nesterov=True", "'sgd'"]),
        (["train", "--schedule", "fixed", "--decay-rate", "0.9"], ["decay_rate=0.9", "'fixed'"]),
        (["train", "--exclude-head"], ["exclude_head", "--checkpoint"]),
        (["train", "--trainable", "("], ["'('", "regular expression"]),
        (["train", "--resume", "--recipe", "demo", "--out", "run"], ["--recipe", "--resume"]),
        (["train", "--resume"], ["--resume", "--out"]),
        (["train", "--resume", "--out", "nowhere"], ["'nowhere'", "no run directory"]),
    ],
)
def test_bad_input_is_one_line_that_names_it_and_what_is_allowed(capsys, arguments, words):
    line = refused(capsys, *arguments)
    for word in words:
        assert word in line


def test_a_directory_of_other_files_is_refused(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for options in ([], ["--overwrite"], ["--resume"]):
        line = refused(capsys, "train", "--out", str(tmp_path), *options)
        assert "not the directory of a training run" in line
    line = refused(capsys, "train", "--out", str(tmp_path / "notes.txt"))
    assert "is a file" in line
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_in_use_is_refused(capsys, tmp_path):
    directory = run_directory.RunDirectory(tmp_path)
    directory.create({"config": dataclasses.asdict(DEMO.config)})
    with directory.in_use():
        for option in ("--resume", "--overwrite"):
            assert "is in use" in refused(capsys, "train", "--out", str(tmp_path), option)


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback_and_changes_no_exit_code(capsys, place):
    arguments = ["show", "no_such_model"]
    line = refused(capsys, *arguments)
    arguments.insert(0 if place == "before" else 2, "--debug")
    code, out, err = shimzoo(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Traceback")
    assert err.endswith(line)


WITHOUT_TENSORFLOW = """
import sys
from shimzoo import cli
code = cli.main(sys.argv[1:])
heavy = {"tensorflow", "keras", "numpy", "sklearn", "matplotlib", "tf_slim"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["train", "--help"], 0),
        (["list"], 0),
        (["diff", "mobilenet", "shimmed", "native"], 0),
        (["train", "--batch-size", "0"], 2),
        (["train", "--out", "/proc/run"], 2),
        (["evaluate", "--help"], 0),
        (["evaluate", "--checkpoint", "nothing"], 2),
        (["predict", "nothing.png", "--checkpoint", "nothing"], 2),
        (["export", "model.onnx", "--checkpoint", "nothing"], 2),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(arguments, code):
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stderr


WITHOUT_TENSORFLOW_INSTALLED = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            raise ModuleNotFoundError("No module named 'tensorflow'", name=name)

sys.meta_path.insert(0, Missing())
"""


def test_missing_tensorflow_is_one_line_with_the_remedy(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW_INSTALLED)
    run = subprocess.run(
        [sys.executable, "-m", "shimzoo.cli", "train", "--out", str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": python_path(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "pip install 'shimzoo[cpu]'" in run.stderr
    assert run.stderr.count("\n") == 1


# As some parts of the real one do, it loses exceptions of others.
SLOW_TENSORFLOW = """
import contextlib
import time

print("loading", flush=True)
with contextlib.suppress(BaseException):
    time.sleep(100)
print("loaded all the same")
"""


def test_ctrl_c_while_tensorflow_loads_is_one_line(tmp_path):
    (tmp_path / "tensorflow.py").write_text(SLOW_TENSORFLOW)
    process = subprocess.Popen(
        [sys.executable, "-m", "shimzoo.cli", "train", "--out", str(tmp_path / "run")],
        env={**os.environ, "PYTHONPATH": python_path(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    told = "stopped while TensorFlow was loaded, before anything began\n"
    assert process.communicate() == ("", told)
    assert process.returncode == 130
    assert not (tmp_path / "run").exists()


def python_path(first):
    return os.pathsep.join([str(first), *filter(None, [os.environ.get("PYTHONPATH")])])


def test_another_keras_backend_is_one_line_with_the_remedy(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "shimzoo.cli", "train", "--out", str(tmp_path / "run")],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "KERAS_BACKEND is 'jax'" in run.stderr
    assert run.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.fixture
def inspecting(monkeypatch):
    """Lets `inspect` call a function in place of reading a checkpoint."""
    from shimzoo import checkpoints

    return lambda call: monkeypatch.setattr(checkpoints, "inspect", call)


def test_what_takes_long_says_so_on_stderr(capfd, monkeypatch, inspecting):
    monkeypatch.setattr(app, "PATIENCE_S", 0.0)
    shown = ""

    def wait_for_the_line(path):
        nonlocal shown
        deadline = time.monotonic() + 60
        while not shown and time.monotonic() < deadline:
            shown = capfd.readouterr().err
            time.sleep(0.01)
        return "done"

    inspecting(wait_for_the_line)
    assert cli.main(["inspect", "model.ckpt"]) == 0
    assert shown == "shimzoo: comparing it with the models ...\n"
    assert capfd.readouterr() == ("done\n", "")


def test_what_is_done_at_once_says_nothing_else(capfd, monkeypatch, inspecting):
    assert app.PATIENCE_S == 1.0
    monkeypatch.setattr(app, "PATIENCE_S", 3600.0)
    inspecting(lambda path: "done")
    assert cli.main(["inspect", "model.ckpt"]) == 0
    assert capfd.readouterr() == ("done\n", "")
