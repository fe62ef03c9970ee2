"""The main job: the demo recipe reaches its accuracy in every version of the model."""

import dataclasses

import pytest
from shimzoo import models
from shimzoo.training import DEMO, train


@pytest.mark.parametrize("stage", models.STAGES)
def test_the_demo_reaches_its_accuracy(stage, tmp_path):
    result = train(dataclasses.replace(DEMO.config, stage=stage), out=tmp_path / "run")
    assert result.test_accuracy >= DEMO.expected().accuracy
