"""Names of classes, as text files have them."""

import hypothesis
import hypothesis.strategies as st
import pytest
from shimzoo.training.datasets import read_class_names

plain = st.text(st.characters(categories=["L", "Nd", "Zs"]), min_size=1).map(str.strip)
# What is behind a number may have numbers and colons itself.
any_name = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)


def lists(names):
    return st.lists(names.filter(bool), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("names") / "labels.txt"


@hypothesis.given(lists(plain))
def test_names_are_read_in_their_order(path, names):
    path.write_text("\n".join(names) + "\n", "utf-8")
    assert read_class_names(path) == tuple(names)


@hypothesis.given(lists(any_name), st.randoms(use_true_random=False))
def test_names_with_numbers_are_read_in_the_order_of_these(path, names, random):
    lines = [f"{number}:{name}\n" for number, name in enumerate(names)]
    random.shuffle(lines)
    path.write_text("".join(lines), "utf-8")
    assert read_class_names(path) == tuple(names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "names no class: "),
        (b"\n \n", "names no class: "),
        (b"0:a\n2:c\n", r"names no class 1: its 2 classes have the numbers 0 to 1\."),
        (b"1:a\n2:b\n", "names no class 0: "),
        (b"0:a\n0:b\n", "line '0:b'"),
        (b"0:a\nb\n", "line 'b'"),
        (b"a\n0:b\n", "line 'a'"),
        (b"0:\n", "line '0:'"),
        (b"-1:a\n", "names no class 0: "),
        (b"\xff\xfe\x00", "not a text in UTF-8"),
    ],
)
def test_damaged_files_are_told(path, text, message):
    path.write_bytes(text)
    with pytest.raises(ValueError, match=message):
        read_class_names(path)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no '.*labels\.txt'.*0:daisy"):
        read_class_names(tmp_path / "labels.txt")
