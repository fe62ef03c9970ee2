"""Saving: what is refused, and what a death or a full disk leaves behind."""

import os
import resource
import signal
import subprocess
import sys
import threading
import time
import weakref
from concurrent import futures
from pathlib import Path

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from shimzoo import checkpoints
from shimzoo.checkpoints import saving, scratch, tensorflow_writing
from shimzoo.checkpoints.opening import open_checkpoint

PATHS = {
    "tf1": "model.ckpt",
    "tf2": "model-tf2",
    "h5": "model.weights.h5",
    "keras": "model.keras",
    "safetensors": "model.safetensors",
}
SHAPE = (300, 100)


def make_model():
    inputs = keras.Input(SHAPE[:1])
    return keras.Model(inputs, keras.layers.Dense(SHAPE[1], name="Dense")(inputs))


@pytest.fixture(scope="module")
def model():
    return make_model()


def fill(model, number):
    for weight in model.weights:
        weight.assign(np.full(weight.shape, number))


def only_number_in(model, path):
    """Restores and returns the one number that all variables hold."""
    fill(model, -1)
    checkpoints.restore(model, path)
    numbers = {number for weight in model.weights for number in np.unique(weight.numpy())}
    assert len(numbers) == 1
    return numbers.pop()


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_saving_again_replaces_the_checkpoint(model, tmp_path, format):
    path = tmp_path / PATHS[format]
    for number in range(4):
        fill(model, number)
        checkpoints.save(model, path, format)
        assert only_number_in(model, path) == number
    # One index and its data files, or one h5 file, and nothing beside them.
    files = sorted(file.name for file in tmp_path.iterdir())
    assert len(files) == (3 if format in ("tf1", "tf2") else 1), files


def names_in(path):
    return {name for name, _ in tf.train.list_variables(str(path))}


@pytest.mark.parametrize("format", ["tf1", "tf2"])
def test_a_replaced_checkpoint_holds_what_a_new_one_does(model, tmp_path, format):
    checkpoints.save(model, tmp_path / "new", format)
    for _ in range(3):
        checkpoints.save(model, tmp_path / "replaced", format)
        assert names_in(tmp_path / "replaced") == names_in(tmp_path / "new")


@pytest.mark.parametrize("format", ["tf1", "tf2"])
def test_a_replaced_checkpoint_is_written_once(model, tmp_path, format, monkeypatch):
    path = tmp_path / PATHS[format]
    fill(model, 1)
    checkpoints.save(model, path, format)
    with monkeypatch.context() as patch:
        # Nothing that has been written is read again, to be written in another way.
        patch.setattr(tf.train, "load_checkpoint", None)
        fill(model, 2)
        checkpoints.save(model, path, format)
    sizes = [file.stat().st_size for file in tmp_path.glob("*.data-*-of-00002")]
    assert len(sizes) == 2
    assert sum(sizes) < 1.1 * sum(weight.numpy().nbytes for weight in model.weights)
    assert only_number_in(model, path) == 2


@pytest.mark.parametrize("format", ["tf1", "tf2"])
def test_a_checkpoint_of_one_variable_is_replaced_as_well(tmp_path, format):
    inputs = keras.Input((3,))
    dense = keras.layers.Dense(2, use_bias=False, name="Dense")
    small = keras.Model(inputs, dense(inputs))
    path = tmp_path / "model.ckpt"
    for number in range(4):
        fill(small, number)
        checkpoints.save(small, path, format)
        assert only_number_in(small, path) == number
    # As a process leaves it that was killed before it moved the index: what number is free then
    # is more than the tensors are.
    for count in (1, 2):
        path.with_name(f"{path.name}.data-00000-of-{count:05}").touch()
    fill(small, 5)
    checkpoints.save(small, path, format)
    assert only_number_in(small, path) == 5
    assert len(list(tmp_path.glob("*.data-*-of-00003"))) == len(list(tmp_path.iterdir())) - 1 == 3


