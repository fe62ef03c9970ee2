"""The weights' place in a `.keras` file, as a file that can be read and written to and fro."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shimzoo.checkpoints.keras_archives import WEIGHTS, weights_in, weights_into

CONTENT = bytes(range(256)) * 5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.keras"


def packed(path, compression):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr(WEIGHTS, CONTENT)
    return path


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_weights_are_read_at_any_place(path, compression):
    with weights_in(packed(path, compression)) as (file, check):
        check()
        assert file.seek(0, io.SEEK_END) == len(CONTENT)
        assert file.read(1) == b""
        file.seek(300)
        assert file.read(100) == CONTENT[300:400]
        file.seek(-10, io.SEEK_CUR)
        assert file.read() == CONTENT[390:]


@pytest.mark.parametrize("place", [len(CONTENT) - 3, len(CONTENT), 2**40, 2**64 - 1])
def test_what_lies_beyond_the_end_is_zero(path, place):
    """As HDF5 reads a file of its own; damaged ones point there."""
    buffer = bytearray(b"x" * 10)
    with weights_in(packed(path, zipfile.ZIP_STORED)) as (file, _):
        file.seek(place)
        count = file.readinto(buffer)
    assert count == max(0, len(CONTENT) - place)
    assert buffer == CONTENT[place : place + 10].ljust(10, b"\0")


@pytest.mark.parametrize("size", [1, 30, 600])
def test_damage_is_told_before_tensors_are_used(path, size):
    damaged = bytearray(packed(path, zipfile.ZIP_STORED).read_bytes())
    at = damaged.index(CONTENT)
    damaged[at : at + size] = bytes(255 - byte for byte in damaged[at : at + size])
    path.write_bytes(damaged)
    with weights_in(path) as (_, check), pytest.raises(zipfile.BadZipFile, match="Bad CRC-32"):
        check()


def test_a_header_that_is_elsewhere_is_told(path):
    content = packed(path, zipfile.ZIP_STORED).read_bytes()
    header = content.index(b"PK\x03\x04", 1)
    path.write_bytes(content[:header] + b"none" + content[header + 4 :])
    with pytest.raises(zipfile.BadZipFile, match="not at its place"), weights_in(path):
        pass


def test_an_archive_without_weights_is_told(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(KeyError, match=WEIGHTS), weights_in(path):
        pass


@given(
    writes=st.lists(st.tuples(st.integers(0, 500), st.binary(min_size=1, max_size=200))),
    end=st.integers(0, 800),
)
def test_what_is_written_to_and_fro_is_a_member_like_others(tmp_path_factory, writes, end):
    path = tmp_path_factory.mktemp("written") / "model.keras"
    expected = io.BytesIO()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        with weights_into(archive) as file:
            for place, content in writes:
                for each in (expected, file):
                    each.seek(place)
                    assert each.write(content) == len(content)
            # HDF5 sets the size in the end, larger sometimes than what it wrote.
            file.truncate(end)
            expected.truncate(end)
            expected.seek(0)
            whole = expected.read().ljust(end, b"\0")
            file.seek(0)
            assert file.read() == whole
        archive.writestr("assets/words.txt", "after it")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["config.json", WEIGHTS, "assets/words.txt"]
        assert archive.read(WEIGHTS) == whole
        assert archive.read("assets/words.txt") == b"after it"
