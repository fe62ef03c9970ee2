"""When a run's directory may be made, continued or replaced."""

import dataclasses
import json
import os

import pytest
from shimzoo.training import DEMO, TrainResult
from shimzoo.training.run_directory import RunDirectory, choose

CONFIG = DEMO.config


def fresh(path):
    return choose(CONFIG, path, resume=False, overwrite=False)


def replaced(path):
    return choose(CONFIG, path, resume=False, overwrite=True)


def resumed(path, config=CONFIG):
    return choose(config, path, resume=True, overwrite=False)


@pytest.fixture
def run(tmp_path):
    """A directory with one file of each kind that a run writes."""
    directory = fresh(tmp_path / "run")
    directory.create({"config": dataclasses.asdict(CONFIG)})
    directory.append_metrics({"epoch": 1, "step": 22})
    for name in (
        "checkpoints/checkpoint",
        "checkpoints/step-22.index",
        "checkpoints/step-22.data-00000-of-00001",
        "checkpoints/damaged/step-33.index",
        "checkpoints/damaged/step-33.data-00000-of-00001",
        "checkpoints/step-44_temp/part-00000-of-00001.data-00000-of-00001.tempstate7",
        ".final.weights.h5.a7_x/final.weights.h5",
        "tensorboard/train/events.out.tfevents.1.host.2.0.v2",
        "tensorboard/validation/events.out.tfevents.1.host.2.0.v2",
        "final.weights.h5",
        "curve.png",
        "result.json",
        "config.json.partial",
        ".lock",
    ):
        path = directory.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    return directory


def test_a_run_without_out_gets_a_directory_of_its_own_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = fresh(None)
    assert first.path.parent.name == "runs"
    assert first.path.name.startswith("mobilenet_v1_0.25_128-native-")
    assert not first.path.parent.exists()
    first.path.mkdir(parents=True)
    assert fresh(None).path != first.path


@pytest.mark.parametrize("name", ["new", "new/deep/er", "empty"])
def test_a_new_or_empty_directory_is_taken_and_nothing_is_written_yet(tmp_path, name):
    (tmp_path / "empty").mkdir()
    directory = fresh(tmp_path / name)
    assert os.listdir(tmp_path) == ["empty"]
    directory.create({"config": dataclasses.asdict(CONFIG)})
    assert directory.read_config() == CONFIG


@pytest.mark.parametrize("choice", [fresh, replaced])
def test_what_an_interrupted_creation_left_is_as_good_as_empty(tmp_path, choice):
    for name in ("config.json.partial", ".lock"):
        (tmp_path / name).write_text('{"for')
    choice(tmp_path).create({"config": dataclasses.asdict(CONFIG)})
    assert resumed(tmp_path).read_config() == CONFIG


def test_a_run_is_only_replaced_on_request(run):
    with pytest.raises(FileExistsError, match=r"--resume.*--overwrite"):
        fresh(run.path)
    assert run.read_config() == CONFIG


def test_overwrite_leaves_nothing_of_the_old_run(run):
    replaced(run.path).create({"config": dataclasses.asdict(CONFIG)}, overwrite=True)
    assert {entry.name for entry in run.path.iterdir()} == {"config.json", ".lock"}
    assert "old" not in run.config_json.read_text()


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "checkpoints/mine.txt",
        "tensorboard/train/notes",
        "sub/config.json",
        "x.partial",
    ],
)
def test_overwrite_refuses_a_directory_with_somebody_elses_file(run, name):
    mine = run.path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match="is not part of a training run") as raised:
        replaced(run.path)
    assert str(run.path) in str(raised.value)
    # And should the file come between the check and the replacement, it stays.
    with pytest.raises(FileExistsError, match="is not part of a training run"):
        run.create({}, overwrite=True)
    assert run.read_config() == CONFIG
    assert mine.read_text() == "mine"


