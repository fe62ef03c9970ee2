"""A training run in a process of its own, that is killed, restarted, or a task of a cluster.

Arguments: a JSON object with "config", `TrainConfig`'s fields; "out"; "resume"; "recipe"; the
numbers of images without a class as "without_label"; how many images it is tested with as
"test_images"; and, if a signal is to come to this process, its number as "signal", after which step
as "step", and how long after that as "delay_s", or that it comes in the test after that step as
"in_test".
"""

import dataclasses
import functools
import json
import sys

import pytest
from shimzoo.training import DEMO, TrainingFailed, TrainingInterrupted, run, train

from .few_digits import load_few
from .stops import signal_at, signal_in_test


def main() -> int:
    job = json.loads(sys.argv[1])
    data = {name: job[name] for name in ("without_label", "test_images") if name in job}
    run.load_dataset = functools.partial(load_few, **data)
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


if __name__ == "__main__":
    sys.exit(main())
