"""Which checkpoints of a run are kept, and which one it goes on from."""

import errno
import os
import pathlib
import re

import keras
import pytest
import tensorflow as tf
from shimzoo.training import DEMO, checkpointing
from shimzoo.training.checkpointing import Position, RunCheckpoint
from shimzoo.training.training_model import create_training_model

KEPT = 2


@pytest.fixture(scope="module")
def model():
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    return create_training_model(DEMO.config, 10, 1_000, accuracy)


@pytest.fixture
def make(model, tmp_path):
    """Makes what a new process has of the run: a position, and access to its checkpoints."""

    def make(directory=tmp_path, keep=KEPT):
        position = Position(10, 10, [model.metrics[0]])
        return position, RunCheckpoint(model, position, directory, keep, tmp_path)

    return make


def save(process, *steps):
    position, checkpoint = process
    for step in steps:
        position.step = step
        checkpoint.save()


def steps_in(directory):
    names = [re.fullmatch(r"step-(\d+)\.index", path.name) for path in directory.iterdir()]
    return {int(name[1]) for name in names if name}


def cut_off(directory, step):
    (file,) = directory.glob(f"step-{step}.data-*")
    file.write_bytes(file.read_bytes()[:100])


def test_the_newest_are_kept(make, tmp_path):
    process = make()
    save(process, 3, 10, 17)
    assert steps_in(tmp_path) == {10, 17}
    assert process[1].newest == str(tmp_path / "step-17")
    assert process[1].newest_tested is None


def test_a_step_is_saved_once(make, tmp_path):
    process = make()
    save(process, 3)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    save(process, 3)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def latest_in(directory):
    return pathlib.Path(tf.train.latest_checkpoint(str(directory))).name


def test_ruined_weights_leave_the_list(make, tmp_path):
    process = make()
    save(process, 3, 10)
    process[1].fall_back()
    assert steps_in(tmp_path) == {3}
    assert latest_in(tmp_path) == "step-3"
    save(process, 10, 17)
    assert steps_in(tmp_path) == {10, 17}


def test_what_passed_its_test_is_kept_until_another_one_has(make, tmp_path):
    process = make(keep=1)
    save(process, 10)
    process[1].keep_as_tested()
    save(process, 13, 17, 20)
    assert steps_in(tmp_path) == {10, 20}
    assert latest_in(tmp_path) == "step-20"
    process[1].keep_as_tested()
    assert steps_in(tmp_path) == {20}
    assert process[1].newest_tested == str(tmp_path / "step-20")


@pytest.mark.parametrize("is_resumed", [False, True])
def test_after_a_bad_test_the_last_good_one_is_the_newest(make, tmp_path, is_resumed):
    process = make(keep=3)
    save(process, 10)
    process[1].keep_as_tested()
    save(process, 13, 17)
    if is_resumed:
        process = make(keep=3)
        process[1].restore(tested={10})
    save(process, 20)
    process[1].fall_back()
    assert steps_in(tmp_path) == {10, 13, 17}
    assert process[1].newest == process[1].newest_tested == str(tmp_path / "step-10")
    process = make(keep=1)
    process[1].restore(tested={10})
    assert process[0].step == 10
    # What may be ruined is the first to go.
    save(process, 12)
    assert steps_in(tmp_path) == {10, 12}


def test_damaged_ones_are_moved_away_and_never_kept_in_place_of_whole_ones(make, tmp_path):
    save(make(), 3, 10)
    cut_off(tmp_path, 10)
    process = make()
    origin = process[1].restore()
    assert f"'{tmp_path}/step-10' is damaged, and now in '{tmp_path}/damaged'" in origin
    assert process[0].step == 3
    assert steps_in(tmp_path / "damaged") == {10}
    assert latest_in(tmp_path) == "step-3"
    save(process, 17)
    assert steps_in(tmp_path) == {3, 17}
    # Should the new one be damaged as well, there is still a whole one.
    cut_off(tmp_path, 17)
    process = make()
    process[1].restore()
    assert process[0].step == 3
    assert steps_in(tmp_path / "damaged") == {10, 17}


def test_where_none_is_whole_nothing_is_moved(make, tmp_path):
    save(make(), 3, 10)
    for step in (3, 10):
        cut_off(tmp_path, step)
    with pytest.raises(ValueError, match=r"step-10' and '.*step-3' are damaged, and there is no"):
        make()[1].restore()
    assert steps_in(tmp_path) == {3, 10}


def test_another_process_that_only_reads_them_moves_nothing(make, tmp_path):
    save(make(), 3, 10)
    cut_off(tmp_path, 10)
    process = make(tmp_path / "own")
    process[1].restore()
    assert process[0].step == 3
    assert steps_in(tmp_path) == {3, 10}


