"""The main job: the demo recipe reaches its accuracy in every version of the model."""

import dataclasses

import pytest
from shimzoo import models
from shimzoo.training import DEMO, train


# `./zoo train` trains the native one by itself, which runs every day.
@pytest.mark.parametrize(
    "stage",
    [
        pytest.param(stage, marks=[] if stage == "native" else pytest.mark.large)
        for stage in models.STAGES
    ],
)
def test_the_demo_reaches_its_accuracy(stage, tmp_path):
    result = train(dataclasses.replace(DEMO.config, stage=stage), out=tmp_path / "run")
    assert result.test_accuracy >= DEMO.expected().accuracy
