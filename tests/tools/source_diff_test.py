"""Two versions of a model side by side: nothing is lost, and what is alike stands side by side."""

import io
import re

import pytest
import rich.console
from shimzoo import models
from shimzoo.tools import source_diff

WIDTH = 263
COLUMN = 130


def shown(family, first, second, width=WIDTH):
    file = io.StringIO()
    console = rich.console.Console(file=file, width=width, force_terminal=True, color_system=None)
    source_diff.show(family, first, second, console)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.mark.parametrize("family", models.FAMILIES)
@pytest.mark.parametrize(
    ("first", "second"),
    [("shimmed", "native"), ("shimmed", "partially_native"), ("partially_native", "native")],
)
def test_each_side_is_its_file_whole(family, first, second):
    rows = [
        (line[:COLUMN].rstrip(), line[COLUMN:][1:2], line[COLUMN:][3:])
        for line in shown(family, first, second)
    ]
    assert rows[0] == (first, "", second) or rows[0] == (first, " ", second)
    left = [ours for ours, mark, _ in rows[2:] if mark != ">"]
    right = [others for _, mark, others in rows[2:] if mark != "<"]
    assert left == models.source_file(family, first).read_text().splitlines()
    assert right == models.source_file(family, second).read_text().splitlines()


def test_what_is_alike_stands_side_by_side():
    lines = shown("resnet", "shimmed", "native")
    for common in ("    def _head(self, net", "    def get_config(self)", "import keras"):
        both = [line for line in lines if line.startswith(common)]
        assert len(both) == 1
        assert common.strip() in both[0][COLUMN:]


def test_long_lines_go_on_below():
    lines = shown("resnet", "shimmed", "native", width=80)
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("family", models.FAMILIES)
def test_at_120_columns_no_word_is_torn(family):
    words = {
        word
        for stage in ("shimmed", "native")
        for word in re.findall(r"\w+", models.source_file(family, stage).read_text())
    }
    for line in shown(family, "shimmed", "native", width=120):
        for side in (line[:58], line[61:]):
            assert set(re.findall(r"\w+", side)) <= words, line


def test_a_function_stands_beside_the_class_that_takes_its_place():
    lines = shown("inception_v1", "shimmed", "native")
    (left,) = [i for i, line in enumerate(lines) if line.startswith("def apply_module(")]
    (right,) = [i for i, line in enumerate(lines) if line[COLUMN + 3 :].startswith("class Module(")]
    begin, end = min(left, right), max(left, right)
    between = [side for line in lines[begin : end + 1] for side in (line, line[COLUMN + 3 :])]
    definitions = [side for side in between if side.startswith(("def ", "class "))]
    assert len(definitions) == 2


def test_a_version_beside_itself_is_refused():
    with pytest.raises(ValueError, match="Both versions are 'native'"):
        shown("resnet", "native", "native")


def test_a_narrow_terminal_is_refused():
    with pytest.raises(ValueError, match="need 60 columns, this terminal has 40"):
        shown("resnet", "shimmed", "native", width=40)
