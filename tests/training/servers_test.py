"""What the chief of a parameter-server cluster does while it waits for steps."""

import pytest
import tensorflow as tf
from shimzoo.training import servers
from shimzoo.training.clusters import Cluster
from shimzoo.training.interruption import StopRequest

TASKS = {"chief": ("a:1",), "ps": ("b:1",), "worker": ("c:1", "d:1")}


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
