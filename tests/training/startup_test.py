"""TensorFlow starts without chatter, and what matters still comes through."""

import os
import subprocess
import sys

import pytest

IMPORT = """
from shimzoo.training.startup import import_tensorflow
import_tensorflow()
import tensorflow as tf
print(float(tf.constant(1.0) + 1.0))
"""

# Stands in for a TensorFlow whose libraries write to the process' standard error.
FAKE_TENSORFLOW = r"""
import os
os.write(2, b"I0000 00:00:1.0 1 port.cc:153] information\n")
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written\n")
os.write(2, b"W0000 00:00:1.0 1 gpu.cc:1] a warning\nE0000 00:00:1.0 1 gpu.cc:2] an error\n")
os.write(2, b"last words without a line's end")
"""


def run_python(code, *path, **variables):
    environment = {k: v for k, v in os.environ.items() if k not in variables}
    environment.update({k: v for k, v in variables.items() if v is not None})
    if path:
        environment["PYTHONPATH"] = os.pathsep.join([*map(str, path), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_the_real_one_starts_in_silence():
    run = run_python(IMPORT, TF_CPP_MIN_LOG_LEVEL=None)
    assert (run.returncode, run.stdout, run.stderr) == (0, "2.0\n", "")


@pytest.fixture
def fake(tmp_path):
    (tmp_path / "tensorflow.py").write_text(FAKE_TENSORFLOW)
    return tmp_path


def start(fake, then="", **variables):
    code = (
        "from shimzoo.training.startup import import_tensorflow\n"
        f"import os\nimport_tensorflow()\n{then}"
    )
    return run_python(code, fake, **variables)


def test_warnings_and_errors_come_through(fake):
    run = start(fake, "os.write(2, b'and after')", TF_CPP_MIN_LOG_LEVEL=None)
    assert run.returncode == 0
    assert run.stderr == (
        "W0000 00:00:1.0 1 gpu.cc:1] a warning\n"
        "E0000 00:00:1.0 1 gpu.cc:2] an error\n"
        "last words without a line's endand after"
    )


def test_level_0_shows_everything(fake):
    run = start(fake, TF_CPP_MIN_LOG_LEVEL="0")
    assert "information" in run.stderr
    assert "absl::InitializeLog" in run.stderr


def test_a_crash_while_importing_is_seen(fake):
    with open(fake / "tensorflow.py", "a") as file:
        file.write("os.abort()\n")
    run = start(fake, TF_CPP_MIN_LOG_LEVEL=None)
    assert run.returncode != 0
    assert "an error" in run.stderr
    assert "last words" in run.stderr


def test_an_error_while_importing_is_an_error(fake):
    with open(fake / "tensorflow.py", "a") as file:
        file.write("raise ImportError('libcuda is broken')\n")
    run = start(fake, TF_CPP_MIN_LOG_LEVEL=None)
    assert run.returncode == 1
    assert "libcuda is broken" in run.stderr


def test_ctrl_c_amid_a_flush_ends_the_process_all_the_same(fake):
    """When the buffer is in use, so that what is in it can't be written once more."""
    with open(fake / "tensorflow.py", "a") as file:
        file.write(
            "import io, signal, sys\n"
            "class Amid(io.RawIOBase):\n"
            "    writable = lambda self: True\n"
            "    write = lambda self, content: signal.raise_signal(signal.SIGINT)\n"
            "sys.stdout = io.TextIOWrapper(io.BufferedWriter(Amid()))\n"
            "print('amid', flush=True)\n"
        )
    run = start(fake, "print('on')", TF_CPP_MIN_LOG_LEVEL=None)
    assert run.returncode == 130
    assert run.stderr.endswith("stopped while TensorFlow was loaded, before anything began\n")
