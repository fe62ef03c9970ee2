"""What workers that share each step find out together, and only together."""

import signal

import numpy as np
import tensorflow as tf
from shimzoo.training import DEMO
from shimzoo.training.input_order import epoch_seed

from . import processes, run_records
from .few_digits import load_few

BATCH, STEPS, WORKERS = 20, 5, 2
SETTINGS = {
    "strategy": "multi_worker",
    "model": "mobilenet_v1_0.25_128",
    "image_size": 32,
    "batch_size": BATCH,
    "epochs": 1,
}


def job(out, settings=(), **more):
    return {"config": SETTINGS | dict(settings), "out": str(out), **more}


def bad_of_each_worker(number):
    """So many images of each worker's share of the first epoch, of none that the test part has."""
    split = load_few("digits").train
    order = split.order(epoch_seed(DEMO.config.seed, tf.constant(0, tf.int64))).numpy()
    rows = order[: STEPS * BATCH].reshape(STEPS, WORKERS, BATCH // WORKERS)
    shares = rows.transpose(1, 0, 2).reshape(WORKERS, -1)
    return np.concatenate([share[share >= 40][:number] for share in shares]).tolist()


def test_workers_that_can_all_read_enough_may_together_have_too_many_bad_images(tmp_path):
    out = tmp_path / "run"
    strict = {"max_bad_fraction": 0.03}
    jobs = [job(out, strict, without_label=bad_of_each_worker(2))] * WORKERS
    results = processes.run_cluster(jobs, ["worker"] * WORKERS)
    for code, output in results:
        assert code == 1, output
        line = output.splitlines()[-1]
        assert f"failed after {STEPS} of {STEPS} steps: 2 of 100 training images could not" in line
        assert "All processes together could not use 4 of the 100 training images. That is" in line
        assert "more than the 3 that max_bad_fraction=0.03 allows" in line
    assert not list((out / "checkpoints").glob("*.index"))


def test_workers_that_would_go_on_from_different_steps_are_refused(tmp_path):
    out = tmp_path / "run"
    stopped = job(out, {"epochs": 2}, step=STEPS, signal=signal.SIGTERM)
    ((code, output),) = processes.run_cluster([stopped], ["worker"])
    assert code == 128 + signal.SIGTERM, output
    state = run_records.last_state(out)
    places = (out, tmp_path / "elsewhere")
    jobs = [job(place, {"epochs": 2}, resume=True) for place in places]
    for code, output in processes.run_cluster(jobs, ["worker"] * WORKERS):
        assert code == 2, output
        assert "error: The 2 processes start from different steps, 0 and 5: resume all" in output
    assert not places[1].exists()
    now = run_records.last_state(out)
    assert now.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(now[name], value, err_msg=name)
