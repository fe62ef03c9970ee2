"""What a run leaves, as far as it is the same in each run of the same settings."""

import numpy as np
import tensorflow as tf
from shimzoo.training.run_directory import RunDirectory

_TIMED = ("seconds", "images_per_second", "input_wait_s")


def metrics(out):
    """The lines of `metrics.jsonl`, without what differs from run to run."""
    lines = RunDirectory(out).read_lines()
    return [{k: v for k, v in line.items() if k not in _TIMED} for line in lines]


def last_state(out):
    """All numbers of a run's last checkpoint: weights, averages, and what the optimizer keeps."""
    reader = tf.train.load_checkpoint(str(out / "checkpoints"))
    dtypes = reader.get_variable_to_dtype_map()
    return {name: reader.get_tensor(name) for name in dtypes if dtypes[name].is_floating}


def updates(out):
    """Updates of the weights that a run's last checkpoint has."""
    checkpoint = tf.train.load_checkpoint(str(out / "checkpoints"))
    names = checkpoint.get_variable_to_shape_map()
    (iterations,) = (name for name in names if "optimizer/_iterations" in name)
    return checkpoint.get_tensor(iterations)


def assert_same_state(out, expected):
    """That the last checkpoints of two runs have the same numbers."""
    found, wanted = last_state(out), last_state(expected)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
