"""A run's chief whose only worker can't make the iterator that its steps would read from.

Argument: the addresses of a chief, a parameter server and a worker, which are all of this process,
as a JSON list.
"""

import dataclasses
import json
import sys

import tensorflow as tf
from shimzoo.training import TrainingFailed, loop, strategies
from shimzoo.training.checkpointing import Position
from shimzoo.training.cluster import Cluster
from shimzoo.training.failures import failures_named
from shimzoo.training.run_directory import RunDirectory

from . import two_heads

STEPS = 3


def main() -> int:
    roles = ("chief", "ps", "worker")
    tasks = {role: (address,) for role, address in zip(roles, json.loads(sys.argv[1]), strict=True)}
    spec = tf.train.ClusterSpec({role: list(addresses) for role, addresses in tasks.items()})
    servers = [
        tf.distribute.Server(spec, job_name=role, task_index=0, protocol="grpc")
        for role in roles[1:]
    ]
    config = dataclasses.replace(two_heads.CONFIG, strategy="parameter_server")
    cluster = Cluster(tasks, "chief", 0, "TF_CONFIG")
    placement = strategies.place(config, cluster)
    with placement.strategy.scope():
        model = two_heads.training(two_heads.TwoHeads())
    try:
        with failures_named(Position(STEPS, 1, []), RunDirectory("run"), config, cluster):
            loop.fit(
                model,
                placement,
                unreadable,
                initial_epoch=0,
                epochs=1,
                steps_per_epoch=STEPS,
                validation_batches=tf.data.Dataset.from_tensors(two_heads.batch()),
                count_bad=lambda epoch, images: None,
                callbacks=[],
            )
    except TrainingFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    del servers  # Until here they must not be collected.
    return 0


def unreadable(num_workers, worker_index):
    """Batches that depend on a file which is read where their iterator is made."""
    images, labels, weights = two_heads.batch()
    missing = tf.cast(tf.strings.length(tf.io.read_file("nowhere")), tf.float32)
    return tf.data.Dataset.from_tensors((images + missing, labels, weights)).repeat()


if __name__ == "__main__":
    sys.exit(main())
