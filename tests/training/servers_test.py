"""What tasks of a parameter-server cluster do while they serve, and while they wait for steps."""

import os
import signal
import types

import pytest
import tensorflow as tf
from shimzoo.training import arrival, servers
from shimzoo.training.checkpointing import Position
from shimzoo.training.cluster import Cluster
from shimzoo.training.failures import failures_named
from shimzoo.training.interruption import StopRequest, TrainingFailed
from shimzoo.training.recipes import DEMO
from shimzoo.training.run_directory import RunDirectory

TASKS = {"chief": ("a:1",), "ps": ("b:1",), "worker": ("c:1", "d:1")}


def test_a_task_that_does_not_die_of_a_signal_ends_with_its_code(monkeypatch):
    """As process 1 of a container does not, where the signal's default is to be ignored."""
    seen = []

    def told_to_stop(address):
        seen.append(address)
        if len(seen) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    monkeypatch.setattr(tf.distribute, "Server", lambda *_, **__: None)
    monkeypatch.setattr(arrival, "wait_for", lambda *_: None)
    monkeypatch.setattr(arrival, "listens", told_to_stop)
    monkeypatch.setattr(arrival, "INTERVAL_S", 0.0)
    monkeypatch.setattr(servers, "_LAST_PATIENCE_S", 0.0)
    monkeypatch.setattr(servers, "signal", types.SimpleNamespace(raise_signal=lambda number: None))
    with pytest.raises(SystemExit) as ended:
        servers.serve_until_the_chief_ends(Cluster(TASKS, "worker", 0, "TF_CONFIG"))
    assert ended.value.code == 128 + signal.SIGTERM
    assert set(seen) == {"a:1"}


class Wrapped(Exception):  # noqa: N818
    """As TensorFlow's coordinator wraps what went wrong before a step."""

    def __init__(self, original):
        super().__init__(f"Input has an error: {original}")
        self.original_exception = original


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_what_goes_wrong_in_a_worker_is_raised_as_it_was(is_wrapped):
    error = tf.errors.NotFoundError(None, None, "no such file")

    def fail(seconds):
        raise Wrapped(error) if is_wrapped else error

    with pytest.raises(tf.errors.NotFoundError) as raised:
        servers.wait_for_steps(Cluster(TASKS, "chief", 0, "TF_CONFIG"), fail, StopRequest())
    assert raised.value is error


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("kind", [tf.errors.OutOfRangeError, tf.errors.CancelledError])
def test_a_step_that_fails_without_its_server_tells_of_that_one(kind, is_there, monkeypatch):
    """Whatever TensorFlow says of such a step, which need not name the server."""
    monkeypatch.setattr(arrival, "listens", lambda address: is_there)

    def fail(seconds):
        raise kind(None, None, "End of sequence")

    cluster = Cluster(TASKS, "chief", 0, "TF_CONFIG")
    position = Position(steps_per_epoch=3, epochs=3, metrics=[])
    position.step = 5
    told = "End of sequence" if is_there else "Parameter server 0 was lost"
    with (
        pytest.raises(TrainingFailed, match=f"failed after 5 of 9 steps: {told}[.] Once that is"),
        failures_named(position, RunDirectory("run"), DEMO.config, cluster),
    ):
        servers.wait_for_steps(cluster, fail, StopRequest())