def test_a_large_checkpoint_is_written_in_several_files(model, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_writing, "PART_BYTES", 1)
    counts = []
    # The first files are never named as the checkpoint itself.
    for path in (tmp_path / "part0", tmp_path / "part0.part1", tmp_path / "part1"):
        for number in range(3):
            fill(model, number)
            checkpoints.save(model, path)
            assert only_number_in(model, path) == number
            counts.append(len(list(tmp_path.glob(f"{path.name}.data-*"))))
    # Two variables are two files, or three as long as there are two of the older checkpoint's.
    assert counts == 3 * [2, 3, 2]
    assert len(list(tmp_path.iterdir())) == 3 * 3


@pytest.mark.parametrize(("part_bytes", "most"), [(1, 3), (400, 3), (8_000, 21)])
def test_no_more_than_two_files_of_tensors_and_one_are_in_memory(
    tmp_path, monkeypatch, part_bytes, most
):
    monkeypatch.setattr(tensorflow_writing, "PART_BYTES", part_bytes)
    alive: list[weakref.ref] = []
    at_once = []

    def tensors():
        for number in range(100):
            value = np.full([200], number, "float32")
            alive.append(weakref.ref(value))
            yield f"scope/{number}", value
            del value
            at_once.append(sum(reference() is not None for reference in alive))

    tensorflow_writing.write_tensors(tensors(), tmp_path / "model", taken=())
    assert max(at_once) <= most
    reader = tf.train.load_checkpoint(str(tmp_path / "model"))
    for number in range(100):
        np.testing.assert_array_equal(reader.get_tensor(f"scope/{number}"), [number] * 200)


@pytest.mark.parametrize("part_bytes", [1, 1000])
@pytest.mark.parametrize("format", ["tf1", "safetensors"])
def test_state_of_a_variables_name_takes_its_place(
    model, tmp_path, monkeypatch, format, part_bytes
):
    monkeypatch.setattr(tensorflow_writing, "PART_BYTES", part_bytes)
    fill(model, 1)
    path = tmp_path / PATHS[format]
    state = {"Dense/biases": np.full(SHAPE[1], 2, "float32")}
    saving.write(model, path, format, state)
    with open_checkpoint(path) as opened:
        assert set(opened.specs) == {"Dense/weights", "Dense/biases"}
        np.testing.assert_array_equal(opened.read("Dense/biases"), state["Dense/biases"])
        np.testing.assert_array_equal(opened.read("Dense/weights"), np.ones(SHAPE))


@pytest.mark.parametrize("error", [ValueError("damaged"), KeyboardInterrupt()])
def test_what_is_damaged_after_a_part_was_written_leaves_the_old_checkpoint(
    model, tmp_path, monkeypatch, error
):
    path = tmp_path / "model.ckpt"
    fill(model, 1)
    checkpoints.save(model, path)
    files = {file: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr(tensorflow_writing, "PART_BYTES", 1)

    def values(*_, **__):
        yield "a", np.ones(1000)
        yield "b", np.ones(1000)
        raise error

    monkeypatch.setattr(saving, "_tensors_of", values)
    with pytest.raises(type(error)):
        checkpoints.save(model, path)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == files


def test_an_impatient_ctrl_c_leaves_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_writing, "PART_BYTES", 1)
    save_part = tensorflow_writing._save_part

    def slowly(*arguments):
        time.sleep(0.5)
        save_part(*arguments)

    monkeypatch.setattr(tensorflow_writing, "_save_part", slowly)
    for delay_s in (0.2, 0.3):
        timer = threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(model, tmp_path / "model.ckpt")
    timer.join()
    time.sleep(0.5)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_is_written_while_python_ends(model, tmp_path, monkeypatch):
    def too_late(*_):
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(tensorflow_writing, "PART_BYTES", 1)
    monkeypatch.setattr(futures.ThreadPoolExecutor, "submit", too_late)
    fill(model, 3)
    checkpoints.save(model, tmp_path / "model.ckpt")
    assert only_number_in(model, tmp_path / "model.ckpt") == 3