def test_overwrite_does_not_follow_links(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text("mine")
    (run.path / "curve.png").unlink()
    (run.path / "curve.png").symlink_to(elsewhere)
    with pytest.raises(FileExistsError, match=r"curve\.png.* is not part"):
        replaced(run.path)
    assert (elsewhere / "config.json").read_text() == "mine"


@pytest.mark.parametrize("choice", [fresh, replaced])
def test_a_directory_that_is_no_run_is_never_touched(tmp_path, choice):
    (tmp_path / "config.json").write_text('{"format": "something else"}')
    with pytest.raises(FileExistsError, match="not the directory of a training run"):
        choice(tmp_path)


@pytest.mark.parametrize("choice", [fresh, replaced])
def test_a_file_is_no_directory(tmp_path, choice):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file"):
        choice(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="is a file"):
        choice(tmp_path / "file" / "below")


def test_a_place_that_cannot_be_written_is_refused():
    with pytest.raises(PermissionError, match=r"'/proc/run' can't be written"):
        fresh("/proc/run")


def test_resuming_needs_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run directory"):
        resumed(tmp_path / "none")
    with pytest.raises(ValueError, match="not the directory of a training run"):
        resumed(tmp_path)
    with pytest.raises(ValueError, match=r"--resume needs --out"):
        resumed(None)
    with pytest.raises(ValueError, match="exclude each other"):
        choose(CONFIG, tmp_path, resume=True, overwrite=True)


def test_resuming_needs_the_same_settings(run):
    assert resumed(run.path).path == run.path
    other = dataclasses.replace(CONFIG, batch_size=17, stage="shimmed")
    with pytest.raises(ValueError, match="other settings") as raised:
        resumed(run.path, other)
    assert "batch_size is 17 now and was 64" in str(raised.value)
    assert "stage is 'shimmed' now and was 'native'" in str(raised.value)
    assert "epochs" not in str(raised.value)


def test_what_decides_nothing_of_the_result_may_change(run):
    config = dataclasses.replace(CONFIG, dataset="fashion_mnist", data_dir="/here")
    run.record_part(config, {"step": 1})
    other = dataclasses.replace(
        config,
        data_dir="/elsewhere",
        keep=7,
        log_every=1,
        max_bad_fraction=0.5,
        profile=(1, 2),
        save_every=None,
    )
    assert resumed(run.path, other).path == run.path
    run.record_part(other, {"step": 2})
    assert resumed(run.path, other).read_config() == other
    record = json.loads(run.config_json.read_text())
    assert record["resumed"] == [{"step": 1}, {"step": 2}]
    for name in ("data_dir", "keep", "log_every", "max_bad_fraction", "profile", "save_every"):
        del record["config"][name]  # As an older version, which had no such setting.
    run.config_json.write_text(json.dumps(record))
    assert run.read_config() == dataclasses.replace(config, data_dir=None)


@pytest.mark.parametrize("choice", [resumed, replaced])
def test_a_run_in_use_is_left_alone(run, choice):
    with run.in_use():
        with pytest.raises(BlockingIOError, match="in use by another process") as raised:
            choice(run.path)
        assert str(run.path) in str(raised.value)
        with pytest.raises(BlockingIOError), RunDirectory(run.path).in_use():
            pass
    assert choice(run.path).path == run.path


def test_a_new_directory_is_taken_by_one_process_only(tmp_path):
    first, second = fresh(tmp_path / "run"), fresh(tmp_path / "run")
    with first.in_use(), pytest.raises(BlockingIOError), second.in_use():
        pass


def test_of_two_processes_with_a_new_directory_one_wins_and_the_other_leaves_its_run_alone(
    tmp_path,
):
    first, second = fresh(tmp_path / "run"), fresh(tmp_path / "run")
    with first.in_use():
        first.create({"config": dataclasses.asdict(CONFIG)})
        first.append_metrics({"epoch": 1, "step": 22})
    with second.in_use(), pytest.raises(FileExistsError, match="has a run already"):
        second.create({"config": dataclasses.asdict(dataclasses.replace(CONFIG, epochs=1))})
    assert first.read_config() == CONFIG
    assert len(first.read_metrics()) == 1


def test_settings_of_another_version_are_told_from_a_bad_value(run):
    record = json.loads(run.config_json.read_text())
    of_newer = {**record["config"], "no_longer_there": 1}
    of_older = {name: value for name, value in record["config"].items() if name != "nesterov"}
    for config, name in ((of_newer, "no_longer_there"), (of_older, "nesterov")):
        run.config_json.write_text(json.dumps({**record, "config": config}))
        with pytest.raises(ValueError, match=rf"this version's settings.*{name}"):
            run.read_config()


def test_metrics_survive_a_line_that_was_cut_off(run):
    run.append_metrics({"epoch": 2, "step": 44})
    with open(run.metrics_jsonl, "a") as file:
        file.write('{"epoch": 3, "st')
    assert [line["epoch"] for line in run.read_metrics()] == [1, 2]
    run.keep_metrics_until(43, run.read_lines())
    run.append_metrics({"epoch": 2, "step": 44, "again": True})
    assert run.read_metrics() == [
        {"epoch": 1, "step": 22},
        {"epoch": 2, "step": 44, "again": True},
    ]


def test_lines_within_epochs_stand_beside_those_of_whole_epochs(run):
    for step in (30, 40):
        run.append_metrics({"step": step})
    run.append_metrics({"epoch": 2, "step": 44}, is_durable=True)
    assert [line["step"] for line in run.read_lines()] == [22, 30, 40, 44]
    assert [line["epoch"] for line in run.read_metrics()] == [1, 2]
    run.keep_metrics_until(33, run.read_lines())
    assert [line["step"] for line in run.read_lines()] == [22, 30]


def test_a_result_is_read_as_it_was_written(tmp_path):
    directory = RunDirectory(tmp_path)
    assert directory.read_result() is None
    result = TrainResult(
        model="mobilenet_v1_0.25_128",
        stage="native",
        dataset="digits",
        parameters=215642,
        epochs=3,
        test_accuracy=0.9875,
        test_loss=0.1,
        images_per_second=812.5,
        wall_time_s=61.25,
        directory=tmp_path,
    )
    directory.write_result(result)
    assert directory.read_result() == result


@pytest.mark.parametrize("content", ["", "old", '{"model": "m"}', "[1]", '{"no longer": 1}'])
def test_a_damaged_result_is_one_line_with_the_remedy(run, content):
    run.result_json.write_text(content)
    with pytest.raises(ValueError, match=r"result\.json' is damaged.*delete it") as raised:
        run.read_result()
    assert "\n" not in str(raised.value)
    run.result_json.unlink()
    assert run.read_result() is None
