"""Models on two replicas: TF1's statistics per replica, training in every version, checkpoints."""

import subprocess
import sys

import numpy as np
import pytest
from shimzoo import models
from shimzoo.tests.data import goldens
from shimzoo.tests.models import ladder_plan, mirrored_training
from shimzoo.tests.models.tolerances import GRADIENT, SAME, assert_close

MOMENTUM = mirrored_training.MOMENTUM


def run(folder, *arguments):
    subprocess.run([sys.executable, mirrored_training.__file__, folder, *arguments], check=True)
    with np.load(folder / "result.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return run(tmp_path_factory.mktemp("mirrored"))


def test_moving_statistics_are_the_mean_of_the_replicas(result):
    images = goldens.image((5, 4, 4, 3))
    replicas = [[images[:2], images[4:]], [images[2:4]]]
    expected = []
    for batches in replicas:
        mean, variance = np.zeros(3), np.ones(3)
        for batch in batches:
            mean = mean * MOMENTUM + batch.mean((0, 1, 2)) * (1 - MOMENTUM)
            variance = variance * MOMENTUM + batch.var((0, 1, 2), ddof=1) * (1 - MOMENTUM)
        expected.append((mean, variance))
    mean, variance = np.mean(expected, axis=0)
    assert_close(result["bn_mean"], mean, SAME)
    assert_close(result["bn_variance"], variance, SAME)


def test_a_trained_models_checkpoint_restores_exactly(result):
    differences = [value for key, value in result.items() if key.isdigit()]
    assert len(differences) == 137
    assert not any(np.any(difference) for difference in differences)


@pytest.mark.parametrize("name", ladder_plan.nets(ladder_plan.EVERYDAY_PROCESSES))
def test_two_replicas_with_equal_images_train_as_one(name, tmp_path):
    weights = run(tmp_path, name)
    for stage in models.STAGES:
        keys = [key for key in weights if key.startswith(f"{stage} alone ")]
        assert keys
        for key in keys:
            assert_close(weights[key.replace(" alone ", " two ")], weights[key], GRADIENT, key)