def test_a_part_that_can_not_be_written_is_told(tmp_path):
    prefix = tmp_path / "absent" / "model"
    prefix.parent.write_text("no folder")
    with pytest.raises(OSError, match=r"^Not a directory$"):
        tensorflow_writing.write_tensors([("a", np.ones(3))], prefix, taken=())


def test_a_new_checkpoint_counts_beside_an_old_file_of_version_1(model, tmp_path):
    path = tmp_path / "model.ckpt"
    for content in (np.zeros([2], "float32"), None):
        if content is None:
            path.write_text("no checkpoint at all")
        else:
            tf.raw_ops.Save(filename=str(path), tensor_names=["old"], data=[content])
        fill(model, 1)
        checkpoints.save(model, path)
        assert only_number_in(model, path) == 1
        assert names_in(path) == {"Dense/weights", "Dense/biases"}


class Death(BaseException):
    """Ends the process: nothing catches it."""


@pytest.mark.parametrize("format", checkpoints.FORMATS)
@pytest.mark.parametrize("step", range(5))
def test_a_death_at_any_step_leaves_the_old_or_the_new(model, tmp_path, monkeypatch, format, step):
    path = tmp_path / PATHS[format]
    for number in (0, 1):
        fill(model, number)
        checkpoints.save(model, path, format)

    steps = {"replace": os.replace, "unlink": Path.unlink}
    left = step

    def dies_in_time(name):
        def call(*args):
            nonlocal left
            left -= 1
            if left < 0:
                raise Death
            return steps[name](*args)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dies_in_time("replace"))
        patch.setattr(Path, "unlink", dies_in_time("unlink"))
        fill(model, 2)
        try:
            checkpoints.save(model, path, format)
            completed = True
        except Death:
            completed = False
    number = only_number_in(model, path)
    assert number == 2 if completed else number in (1, 2)

    fill(model, 3)
    checkpoints.save(model, path, format)
    assert only_number_in(model, path) == 3


