"""A run's strategy, this process' place in it, and what the processes tell each other."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from . import agreement, servers
from .interruption import SAVE, StopRequest

if TYPE_CHECKING:
    from .cluster import Cluster

# The most urgent first.
_ASKED = (signal.SIGTERM, signal.SIGINT, SAVE)
# Between two looks at whether steps are done, which take hundredths of a second and more.
_POLL_S = 0.005


@dataclasses.dataclass(frozen=True)
class Placement:
    """A strategy and this process' place in it.

    Args:
        name: One of `limits.STRATEGIES`, without "auto".
        strategy: TensorFlow's object.
        cluster: The processes, if they are several.
    """

    name: str
    strategy: tf.distribute.Strategy
    cluster: Cluster | None = None

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files."""
        return self.cluster is None or self.cluster.is_chief

    @property
    def keras_can_fit(self) -> bool:
        """Whether `keras.Model.fit` works: Keras 3 handles no values of several processes."""
        return self.cluster is None

    @property
    def reads_input_itself(self) -> bool:
        """Whether this process reads the images that it trains on."""
        return self.name != "parameter_server"

    def __str__(self) -> str:
        replicas = self.strategy.num_replicas_in_sync
        text = f"{self.name}, {replicas} replica{'' if replicas == 1 else 's'}"
        if self.name == "parameter_server":
            workers, servers = (len(self.cluster.tasks[role]) for role in ("worker", "ps"))
            return f"{self.name}, {workers} worker(s) and {servers} server(s), asynchronous"
        return text if self.cluster is None else f"{text} in {self.cluster.num_workers} processes"

    def agree_on_signal(self, number: int | None) -> int | None:
        """What all processes act on when some have received a signal, or ask for a checkpoint.

        To be called by all of them at the same point of the run.

        Args:
            number: `signal.SIGINT`, `signal.SIGTERM`, `interruption.SAVE`, or None if this process
                asks for nothing.

        Returns:
            The same for all: the first of SIGTERM, SIGINT and SAVE that any asks for, else None.
        """
        if self.name != "multi_worker":
            return number
        counts = self._sum([float(number == asked) for asked in _ASKED])
        return next((one for one, count in zip(_ASKED, counts, strict=True) if count), None)

    def check_same_settings(self, settings: Mapping[str, object]) -> None:
        """Makes sure that all processes were started alike.

        To be called by all of them before any of them writes something.

        Args:
            settings: What decides about the run, by name.

        Raises:
            ValueError: They were not, or run different versions; raised by all of them.
        """
        if self.name != "multi_worker":
            return
        if names := agreement.differing(settings, self._of_all_processes):
            here = " and ".join(f"{name} is {settings[name]!r}" for name in names)
            raise ValueError(
                f"The {self.cluster.num_workers} processes don't have the same settings: {here} "
                "here, and not in all others. Start all with one command."
            )

    def check_same_data(self, data: Mapping[str, object]) -> None:
        """Makes sure that all processes have the same data.

        To be called by all of them before any of them writes something.

        Args:
            data: What `run_record.describe_data` gives.

        Raises:
            ValueError: They have not; raised by all of them.
        """
        if self.name != "multi_worker":
            return
        if names := agreement.differing(data, self._of_all_processes):
            here = " and ".join(f"{name} is {_brief(data[name])}" for name in names)
            raise ValueError(
                f"The {self.cluster.num_workers} processes don't have the same data: {here} here, "
                "and not in all others. Give all of them the same files, with the same names."
            )

    def check_same_step(self, step: int) -> None:
        """Makes sure that all processes start from the same step.

        Raises:
            ValueError: They don't; raised by all of them.
        """
        if self.name != "multi_worker":
            return
        steps = sorted({int(found) for found in self._of_all_processes([step])[:, 0]})
        if len(steps) > 1:
            raise ValueError(
                f"The {self.cluster.num_workers} processes start from different steps, "
                f"{' and '.join(map(str, steps))}: resume all with one --out, on a disk that they "
                "share."
            )

    def union(self, numbers: Collection[int]) -> list[int]:
        """Numbers that any process has, each once and in order.

        To be called by all of them at the same point of the run.

        Args:
            numbers: Those of this process, from 0; as many as it has.

        Returns:
            The same for all.
        """
        if self.name != "multi_worker":
            return sorted(set(numbers))
        return agreement.union(numbers, self._of_all_processes)

    def largest(self, number: int) -> int:
        """The largest of all processes' numbers; to be called by all of them at the same point."""
        if self.name != "multi_worker":
            return number
        return int(self._of_all_processes([number]).max())

    @contextlib.contextmanager
    def all_have_to_succeed(self, what: str) -> Iterator[None]:
        """Lets all processes go on from what each does by itself, or none.

        To be entered by all of them, with nothing inside that they do together.

        Args:
            what: What each does, as in "load its data".

        Raises:
            ValueError: Another process did not succeed.
        """
        if self.name != "multi_worker":
            yield
            return
        try:
            yield
        except Exception:
            self._of_all_processes([1])
            raise
        failed = self._of_all_processes([0])[:, 0]
        if failed.any():
            task = self.cluster.task_name(int(failed.argmax()))
            raise ValueError(
                f"{task[0].upper()}{task[1:]} could not {what}: see what that task says."
            )

    def wait_for_all(self) -> None:
        """Returns once all processes have come to this point."""
        if self.name == "multi_worker":
            self._sum([1.0])

    @functools.cached_property
    def stop_request(self) -> StopRequest:
        """What this process was told by signals, and what all then act on."""
        return StopRequest(self.agree_on_signal)

    def finish_steps(self) -> None:
        """Returns once no worker has a step under way, so that a checkpoint holds whole ones.

        Raises:
            ConnectionError: No worker is left to finish them.
        """
        if self.name != "parameter_server":
            return
        coordinator = tf.distribute.coordinator.ClusterCoordinator(self.strategy)

        def are_done(seconds: float) -> bool:
            end = time.monotonic() + seconds
            while not (done := coordinator.done()) and time.monotonic() < end:
                time.sleep(_POLL_S)
            return done

        servers.wait_for_steps(self.cluster, are_done, self.stop_request)
        coordinator.join()  # Raises what went wrong in them.

    @property
    def idle_gpus(self) -> int:
        """GPUs of this machine that the run does not use; 0 where a cluster's are shared."""
        if self.cluster is not None or self.name not in ("mirrored", "one_device"):
            return 0
        found = len(tf.config.list_physical_devices("GPU"))
        return max(0, found - self.strategy.num_replicas_in_sync)

    @property
    def share(self) -> tuple[int, int]:
        """How many processes read shares of the images, and which of them this is."""
        if self.name != "multi_worker":
            return 1, 0
        return self.cluster.num_workers, self.cluster.worker_index

    def _of_all_processes(self, numbers: Sequence[int]) -> np.ndarray:
        """Whole numbers of all processes, float64 `[processes, numbers]`."""
        processes = self.cluster.num_workers
        table = np.zeros([processes, len(numbers)])
        table[self.cluster.worker_index] = numbers
        return self._sum(table) / (self.strategy.num_replicas_in_sync // processes)

    def _sum(self, values: npt.ArrayLike) -> np.ndarray:
        """Adds up numbers of all replicas, of which those of one process have the same."""
        return self._add(tf.constant(values, tf.float64)).numpy()

    @functools.cached_property
    def _add(self) -> Callable[[tf.Tensor], tf.Tensor]:
        # Once, as each new function would be traced anew, and this one is called after every step.
        @tf.function
        def add(numbers: tf.Tensor) -> tf.Tensor:
            of_each = self.strategy.run(tf.identity, args=(numbers,))
            return self.strategy.reduce("SUM", of_each, axis=None)

        return add


def _brief(value: object) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else str(value)
