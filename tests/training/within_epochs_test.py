"""What a run saves and writes within its epochs, and that it goes on from there."""

import dataclasses
import signal
import types

import pytest
import tensorflow as tf
from shimzoo.training import DEMO, TrainingInterrupted, callbacks, placement, run, train
from shimzoo.training.run_directory import RunDirectory

from .few_digits import load_few
from .run_records import assert_same_state, metrics
from .stops import signal_in_test

STEPS, EPOCHS = 6, 2
CONFIG = dataclasses.replace(
    DEMO.config,
    batch_size=16,
    epochs=EPOCHS,
    warmup_examples=64,
    dropout_keep_prob=0.5,
    log_every=2,
)


class Killed(BaseException):
    """Ends a run as a kill does: nothing of it reacts."""


@pytest.fixture(autouse=True, scope="module")
def _few_digits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "load_dataset", load_few)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The directory of a run that nothing interrupted."""
    return train(CONFIG, out=tmp_path_factory.mktemp("whole") / "run").directory


def kill(patch, callback, method, step):
    """Lets a run end where a callback's method is called at a step."""
    before = getattr(callback, method)

    def killing(self, *arguments, **named):
        if self._position.step == step:
            raise Killed
        return before(self, *arguments, **named)

    patch.setattr(callback, method, killing)


def steps_saved(directory):
    names = (path.name for path in (directory / "checkpoints").glob("step-*.index"))
    return sorted(int(name.removesuffix(".index").removeprefix("step-")) for name in names)


def assert_same_run(directory, expected):
    assert metrics(directory) == metrics(expected)
    assert_same_state(directory, expected)


def test_metrics_have_lines_within_an_epoch_too(whole):
    lines = metrics(whole)
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert [line.get("epoch") for line in lines] == [None, None, 1, None, None, 2]
    assert RunDirectory(whole).read_metrics()[0]["epoch"] == 1
    for line in lines:
        assert line["examples"] == line["step"] * CONFIG.batch_size
        assert line["loss"] > 0
        assert 0 <= line["accuracy"] <= 1
    # Warm-up within 64 examples.
    rates = [line["learning_rate"] for line in lines]
    assert rates[0] == pytest.approx(CONFIG.learning_rate / 2)
    assert rates[1] == pytest.approx(CONFIG.learning_rate)


def test_tensorboard_has_them_by_step(whole):
    found = {}
    for path in (whole / "tensorboard" / "train").iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                if value.tag.startswith("steps/"):
                    tensor = tf.make_ndarray(value.tensor)
                    found.setdefault(value.tag, {})[event.step] = float(tensor)
    names = ("loss", "accuracy", "learning_rate", "images_per_second")
    assert found.keys() == {f"steps/{name}" for name in names}
    for name in names[:3]:
        expected = {line["step"]: line[name] for line in metrics(whole) if "epoch" not in line}
        assert found[f"steps/{name}"] == pytest.approx(expected)


def test_with_several_steps_per_execution_a_line_comes_after_what_completes_it(tmp_path):
    config = dataclasses.replace(CONFIG, epochs=1, steps_per_execution=3, log_every=2)
    directory = train(config, out=tmp_path / "run").directory
    assert [line["step"] for line in metrics(directory)] == [3, 6]


def test_killed_within_an_epoch_a_run_goes_on_from_there(whole, tmp_path):
    config = dataclasses.replace(CONFIG, save_every=0.0)
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, callbacks.SaveCheckpoints, "on_train_batch_end", step=10)
        with pytest.raises(Killed):
            train(config, out=tmp_path / "run")
    assert steps_saved(tmp_path / "run") == [6, 8, 9]  # The first epoch's passed its test.
    # Of steps after the checkpoint the lines are written anew.
    assert metrics(tmp_path / "run")[-1]["step"] == 10
    train(config, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole)


