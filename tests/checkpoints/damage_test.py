"""Files that lie about their size, random damage, and processes killed in the midst of saving."""

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import time

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from shimzoo import checkpoints
from shimzoo.tests.checkpoints import fuzz_files, killed_saves

HUGE = 2_500_000_000_000  # Of float32: 10 TB.


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input([4])
    return keras.Model(inputs, keras.layers.Dense(3, name="one")(inputs), name="net")


def write_tf1(path):
    # A slice of a tensor, as of one that is spread over several devices.
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=["one/weights", "one/biases"],
        shape_and_slices=[f"{HUGE} 0,4", ""],
        tensors=[np.zeros(4, "float32"), np.zeros(3, "float32")],
    )


def write_h5(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (HUGE,), "float32")
        file.create_dataset("layers/dense/vars/1", data=np.zeros(3, "float32"))


def write_packed_h5(path):
    with h5py.File(path, "w") as file:
        chunked = {"chunks": (1 << 20,), "compression": "gzip"}
        file.create_dataset("layers/dense/vars/0", (HUGE,), "float32", **chunked)
        file.create_dataset("layers/dense/vars/1", data=np.zeros(3, "float32"))


def write_safetensors(path):
    tensor = {"dtype": "F32", "shape": [HUGE], "data_offsets": [0, 4 * HUGE]}
    header = json.dumps({"one/weights": tensor}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))


def write_graph(path):
    graph = tf.compat.v1.GraphDef()
    constant = graph.node.add(name="one/weights", op="Const")
    constant.attr["value"].tensor.dtype = tf.float32.as_datatype_enum
    constant.attr["value"].tensor.tensor_shape.dim.add(size=HUGE)
    graph.node.add(name="one/weights/read", op="Identity", input=["one/weights"])
    path.write_bytes(graph.SerializeToString())


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("model.ckpt", write_tf1),
        ("model.weights.h5", write_h5),
        ("packed.weights.h5", write_packed_h5),
        ("model.safetensors", write_safetensors),
        ("model.pb", write_graph),
    ],
    ids=["tf1", "h5", "packed h5", "safetensors", "graph"],
)
def test_a_shape_of_ten_terabytes_is_refused_at_once(model, tmp_path, name, write):
    write(tmp_path / name)
    before, start = model.get_weights(), time.monotonic()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=name) as caught:
        checkpoints.restore(model, tmp_path / name)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < fuzz_files.MOST_SECONDS
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown * 1024 < fuzz_files.MOST_BYTES
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_random_damage_for_a_minute(tmp_path):
    command = [sys.executable, fuzz_files.__file__, "--seconds", "60", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, f"{run.stdout[-200:]}{run.stderr[-3000:]}"
    for kind in ("tf1", "tf1-v1", "tf2", "tf2-objects", "h5", "keras", "safetensors", "graph"):
        assert f"{kind:<12} refused" in run.stdout


@pytest.mark.large
@pytest.mark.parametrize("format", checkpoints.FORMATS)
def test_twenty_processes_killed_while_they_save(model, format, tmp_path):
    """With five formats a hundred deaths, each at another moment of a save."""
    path = tmp_path / f"model{checkpoints.SUFFIXES[format]}"
    for number, process in enumerate(killed_saves.saving_processes(format, path, 20)):
        time.sleep(0.003 * number)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        fresh = killed_saves.make_model()
        checkpoints.restore(fresh, path)
        values = {value for weight in fresh.weights for value in np.unique(weight.numpy())}
        assert len(values) == 1, "a mix of two saves"
    assert not [file for file in tmp_path.iterdir() if not killed_saves.is_left_by(file, path)]
