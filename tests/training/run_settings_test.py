"""Runs with what the demonstration leaves out: averages, accumulation, precision, fine-tuning."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints, models
from shimzoo.training import DEMO, TrainingInterrupted, run, run_directory, train

from .few_digits import load_few
from .run_records import assert_same_state, last_state
from .stops import signal_at

BATCH_SIZE, STEPS = 239, 6  # An epoch of digits has 1,437 images.
SHORT = dataclasses.replace(
    DEMO.config, batch_size=BATCH_SIZE, epochs=2, warmup_examples=500, dropout_keep_prob=0.5
)
AVERAGED = dataclasses.replace(
    SHORT,
    optimizer="rmsprop",
    learning_rate=0.02,
    epsilon=1.0,
    schedule="exponential",
    decay_examples=900,
    label_smoothing=0.1,
    ema_decay=0.9,
    gradient_accumulation_steps=2,
    clip_global_norm=5.0,
    keep=1,
    profile=(2, 3),
)
# Of 100 images, which make as many steps.
MIXED = dataclasses.replace(
    SHORT,
    batch_size=16,
    warmup_examples=32,
    optimizer="adamw",
    learning_rate=0.01,
    decoupled_weight_decay=0.1,
    schedule="piecewise",
    boundaries=(4 * 16,),
    factors=(0.1,),
    precision="mixed_float16",
    steps_per_execution=2,
    profile=(2, 2),
)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """The result of a run with moving averages."""
    return train(AVERAGED, out=tmp_path_factory.mktemp("averaged") / "run")


def stopped_and_resumed(config, out, step):
    with pytest.MonkeyPatch.context() as patch:
        signal_at(patch, step)
        with pytest.raises(TrainingInterrupted):
            train(config, out=out)
    return train(config, out=out, resume=True)


def assert_same_end(one, other):
    assert_same_state(one.directory, other.directory)
    assert one.test_accuracy == other.test_accuracy


def test_a_run_goes_on_amid_accumulated_gradients_with_its_averages(averaged, tmp_path):
    resumed = stopped_and_resumed(AVERAGED, tmp_path / "run", step=3)
    assert_same_end(resumed, averaged)
    names = last_state(resumed.directory)
    trainable, all_weights = 83, 137
    assert sum("ExponentialMovingAverage" in name for name in names) == all_weights
    # Mean squares, momentums, and gradients that wait for their update.
    assert sum(name.startswith("optimizer/") for name in names) >= 3 * trainable


def test_a_run_in_float16_goes_on_between_two_executions(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "load_dataset", load_few)
    whole = train(MIXED, out=tmp_path / "whole")
    resumed = stopped_and_resumed(MIXED, tmp_path / "run", step=8)
    assert_same_end(resumed, whole)
    assert [line["step"] for line in metrics_of(whole)] == [STEPS, 2 * STEPS]
    assert list(whole.directory.glob("tensorboard/plugins/profile/*/*.xplane.pb"))


def metrics_of(result):
    return run_directory.RunDirectory(result.directory).read_metrics()


def net_of(path, **how):
    net = models.create(SHORT.model, num_classes=10, input_size=SHORT.image_size)
    checkpoints.restore(net, path, **how)
    return net


def test_a_runs_checkpoint_gives_averages_or_weights_and_the_end_has_averages(averaged):
    final = net_of(averaged.directory / "final.weights.h5").get_weights()
    averages = net_of(averaged.directory / "checkpoints").get_weights()
    weights = net_of(averaged.directory / "checkpoints", ema=False).get_weights()
    for one, other in zip(final, averages, strict=True):
        np.testing.assert_array_equal(one, other)
    assert any(not np.array_equal(*both) for both in zip(averages, weights, strict=True))


def test_only_the_asked_number_of_checkpoints_is_kept(averaged):
    files = (averaged.directory / "checkpoints").glob("step-*.index")
    assert [file.name for file in files] == [f"step-{2 * STEPS}.index"]


def test_tensorboard_has_rates_images_and_the_profile(averaged):
    directory = averaged.directory / "tensorboard"
    tags = set()
    for path in (directory / "train").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert {"epoch_loss", "epoch_accuracy", "epoch_learning_rate"} <= tags
    assert any(tag.startswith("images as the net sees them") for tag in tags)
    assert list((directory / "plugins" / "profile").glob("*/*.xplane.pb"))
    run_directory.choose(AVERAGED, averaged.directory, resume=False, overwrite=True)


def test_the_best_epochs_weights_are_kept(tmp_path):
    # The second epoch's rate throws the weights about.
    config = dataclasses.replace(
        SHORT,
        schedule="piecewise",
        learning_rate=0.05,
        boundaries=(STEPS * BATCH_SIZE - 1,),
        factors=(100.0,),
    )
    result = train(config, out=tmp_path / "run")
    accuracies = [line["test_accuracy"] for line in metrics_of(result)]
    assert accuracies[0] != accuracies[1]
    best = net_of(result.directory / "best.weights.h5").get_weights()
    of_epochs = [
        net_of(result.directory / "checkpoints" / f"step-{step}").get_weights()
        for step in (STEPS, 2 * STEPS)
    ]
    for one, other in zip(best, of_epochs[int(np.argmax(accuracies))], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_bad_loss_names_the_last_good_checkpoint(tmp_path):
    config = dataclasses.replace(
        SHORT, schedule="piecewise", boundaries=(STEPS * BATCH_SIZE - 1,), factors=(1e30,)
    )
    message = rf"at step ([7-9]|1\d): .*the last good checkpoint is '{tmp_path}/.*/step-6'"
    with pytest.raises(FloatingPointError, match=message):
        train(config, out=tmp_path / "run")


def test_weights_that_an_epochs_last_update_ruined_are_not_kept(tmp_path):
    config = dataclasses.replace(
        SHORT,
        epochs=1,
        schedule="piecewise",
        boundaries=((STEPS - 1) * BATCH_SIZE - 1,),
        factors=(1e39,),  # Weights stay finite, and what they give does not.
    )
    with pytest.raises(FloatingPointError, match=r"test loss is nan at step 6: .*no checkpoint"):
        train(config, out=tmp_path / "run")
    assert not list((tmp_path / "run").glob("*.weights.h5"))
    assert not list((tmp_path / "run").glob("checkpoints/*"))


@pytest.mark.parametrize("save_every", [None, 0.0])
def test_after_a_bad_test_a_run_goes_on_from_the_epoch_before(tmp_path, capsys, save_every):
    # The last update leaves weights finite, and what they give not.
    config = dataclasses.replace(
        SHORT,
        schedule="piecewise",
        boundaries=((2 * STEPS - 1) * BATCH_SIZE - 1,),
        factors=(1e39,),
        keep=1,
        save_every=save_every,
    )
    out = tmp_path / "run"
    message = rf"test loss is nan at step 12: .*good checkpoint is '{out}/checkpoints/step-6'"
    with pytest.raises(FloatingPointError, match=message):
        train(config, out=out)
    assert (out / "checkpoints" / "step-6.index").exists()
    with pytest.raises(FloatingPointError, match=message):
        train(config, out=out, resume=True)
    origin = f"resumed  after 6 of 12 steps, from '{out}/checkpoints/step-6'"
    assert origin in capsys.readouterr().out


def test_fine_tuning_starts_from_a_checkpoint_and_trains_what_is_named(averaged, tmp_path, capsys):
    weights = averaged.directory / "final.weights.h5"
    config = dataclasses.replace(
        SHORT,
        epochs=1,
        checkpoint=str(weights),
        exclude_head=True,
        trainable="MobilenetV1/Logits",
        batch_norm_decay=0.99,
    )
    result = train(config, out=tmp_path / "run")
    assert f"weights  135 variables from '{weights}', 2 made anew" in capsys.readouterr().out
    before, after = (
        {checkpoints.tf1_name(w): w.numpy() for w in net_of(path).weights}
        for path in (weights, result.directory / "final.weights.h5")
    )
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert {name for name in changed if "/moving_" not in name} == {
        "MobilenetV1/Logits/Conv2d_1c_1x1/biases",
        "MobilenetV1/Logits/Conv2d_1c_1x1/weights",
    }
    assert result.parameters == 256 * 10 + 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": "nowhere.ckpt"}, "nowhere.ckpt"),
        ({"trainable": "Logits"}, "trainable='Logits' matches none"),
        ({"steps_per_execution": 4}, "does not divide the 6 steps"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises((ValueError, OSError), match=message):
        train(dataclasses.replace(SHORT, **changes), out=tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_this_file_leaves_kerass_own_precision_alone():
    assert keras.config.dtype_policy().name == "float32"
