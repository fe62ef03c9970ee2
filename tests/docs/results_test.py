"""The results under docs/results are those of the recipes that they name."""

import dataclasses
import json
import pathlib

from shimzoo.training import published_recipes
from shimzoo.training.train_config import TrainConfig

RESULTS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "results"


def read(name):
    return json.loads((RESULTS / "fashion_mnist" / name).read_text())


def test_fashion_mnist_reached_what_its_recipe_says_with_its_settings():
    recipe = published_recipes.RECIPES["fashion_mnist"]
    settings, result = read("config.json")["config"], read("result.json")
    # Settings that came later are at their defaults, which leave a run as it was.
    assert TrainConfig(**settings) == dataclasses.replace(recipe.config, seed=settings["seed"])
    assert result["test_accuracy"] >= recipe.expected().accuracy == 0.91
    assert result["wall_time_s"] / 60 <= recipe.minutes < 30


def test_the_parts_of_a_result_are_of_one_run():
    folder, result = RESULTS / "fashion_mnist", read("result.json")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(lines) == result["epochs"]
    assert lines[-1]["test_accuracy"] == result["test_accuracy"]
    accuracy = f"{result['test_accuracy']:.4f}"
    assert f"test accuracy  {accuracy}" in (folder / "log.txt").read_text()
    page = (folder / "README.md").read_text()
    assert f"{result['test_accuracy']:.2%}".replace("%", " %") in page
    assert f"{result['wall_time_s']:.0f} s" in page
    assert read("config.json")["command"] in page