def test_another_process_takes_its_part_in_a_save_and_keeps_nothing_of_it(make, tmp_path):
    owner, other = make(), make(tmp_path / "own")
    for process in (owner, other):
        save(process, 3, 10, 17)
    assert steps_in(tmp_path) == {10, 17}
    assert not [path for path in (tmp_path / "own").rglob("*") if path.is_file()]
    assert other[1].newest == owner[1].newest


def test_resumed_amid_a_test_another_process_goes_on_before_it_saves(make, tmp_path):
    process = make()
    save(process, 10)
    process[1].keep_as_tested()
    save(process, 15, 20)
    for directory in (tmp_path / "own", tmp_path):
        assert steps_in(tmp_path) == {10, 15, 20}
        process = make(directory)
        process[1].restore(tested={10})
        process[1].save()
        process[1].keep_as_tested()
        assert process[1].newest_tested == str(tmp_path / "step-20")
    assert steps_in(tmp_path) == {15, 20}


def test_what_another_process_finds_ruined_is_left_to_the_owner(make, tmp_path):
    save(make(), 3, 10)
    for directory in (tmp_path / "own", tmp_path):
        assert steps_in(tmp_path) == {3, 10}
        process = make(directory)
        process[1].restore()
        process[1].fall_back()
        assert process[1].newest == str(tmp_path / "step-3")
    assert steps_in(tmp_path) == {3}


DAMAGES = {
    "cut off": lambda content: content[:100],
    "empty": lambda content: b"",
    "flipped at the start": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "flipped at the end": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "zeroed": lambda content: bytes(len(content)),
    "missing": lambda content: None,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", [".index", ".data-00000-of-00001"])
def test_any_damage_of_any_file_is_found(make, tmp_path, suffix, damage):
    save(make(), 3, 10)
    file = tmp_path / f"step-10{suffix}"
    if (content := DAMAGES[damage](file.read_bytes())) is None:
        file.unlink()
    else:
        file.write_bytes(content)
    process = make()
    process[1].restore()
    assert process[0].step == 3


OUTSIDE = (
    "UnavailableError",
    "AbortedError",
    "DeadlineExceededError",
    "InternalError",
    "UnknownError",
    "FailedPreconditionError",
    "ResourceExhaustedError",
    "PermissionDeniedError",
)


@pytest.mark.parametrize("name", ["MemoryError", *OUTSIDE])
def test_what_fails_outside_of_a_checkpoint_is_not_taken_for_its_damage(
    make, tmp_path, monkeypatch, name
):
    save(make(), 3, 10)
    error = MemoryError() if name == "MemoryError" else getattr(tf.errors, name)(None, None, "")

    def restore(self, path):
        raise error

    monkeypatch.setattr(tf.train.Checkpoint, "restore", restore)
    with pytest.raises(type(error)):
        make()[1].restore()
    assert steps_in(tmp_path) == {3, 10}


def test_a_file_that_cannot_be_read_now_is_not_damaged(make, tmp_path, monkeypatch):
    save(make(), 3, 10)

    def open_stale(file, *arguments):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), file)

    def restore(self, path):
        # As TensorFlow tells it of an index.
        raise tf.errors.DataLossError(None, None, "Unable to open table file")

    monkeypatch.setattr(tf.train.Checkpoint, "restore", restore)
    monkeypatch.setattr(checkpointing, "open", open_stale, raising=False)
    with pytest.raises(OSError, match="Stale file handle"):
        make()[1].restore()
    assert steps_in(tmp_path) == {3, 10}


def test_what_killed_saves_left_is_deleted_by_the_owner(make, tmp_path):
    save(make(), 3, 10)
    whole = {path.name for path in tmp_path.iterdir()}
    part = tmp_path / "step-17_temp" / "part-00000-of-00001.data-00000-of-00001.tempstate7"
    part.parent.mkdir()
    for path in (part, tmp_path / "step-17.index.tempstate8"):
        path.write_bytes(b"half of it")
    make(tmp_path / "own")[1].restore()
    assert part.exists()
    make()[1].restore()
    assert {path.name for path in tmp_path.iterdir()} == whole


def test_without_a_list_those_that_are_there_make_one(make, tmp_path):
    save(make(), 3, 10)
    (tmp_path / "checkpoint").unlink()
    process = make()
    assert "the newest one there" in process[1].restore()
    assert process[0].step == 10
    save(process, 17)
    assert steps_in(tmp_path) == {10, 17}


def test_one_that_the_list_does_not_name_yet_is_the_first_to_go(make, tmp_path):
    save(make(), 3, 10)
    named = (tmp_path / "checkpoint").read_text()
    save(make(keep=9), 17)
    (tmp_path / "checkpoint").write_text(named)
    process = make()
    process[1].restore()
    assert process[0].step == 10
    save(process, 12)
    assert steps_in(tmp_path) == {10, 12}