SAVE_FOREVER = """
import sys
from shimzoo import checkpoints
from shimzoo.tests.checkpoints.save_test import fill, make_model
model = make_model()
number = 0
while True:
    fill(model, number)
    for format, path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        checkpoints.save(model, path, format)
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("delay_s", [0.0, 0.017])
def test_a_killed_process_leaves_a_whole_checkpoint(model, tmp_path, delay_s):
    paths = {format: tmp_path / name for format, name in PATHS.items()}
    arguments = [str(argument) for pair in paths.items() for argument in pair]
    process = subprocess.Popen(
        [sys.executable, "-c", SAVE_FOREVER, *arguments], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if int(line) == 5:
            time.sleep(delay_s)
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    saved = int(line)
    for path in paths.values():
        assert only_number_in(model, path) >= saved


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_the_next_save_removes_what_a_killed_one_left(model, tmp_path, format):
    path = tmp_path / PATHS[format]
    program = (
        "import os, signal, sys, pathlib\n"
        "from shimzoo.checkpoints import scratch\n"
        "with scratch.scratch_directory(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'part').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert run.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "part").exists()
    checkpoints.save(model, path, format)
    assert all(file.name.startswith(path.name) for file in tmp_path.iterdir())


def test_what_a_living_process_writes_is_left_alone(model, tmp_path):
    path = tmp_path / PATHS["safetensors"]
    mine = tmp_path / f".{path.name}.notes"
    mine.mkdir()
    with scratch.scratch_directory(path) as folder:
        checkpoints.save(model, path)
        assert folder.exists()
    assert sorted(tmp_path.iterdir()) == [mine, path]


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_a_full_disk_leaves_the_old_checkpoint(model, tmp_path, format):
    path = tmp_path / PATHS[format]
    fill(model, 1)
    checkpoints.save(model, path, format)
    before = sorted(tmp_path.iterdir())
    fill(model, 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"{path} could not be written: .*File too large") as told:
            checkpoints.save(model, path, format)
        assert "\n" not in str(told.value)
        assert ".writing" not in str(told.value)
        with pytest.raises(OSError, match="could not be written: "):
            checkpoints.save(model, tmp_path / "new" / "deep" / PATHS[format], format)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert only_number_in(model, path) == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_the_ending_says_the_format(model, tmp_path, format):
    path = tmp_path / PATHS[format]
    checkpoints.save(model, path)
    with open_checkpoint(path) as opened:
        assert opened.format == ("tf1" if format == "tf2" else format)


@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_every_value_is_stored_once(model, tmp_path, format):
    checkpoints.save(model, tmp_path / PATHS[format], format)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    values = sum(weight.numpy().nbytes for weight in model.weights)
    assert values <= size < 1.5 * values


def test_a_flipped_bit_in_a_safetensors_file_is_noticed(model, tmp_path):
    path = tmp_path / PATHS["safetensors"]
    fill(model, 1)
    checkpoints.save(model, path)
    content = bytearray(path.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged: Dense/.* is not what was written"):
        checkpoints.restore(model, path)
    # One in the name that a checksum has there would leave its tensor unchecked.
    content[-1000] ^= 1
    path.write_bytes(content.replace(b'{\\"D', b'{\\"E', 1))
    with pytest.raises(ValueError, match="is damaged: its checksums are those of other tensors"):
        checkpoints.restore(model, path)
    path.write_bytes(content)
    # Other programs write no checksums, and read files with them.
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file(tensors, path)
    checkpoints.restore(model, path)


@pytest.mark.parametrize("format", ["tf1", "tf2", "h5", "keras"])
def test_bfloat16_comes_back(tmp_path, format):
    inputs = keras.Input([3])
    small = keras.Model(inputs, keras.layers.Dense(2, name="Dense", dtype="bfloat16")(inputs))
    before = [weight.numpy() for weight in small.weights]
    checkpoints.save(small, tmp_path / PATHS[format], format)
    fill(small, 0)
    checkpoints.restore(small, tmp_path / PATHS[format])
    for weight, value in zip(small.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


@pytest.mark.parametrize("format", ["tf1", "tf2", "safetensors"])
def test_a_module_is_saved_too(tmp_path, format):
    module = tf.Module(name="net")
    module.dense = keras.layers.Dense(2, name="dense")
    module.dense.build([None, 3])
    module.scale = tf.Variable([2.0, 3.0], name="scale")
    checkpoints.save(module, tmp_path / PATHS[format], format)
    kernel = module.dense.kernel.numpy()
    module.dense.kernel.assign(np.zeros([3, 2]))
    module.scale.assign([0.0, 0.0])
    checkpoints.restore(module, tmp_path / PATHS[format])
    np.testing.assert_array_equal(module.dense.kernel, kernel)
    np.testing.assert_array_equal(module.scale, [2.0, 3.0])


def test_a_directory_that_can_not_be_made(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="could not be written"):
        checkpoints.save(model, tmp_path / "file" / "model.ckpt")


def test_what_is_refused(model, tmp_path):
    with pytest.raises(
        ValueError, match="no format 'tf3'; formats are tf1, tf2, h5, keras, safetensors"
    ):
        checkpoints.save(model, tmp_path / "x", "tf3")
    with pytest.raises(ValueError, match=r"'h5' has to end in .weights.h5"):
        checkpoints.save(model, tmp_path / "x", "h5")
    with pytest.raises(ValueError, match=r"the ending of format 'h5', and format 'tf1' has none"):
        checkpoints.save(model, tmp_path / "x.weights.h5", "tf1")
    for name, format in (("x.h5", None), ("x.hdf5", None), ("x.h5", "tf1"), ("x.h5", "h5")):
        with pytest.raises(ValueError, match=r"has to end in \.weights\.h5; use that"):
            checkpoints.save(model, tmp_path / name, format)
    module = tf.Module(name="net")
    module.variable = tf.Variable(1.0)
    with pytest.raises(ValueError, match=r"'keras' is for a keras\.Model, and net is a Module"):
        checkpoints.save(module, tmp_path / "x.keras")
    with pytest.raises(ValueError, match="no variables yet"):
        checkpoints.save(keras.Sequential([keras.layers.Dense(2)]), tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
