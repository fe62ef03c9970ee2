"""Targets appear whole or not at all."""

import pathlib

import pytest
from shimzoo.training.publishing import check_target, new_path, published


def write(target, text, is_directory):
    with published(target) as path:
        if is_directory:
            path.mkdir()
            path = path / "inside"
        path.write_text(text)


def read(target):
    return (target / "inside" if target.is_dir() else target).read_text()


@pytest.mark.parametrize("is_directory", [False, True])
def test_a_target_is_written_and_replaced(tmp_path, is_directory):
    target = tmp_path / "new" / "target"
    for text in ("first", "second"):
        write(target, text, is_directory)
        assert read(target) == text
        assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("is_directory", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path, is_directory):
    target = tmp_path / "target"

    def fail():
        with published(target) as path:
            if is_directory:
                path.mkdir()
                path = path / "inside"
            path.write_text("half")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert not list(tmp_path.iterdir())
    write(target, "old", is_directory)
    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert read(target) == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_exists_is_replaced_only_if_asked_for_and_of_the_kind(tmp_path):
    target = tmp_path / "target"
    check_target(target, overwrite=False, is_replaceable=lambda path: False)
    target.write_text("old")
    with pytest.raises(FileExistsError, match="--overwrite"):
        check_target(target, overwrite=False, is_replaceable=lambda path: True)
    check_target(target, overwrite=True, is_replaceable=lambda path: True)
    with pytest.raises(FileExistsError, match="something else"):
        check_target(target, overwrite=True, is_replaceable=lambda path: False)


def test_an_empty_directory_is_as_good_as_none(tmp_path):
    check_target(tmp_path, overwrite=False, is_replaceable=lambda path: False)
    write(tmp_path / "target", "first", is_directory=True)


def test_a_place_that_cannot_be_written_is_told_before(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        check_target(tmp_path / "file" / "target", False, lambda path: False)
    with pytest.raises(PermissionError, match="can't be written"):
        check_target(pathlib.Path("/proc/target"), False, lambda path: False)


def test_new_paths_are_new(tmp_path):
    paths = []
    for _ in range(3):
        paths.append(new_path(tmp_path, "name"))
        paths[-1].mkdir()
    assert len(set(paths)) == 3
    assert all(path.parent == tmp_path and path.name.startswith("name-2") for path in paths)
