"""A training run in a process of its own, that is killed, restarted, or a task of a cluster.

Arguments: a JSON object with "config", `TrainConfig`'s fields; "out"; "resume"; "recipe"; the
numbers of images without a class as "without_label"; how many images it is tested with as
"test_images"; if a signal is to come to this process, its number as "signal", after which step as
"step", and how long after that as "delay_s", or that it comes in the test after that step as
"in_test"; as "while_loading" how this process ends while it loads its data, "error" or "death"; and
as "list_after_s" for how many seconds it has written a checkpoint and not listed it.
"""

import dataclasses
import functools
import json
import os
import signal
import sys
import time

import pytest
import tensorflow as tf
from shimzoo.training import DEMO, TrainingFailed, TrainingInterrupted, run, train

from .few_digits import load_few
from .stops import signal_at, signal_in_test


def main() -> int:
    job = json.loads(sys.argv[1])
    data = {name: job[name] for name in ("without_label", "test_images") if name in job}
    run.load_dataset = functools.partial(load_few, **data)
    if "while_loading" in job:
        run.load_dataset = functools.partial(end, job["while_loading"])
    if "list_after_s" in job:
        write_slowly(job["list_after_s"])
    if job.get("in_test"):
        signal_in_test(pytest.MonkeyPatch(), job["step"], job["signal"])
    elif "signal" in job:
        signal_at(pytest.MonkeyPatch(), job["step"], job["signal"], job.get("delay_s", 0.0))
    try:
        config = dataclasses.replace(DEMO.config, **job["config"])
        options = {name: job[name] for name in ("resume", "recipe") if name in job}
        result = train(config, out=job["out"], **options)
        print("ended with" if result is not None else "ended without", "a result")
    except TrainingInterrupted as interruption:
        return 128 + interruption.signal_number
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except TrainingFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def write_slowly(seconds):
    write = tf.train.Checkpoint.write

    def write_and_wait(self, *arguments, **named):
        path = write(self, *arguments, **named)
        time.sleep(seconds)
        return path

    tf.train.Checkpoint.write = write_and_wait


def end(how, *_):
    if how == "death":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ValueError("There is no such data.")


if __name__ == "__main__":
    sys.exit(main())
