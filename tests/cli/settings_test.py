"""Options from a dataclass: what texts stand for, and what the help says."""

import contextlib
import dataclasses
import re

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from shimzoo.cli import settings
from shimzoo.training import DEMO
from shimzoo.training.train_config import TrainConfig


@dataclasses.dataclass
class Some:
    """Settings of all kinds.

    Args:
        count: How many,
            in all.
        size: How large; none is any.
        names: Who.
        marks: Where.
        rates: How fast.
        is_on: Whether.

    Raises:
        ValueError: Never.
    """

    count: int = 3
    size: float | None = None
    names: tuple[str, ...] = ()
    marks: tuple[int, ...] = (1, 2)
    rates: tuple[float, ...] = ()
    is_on: bool = True


def parsed(**given_values):
    return settings.parse(Some, given_values)


def test_texts_come_from_the_docstring_in_one_line():
    texts = settings.descriptions(Some)
    assert texts["count"] == "How many, in all."
    assert list(texts) == [field.name for field in dataclasses.fields(Some)]


def test_every_setting_of_a_run_is_described():
    names = [field.name for field in dataclasses.fields(TrainConfig)]
    assert list(settings.descriptions(TrainConfig)) == names


RANGES = {"0 to below 1": False, "0 to 1": True}


@pytest.mark.parametrize(
    ("name", "takes_1"),
    [
        (name, takes_1)
        for name, text in settings.descriptions(TrainConfig).items()
        for words, takes_1 in RANGES.items()
        if re.search(rf"\b{words}\b", text)
    ],
)
def test_the_help_says_whether_a_share_may_be_1(name, takes_1):
    assert getattr(dataclasses.replace(DEMO.config, **{name: 0.0}), name) == 0
    with contextlib.nullcontext() if takes_1 else pytest.raises(ValueError, match=name):
        dataclasses.replace(DEMO.config, **{name: 1.0})


def test_the_help_names_the_defaults():
    found = {p.name: p.annotation for p in settings.parameters(Some, Some())}
    texts = {name: annotation.__metadata__[0].help for name, annotation in found.items()}
    assert texts == {
        "count": "How many, in all. [default: 3]",
        "size": "How large; none is any. [default: none]",
        "names": "Who. [default: none]",
        "marks": "Where. [default: 1,2]",
        "rates": "How fast. [default: none]",
        "is_on": "Whether. [default: yes]",
    }


@given(st.lists(st.integers(-(10**9), 10**9), max_size=5))
def test_numbers_come_back_as_they_were_written(values):
    assert parsed(marks=",".join(map(str, values)) or "none") == {"marks": tuple(values)}


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=5))
def test_fractions_come_back_as_they_were_written(values):
    assert parsed(rates=",".join(map(repr, values)), size=repr(values[0])) == {
        "rates": tuple(values),
        "size": values[0],
    }


def test_what_is_not_given_is_left_out_and_none_is_a_value():
    assert parsed(count=None, size="none", is_on=False, names=["a", "b"], marks=None) == {
        "size": None,
        "is_on": False,
        "names": ("a", "b"),
    }


def test_none_empties_what_takes_several_values():
    assert parsed(marks="none", rates="none", names=["none"]) == {
        "marks": (),
        "rates": (),
        "names": (),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("count", "none"),
        ("count", "1.5"),
        ("size", "big"),
        ("marks", "1,x"),
        ("marks", "10,,20"),
        ("marks", "10,"),
        ("marks", ""),
        ("rates", ",0.1"),
        ("rates", "0.1,none"),
    ],
)
def test_a_bad_text_names_its_option(name, text):
    with pytest.raises(typer.BadParameter) as raised:
        parsed(**{name: text})
    assert f"'--{name}'" in raised.value.format_message()
    assert "is not a" in raised.value.message
