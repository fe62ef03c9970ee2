"""Native models on two replicas: TF1's statistics per replica, and checkpoints."""

import subprocess
import sys

import numpy as np
import pytest
from shimzoo.tests.data import goldens
from shimzoo.tests.models import mirrored_training
from shimzoo.tests.models.tolerances import SAME, assert_close

MOMENTUM = mirrored_training.MOMENTUM


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirrored")
    subprocess.run([sys.executable, mirrored_training.__file__, str(folder)], check=True)
    with np.load(folder / "result.npz") as arrays:
        return dict(arrays)


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
