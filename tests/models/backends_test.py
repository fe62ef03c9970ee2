"""Native models give the same on every backend of Keras, and train the same."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
from shimzoo.tests.models import backend_outputs, ladder_plan
from shimzoo.tests.models.tolerances import BACKEND, assert_close


def outputs(backend, name, folder):
    """As `backend_outputs` finds them, in a process of the backend's own."""
    path = folder / f"{backend}.npz"
    if not path.exists():
        environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_ENABLE_X64": "1"}
        command = [sys.executable, backend_outputs.__file__, str(path), name]
        subprocess.run(command, env=environment, check=True)
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", ladder_plan.nets(ladder_plan.EVERYDAY_PROCESSES))
def test_a_native_model_is_the_same_on_every_backend(name, tmp_path):
    backends = [b for b in ("jax", "torch") if importlib.util.find_spec(b) is not None]
    assert "jax" in backends
    expected = outputs("tensorflow", name, tmp_path)
    for backend in backends:
        actual = outputs(backend, name, tmp_path)
        assert list(actual) == list(expected)
        for key in expected:
            assert_close(actual[key], expected[key], BACKEND, f"{backend} {key}")