def test_weights_that_are_no_longer_finite_are_not_saved(tmp_path, monkeypatch):
    count = callbacks.CountSteps.on_train_batch_end

    def count_and_ruin(self, batch, logs=None):
        count(self, batch, logs)
        if self._position.step == 4:
            weight = self.model.trainable_variables[0]
            weight.assign(weight.value / 0.0)

    monkeypatch.setattr(callbacks.CountSteps, "on_train_batch_end", count_and_ruin)
    message = "weight '.*' is no longer finite at step 4: .* checkpoint is '.*/step-3'"
    with pytest.raises(FloatingPointError, match=message):
        train(dataclasses.replace(CONFIG, save_every=0.0), out=tmp_path / "run")
    assert steps_saved(tmp_path / "run") == [2, 3]


def test_what_a_step_under_way_ruins_is_not_saved(tmp_path, monkeypatch):
    trained = []
    count = callbacks.CountSteps.on_train_batch_end

    def count_and_tell(self, batch, logs=None):
        count(self, batch, logs)
        trained[:] = [self._position.step, self.model]

    def finish_and_ruin(self):
        step, model = trained
        if step == 4:
            weight = model.trainable_variables[0]
            weight.assign(weight.value / 0.0)

    monkeypatch.setattr(callbacks.CountSteps, "on_train_batch_end", count_and_tell)
    monkeypatch.setattr(placement.Placement, "finish_steps", finish_and_ruin)
    with pytest.raises(FloatingPointError, match="is no longer finite at step 4"):
        train(dataclasses.replace(CONFIG, save_every=0.0), out=tmp_path / "run")
    assert steps_saved(tmp_path / "run") == [2, 3]


@pytest.mark.parametrize("step", [STEPS, STEPS * EPOCHS])
def test_killed_while_it_is_tested_a_run_goes_on_with_the_test(whole, tmp_path, capsys, step):
    with pytest.MonkeyPatch.context() as patch:
        kill(patch, callbacks.StopOnBadLoss, "on_epoch_end", step)
        with pytest.raises(Killed):
            train(CONFIG, out=tmp_path / "run")
    assert steps_saved(tmp_path / "run")[-1] == step
    assert len(RunDirectory(tmp_path / "run").read_metrics()) == step // STEPS - 1
    train(CONFIG, out=tmp_path / "run", resume=True)
    assert f"resumed  after {step} of 12 steps" in capsys.readouterr().out
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize("step", [STEPS, STEPS * EPOCHS])
def test_a_signal_ends_a_test_after_the_batch_and_the_run_goes_on_with_it(
    whole, tmp_path, monkeypatch, step
):
    with monkeypatch.context() as patch:
        tested = signal_in_test(patch, step, signal.SIGTERM)
        with pytest.raises(TrainingInterrupted) as stopped:
            train(CONFIG, out=tmp_path / "run")
    assert (stopped.value.step, stopped.value.signal_number) == (step, signal.SIGTERM)
    assert tested == [0]
    assert len(RunDirectory(tmp_path / "run").read_metrics()) == step // STEPS - 1
    train(CONFIG, out=tmp_path / "run", resume=True)
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.parametrize(
    ("save_every", "saved"), [(None, [6, 12]), (25.0, [3, 6, 9, 12]), (60.0, [6, 12])]
)
def test_seconds_decide_when_a_checkpoint_is_due(monkeypatch, tmp_path, save_every, saved):
    class Clock(callbacks.CountSteps):
        """Lets each step take ten seconds."""

        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            clock.now += 10.0

    clock = types.SimpleNamespace(now=0.0)
    monkeypatch.setattr(callbacks, "CountSteps", Clock)
    monkeypatch.setattr(callbacks, "time", types.SimpleNamespace(monotonic=lambda: clock.now))
    config = dataclasses.replace(CONFIG, save_every=save_every, keep=9)
    train(config, out=tmp_path / "run")
    assert steps_saved(tmp_path / "run") == saved
