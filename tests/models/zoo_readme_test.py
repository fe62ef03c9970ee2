"""The table of what runs where in models/README.md has every model, and tells what is planned."""

import fnmatch
import re
from pathlib import Path

import pytest
from shimzoo import models
from shimzoo.tests.models import ladder_plan

PAGE = (Path(models.__file__).parent / "README.md").read_text()
ROWS = re.findall(r"^\| `(\S+)` \| (.+?) \| (\d+) \| (.+?) \|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", models.list_models())
def test_every_model_is_in_one_row(name):
    (row,) = (row for row in ROWS if fnmatch.fnmatchcase(name, row[0]))
    assert int(row[2]) == ladder_plan.input_size(name)


def test_the_everyday_models_are_those_of_the_plan():
    told = [name for _, everyday, _, _ in ROWS for name in re.findall(r"`(\S+?)`", everyday)]
    assert sorted(told) == sorted(ladder_plan.EVERYDAY)
    (text,) = re.findall(r"^on fewer: (.+?)on the first\.$", PAGE, re.M | re.S)
    in_use = tuple(name for name in re.findall(r"`(\S+)`", text) if not name.endswith(".py"))
    assert in_use == ladder_plan.EVERYDAY_IN_USE
    assert (in_use[0],) == ladder_plan.EVERYDAY_PROCESSES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_is_large_is_what_is_not_for_every_day(row):
    pattern, everyday, _, large = row
    others = set(models.list_models(pattern)) - set(re.findall(r"`(\S+?)`", everyday))
    assert large == ("none" if not others else "all" if everyday == "none" else "the others")


def options_of(name):
    return type(models.get_variant(name)), models.default_options(name)


@pytest.mark.parametrize("name", models.list_models())
def test_every_model_is_a_net_that_the_ladder_climbs(name):
    climbed = [param.values[0] for param in ladder_plan.nets()]
    assert any(options_of(other) == options_of(name) for other in climbed)
