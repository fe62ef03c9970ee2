"""A training run: its files, and that it goes on exactly where it was stopped."""

import dataclasses
import errno
import functools
import json
import os
import pathlib
import re
import resource
import shutil
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, cli, models
from shimzoo.training import (
    DEMO,
    TrainingInterrupted,
    callbacks,
    datasets,
    input_pipeline,
    run,
    train,
)
from shimzoo.training.run_directory import RunDirectory

from .few_digits import load_few
from .run_records import metrics
from .stops import signal_at

STEPS, EPOCHS = 6, 3
CONFIG = dataclasses.replace(
    DEMO.config, batch_size=16, epochs=EPOCHS, warmup_examples=64, dropout_keep_prob=0.5
)


@pytest.fixture(autouse=True, scope="module")
def _few_digits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "load_dataset", load_few)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The result of a run that nothing interrupted."""
    return train(CONFIG, out=tmp_path_factory.mktemp("whole") / "run")


@pytest.fixture
def stop_at(monkeypatch):
    return functools.partial(signal_at, monkeypatch)


def final_weights(result):
    model = restored(result.directory / "final.weights.h5", result.stage)
    return [weight.numpy() for weight in model.weights]


def restored(path, stage="native"):
    model = models.create(CONFIG.model, stage, num_classes=10, input_size=CONFIG.image_size)
    checkpoints.restore(model, path)
    return model


def test_a_run_writes_all_that_it_promises(whole):
    directory = whole.directory
    assert {path.name for path in directory.iterdir()} == {
        ".lock",
        "best.weights.h5",
        "checkpoints",
        "config.json",
        "curve.png",
        "final.weights.h5",
        "metrics.jsonl",
        "result.json",
        "tensorboard",
    }
    record = json.loads((directory / "config.json").read_text())
    assert record["config"] == json.loads(json.dumps(dataclasses.asdict(CONFIG)))
    assert record["resolved"]["steps_per_epoch"] == STEPS
    assert record["resolved"]["train_images"] == 100
    assert record["versions"]["keras"] == keras.__version__
    assert record["versions"]["numpy"] == np.__version__
    assert record["versions"].keys() >= {
        "python",
        "tensorflow",
        "tf-slim",
        "scikit-learn",
        "shimzoo",
    }
    devices = tf.config.list_physical_devices()
    assert len(record["resolved"]["devices"]) == len(devices)
    assert record["resolved"]["devices"][0].startswith("CPU: ")
    assert record["command"]
    assert (directory / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert RunDirectory(directory).read_result() == whole


def test_metrics_have_a_line_an_epoch_and_the_result_is_the_last(whole):
    lines = RunDirectory(whole.directory).read_metrics()
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert [line["step"] for line in lines] == [6, 12, 18]
    assert [line["examples"] for line in lines] == [96, 192, 288]
    assert lines[-1]["test_accuracy"] == whole.test_accuracy
    # Warm-up to the peak within 64 examples, four steps, then down to zero.
    rates = [line["learning_rate"] for line in lines]
    assert CONFIG.learning_rate > rates[0] > rates[1] > rates[2] >= 0.0
    assert all(line["images_per_second"] > 0 for line in lines)
    assert whole.images_per_second > 0
    assert all(0 <= line["input_wait_s"] <= line["seconds"] for line in lines)


def test_tensorboard_has_both_parts_of_every_epoch(whole):
    for part in ("train", "validation"):
        assert epochs_in_events(whole.directory / "tensorboard" / part) == {0, 1, 2}


def epochs_in_events(directory):
    return {
        event.step
        for path in directory.iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(path))
        for value in event.summary.value
        if value.tag == "epoch_loss"
    }


def test_the_final_weights_give_the_test_accuracy_that_is_reported(whole):
    model = restored(whole.directory / "final.weights.h5")
    model.compile(metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")])
    test = input_pipeline.evaluation_batches(run.load_dataset("digits").test, CONFIG)
    logits = np.concatenate([model(images, training=False) for images, _, _ in test])
    labels = np.concatenate([labels for _, labels, _ in test])
    assert np.mean(logits.argmax(axis=1) == labels) == pytest.approx(whole.test_accuracy)


def test_a_run_stopped_again_and_again_ends_as_an_uninterrupted_one(
    whole, tmp_path, stop_at, capsys
):
    out = tmp_path / "run"
    # In mid-epoch, with an epoch's last step, with an epoch's first one.
    for step, number in ((4, signal.SIGTERM), (6, signal.SIGINT), (13, signal.SIGINT)):
        stop_at(step, number)
        with pytest.raises(TrainingInterrupted) as stopped:
            train(CONFIG, out=out, resume=out.exists())
        assert (stopped.value.step, stopped.value.signal_number) == (step, number)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    capsys.readouterr()
    result = train(CONFIG, out=out, resume=True)
    origin = f"resumed  after 13 of 18 steps, from '{out}/checkpoints/step-13', which the file"
    told = capsys.readouterr().out
    assert origin in told
    assert "\nchanged " not in told
    record = json.loads((out / "config.json").read_text())
    assert [part["step"] for part in record["resumed"]] == [4, 6, 13]
    for part in record["resumed"]:
        names = ("strategy", "replicas", "cluster", "devices")
        assert {name: part[name] for name in names} == {
            name: record["resolved"][name] for name in names
        }
        assert part["versions"] == record["versions"]
        assert part["git_revision"] == record["git_revision"]
        assert part["command"]
        assert part["started"] >= record["started"]
    for weight, expected in zip(final_weights(result), final_weights(whole), strict=True):
        np.testing.assert_array_equal(weight, expected)
    for line, expected in zip(metrics(out), metrics(whole.directory), strict=True):
        assert line == pytest.approx(expected, rel=1e-5)
    for part in ("train", "validation"):
        assert epochs_in_events(out / "tensorboard" / part) == {0, 1, 2}


@pytest.mark.parametrize("stage", ["shimmed", "partially_native"])
def test_a_run_of_tf1_code_goes_on_as_well(stage, tmp_path, stop_at):
    config = dataclasses.replace(CONFIG, stage=stage, epochs=1)
    expected = final_weights(train(config, out=tmp_path / "whole"))
    stop_at(4)
    with pytest.raises(TrainingInterrupted):
        train(config, out=tmp_path / "run")
    result = train(config, out=tmp_path / "run", resume=True)
    for weight, value in zip(final_weights(result), expected, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.fixture(scope="module")
def stopped_once(tmp_path_factory):
    """The directory of a run that was stopped after 13 of its 18 steps."""
    out = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, 13)
        with pytest.raises(TrainingInterrupted):
            train(CONFIG, out=out)
    return out


@pytest.fixture
def stopped(stopped_once, tmp_path):
    return shutil.copytree(stopped_once, tmp_path / "run")


def cut_off(checkpoint):
    file = next(checkpoint.parent.glob(f"{checkpoint.name}.data-*"))
    file.write_bytes(file.read_bytes()[:100])


def test_after_a_damaged_checkpoint_the_one_before_is_taken_and_kept(whole, stopped, capsys):
    cut_off(stopped / "checkpoints" / "step-13")
    result = train(CONFIG, out=stopped, resume=True)
    assert re.search(
        r"^resumed  after 12 of 18 steps, from '.*/step-12', as '.*/step-13' is damaged, and now",
        capsys.readouterr().out,
        re.MULTILINE,
    )
    kept = {path.name for path in (stopped / "checkpoints").glob("step-*.index")}
    assert kept == {"step-12.index", "step-18.index"}
    for weight, expected in zip(final_weights(result), final_weights(whole), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_without_a_whole_checkpoint_a_run_is_left_as_it_is(stopped, tmp_path):
    metrics = (stopped / "metrics.jsonl").read_text()
    for step in (12, 13):
        cut_off(stopped / "checkpoints" / f"step-{step}")
    message = r"step-13' and '.*step-12' are damaged, and there is no other checkpoint"
    with pytest.raises(ValueError, match=message):
        train(CONFIG, out=stopped, resume=True)
    (stopped / "checkpoints").rename(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="metrics of whole epochs and no checkpoint"):
        train(CONFIG, out=stopped, resume=True)
    assert (stopped / "metrics.jsonl").read_text() == metrics


def test_on_other_replicas_a_run_says_that_it_does_not_go_on_exactly(stopped, stop_at, capsys):
    path = stopped / "config.json"
    record = json.loads(path.read_text())
    record["resolved"] |= {"strategy": "mirrored", "replicas": 4}
    path.write_text(json.dumps(record))
    stop_at(14)
    with pytest.raises(TrainingInterrupted):
        train(CONFIG, out=stopped, resume=True)
    assert re.search(
        r"^changed  1 replica \(one_device\) now and 4 replicas \(mirrored\) before: each replica",
        capsys.readouterr().out,
        re.MULTILINE,
    )


def test_a_process_that_is_lost_while_a_run_is_resumed_is_no_damage(stopped, monkeypatch, capsys):
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}

    def restore(self, path):
        raise tf.errors.UnavailableError(None, None, "failed to connect to all addresses")

    monkeypatch.setattr(tf.train.Checkpoint, "restore", restore)
    assert cli.main(["train", "--resume", "--out", str(stopped)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"The run in '{stopped}' can't be resumed now: failed to connect to all addr" in line
    assert "--overwrite" not in line
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


def test_without_a_state_file_the_newest_checkpoint_is_taken(stopped, stop_at, capsys):
    (stopped / "checkpoints" / "checkpoint").unlink()
    stop_at(14)
    with pytest.raises(TrainingInterrupted):
        train(CONFIG, out=stopped, resume=True)
    assert re.search(
        "^resumed  after 13 of 18 steps, from '.*/step-13', the newest one there, as no file "
        "'checkpoint' names one",
        capsys.readouterr().out,
        re.MULTILINE,
    )


def test_a_runs_checkpoint_can_be_restored_into_every_version(stopped):
    native, shimmed = (restored(stopped / "checkpoints", stage) for stage in ("native", "shimmed"))
    untrained = models.create(CONFIG.model, num_classes=10, input_size=CONFIG.image_size)
    for one, other, old in zip(native.weights, shimmed.weights, untrained.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
        assert np.any(one.numpy() != old.numpy())


def test_resumed_at_its_end_a_run_tells_what_it_had(whole, tmp_path):
    out = shutil.copytree(whole.directory, tmp_path / "run")
    (out / "result.json").unlink()
    result = train(CONFIG, out=out, resume=True)
    assert result.images_per_second == whole.images_per_second
    assert result.test_accuracy == whole.test_accuracy


def limit_once(patch):
    """Lets the first checkpoint be larger than a file may be, as no others are."""
    write = tf.train.Checkpoint.write

    def write_limited(self, path):
        patch.setattr(tf.train.Checkpoint, "write", write)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))  # It has 1.8 MB.
        try:
            return write(self, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    patch.setattr(tf.train.Checkpoint, "write", write_limited)


def fill(file, patch):
    def write(self, path):
        folder = pathlib.Path(path).parent
        name = file.format(step=pathlib.Path(path).name)
        raise tf.errors.ResourceExhaustedError(None, None, f"{folder / name}; {FULL}")

    patch.setattr(tf.train.Checkpoint, "write", write)


# As TensorFlow calls them while it writes.
TEMPORARY = [
    "{step}_temp/part-00000-of-00001.data-00000-of-00001.tempstate5440366082380729953",
    "checkpoint.tmp2f0c",
]


FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (limit_once, os.strerror(errno.EFBIG)),
        *((functools.partial(fill, file), FULL) for file in TEMPORARY),
    ],
)
@pytest.mark.parametrize(("options", "steps"), [([], 2), (["--save-every", "0"], 1)])
def test_a_full_disk_is_one_line_and_the_run_goes_on_afterwards(
    tmp_path, capsys, refused, reason, options, steps
):
    out = tmp_path / "run"
    arguments = ["train", "--epochs", "1", "--batch-size", "50", *options, "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        refused(patch)
        assert cli.main(arguments) == 1
    captured = capsys.readouterr()
    assert "1 epoch of 2 steps" in captured.out
    (line,) = captured.err.splitlines()
    assert line.startswith(f"shimzoo: error: The run in '{out}' failed after {steps} of 2 steps: ")
    assert line.endswith(f"{reason}. Once that is mended, --resume continues it.")
    assert f" steps: '{out / 'checkpoints'}': " in line
    assert "temp" not in line.replace(str(out), "")
    assert cli.main([*arguments, "--resume"]) == 0
    assert "at the start, as the run has no checkpoint yet" in capsys.readouterr().out
    saved = {path.suffix for path in (out / "checkpoints").iterdir()}
    assert saved == {"", ".index", ".data-00000-of-00001"}


def test_an_error_without_a_text_is_one_line_too(monkeypatch, tmp_path, capsys):
    def fail(self, batch, logs=None):
        raise TimeoutError

    monkeypatch.setattr(callbacks.CountSteps, "on_train_batch_end", fail)
    assert cli.main(["train", "--batch-size", "50", "--out", str(tmp_path / "run")]) == 1
    assert re.search(r"run' failed after 0 .*TimeoutError\.", capsys.readouterr().err)


@pytest.mark.parametrize(
    "allocate", [lambda: np.zeros(1 << 50), lambda: tf.zeros(1 << 50)], ids=["numpy", "tensorflow"]
)
def test_without_memory_a_smaller_batch_is_named(monkeypatch, tmp_path, capsys, allocate):
    monkeypatch.setattr(
        callbacks.CountSteps, "on_train_batch_end", lambda self, batch, logs=None: allocate()
    )
    assert cli.main(["train", "--batch-size", "50", "--out", str(tmp_path / "run")]) == 2
    assert re.search(
        r"run' was out of memory after 0 of 60 steps: .*batch size below 50",
        capsys.readouterr().err,
    )


def test_without_memory_for_the_data_there_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run, "load_dataset", lambda *_: np.zeros(1 << 50))
    assert cli.main(["train", "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("shimzoo: error: Out of memory: take a smaller batch")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train": 99, "test": 40},
            "train_images is 99 now and was 100. Put",
        ),
        (
            {"train": 100, "test": 39, "class_names": (*"01234567x9",)},
            "test_images is 39 now and was 40; class_names have 'x' as number 8 now and had '8'",
        ),
        (
            {"train": 100, "test": 40, "relabelled": "train"},
            "other data: as many training images as before, but others or of other classes. Put",
        ),
        (
            {"train": 100, "test": 40, "relabelled": "test"},
            "other data: as many test images as before, but others or of other classes. Put",
        ),
    ],
)
def test_with_other_data_a_run_does_not_go_on(stopped, monkeypatch, capsys, changes, message):
    before = {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()}

    def load_changed(name, *_):
        digits = load_few(name)
        parts = {
            part: datasets.ArraySplit(split.images[:n], split.labels[:n], 10)
            for part, split, n in (
                ("train", digits.train, changes["train"]),
                ("test", digits.test, changes["test"]),
            )
        }
        if "relabelled" in changes:
            labels = parts[changes["relabelled"]].labels
            labels[[0, 1]] = labels[[1, 0]]
        names = changes.get("class_names", digits.class_names)
        return dataclasses.replace(digits, **parts, class_names=names)

    monkeypatch.setattr(run, "load_dataset", load_changed)
    assert cli.main(["train", "--resume", "--out", str(stopped)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in stopped.rglob("*") if path.is_file()} == before


def test_a_run_that_does_not_say_what_its_data_were_does_not_go_on(stopped, capsys):
    path = stopped / "config.json"
    record = json.loads(path.read_text())
    del record["resolved"]["train_fingerprint"]
    path.write_text(json.dumps(record))
    assert cli.main(["train", "--resume", "--out", str(stopped)]) == 2
    error = capsys.readouterr().err
    assert (
        "what its data were (train_fingerprint): it can only be continued by the version" in error
    )
    assert error.count("\n") == 1


def test_settings_that_decide_nothing_may_change_and_are_kept(whole, stopped, stop_at):
    stop_at(14)
    changes = ["--keep", "1", "--max-bad-fraction", "0.5"]
    assert cli.main(["train", "--resume", "--out", str(stopped), *changes]) == 130
    config = RunDirectory(stopped).read_config()
    assert (config.keep, config.max_bad_fraction) == (1, 0.5)
    kept = {path.name for path in (stopped / "checkpoints").glob("step-*.index")}
    assert kept == {"step-12.index", "step-14.index"}  # The last that was tested, and the newest.
    result = train(config, out=stopped, resume=True)
    for weight, expected in zip(final_weights(result), final_weights(whole), strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_a_finished_runs_directory_is_named_as_it_is(whole, tmp_path, capsys):
    out = shutil.copytree(whole.directory, tmp_path / "run [b]")
    train(CONFIG, out=out, resume=True)
    assert f"The run in '{out}' is finished" in capsys.readouterr().out


def test_resuming_a_finished_run_says_so_and_trains_no_more(whole, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.directory.rglob("*")}
    assert train(CONFIG, out=whole.directory, resume=True) == whole
    assert "is finished" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in whole.directory.rglob("*")} == before


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_step(tmp_path):
    config = dataclasses.replace(CONFIG, learning_rate=1e30, warmup_examples=0)
    with pytest.raises(FloatingPointError, match=r"loss is (nan|inf) at step [1-9]\d*:.*1e\+30"):
        train(config, out=tmp_path / "run")
    assert not (tmp_path / "run" / "final.weights.h5").exists()
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"image_size": 31}, "31x31"), ({"batch_size": 101}, "batch size is 101.*100 training")],
)
def test_what_model_or_data_cannot_take_is_refused_before_anything_is_written(
    tmp_path, setting, message
):
    with pytest.raises(ValueError, match=message):
        train(dataclasses.replace(CONFIG, **setting), out=tmp_path / "run")
    assert not list(tmp_path.iterdir())
