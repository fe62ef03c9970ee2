"""The weights in a `.keras` file, which is a ZIP archive, read where they lie."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

WEIGHTS = "model.weights.h5"
# A member's local header: mark, what the central directory tells as well, lengths of two texts.
_HEADER = struct.Struct("<4s22xHH")
_MARK = b"PK\x03\x04"
_BUFFER = 1 << 20


@contextlib.contextmanager
def weights_in(path: Path) -> Iterator[io.BufferedIOBase | io.RawIOBase]:
    """Opens the `.weights.h5` file that a `.keras` file contains, as long as the context lasts.

    Args:
        path: The archive.

    Raises:
        zipfile.BadZipFile: It is damaged.
        KeyError: It has no such file.
    """
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(WEIGHTS)
        if member.compress_type == zipfile.ZIP_STORED:
            with open(path, "rb") as file:
                stored = _StoredMember(file, member)
                stored.check()
                yield stored
            return
        # By h5py, which jumps to and fro, it would be unpacked over and over again.
        with tempfile.TemporaryFile(prefix="shimzoo-") as file:
            with archive.open(member) as packed:
                shutil.copyfileobj(packed, file, _BUFFER)
            yield file


class _StoredMember(io.RawIOBase):
    """A member that lies in its archive as it is, as a file to be read.

    Args:
        file: The archive, open.
        member: What its directory says of the member.

    Raises:
        zipfile.BadZipFile: There is no such member at the place.
    """

    def __init__(self, file: io.BufferedReader, member: zipfile.ZipInfo) -> None:
        self._file, self._member = file, member
        self._position = 0
        file.seek(member.header_offset)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MARK):
            raise zipfile.BadZipFile(f"{member.filename} is not at its place.")
        _, name_length, extra_length = _HEADER.unpack(header)
        self._start = file.tell() + name_length + extra_length

    def check(self) -> None:
        """Raises BadZipFile if the member's bytes are not those that were written."""
        checksum, buffer = 0, memoryview(bytearray(_BUFFER))
        self.seek(0)
        while count := self.readinto(buffer):
            checksum = zlib.crc32(buffer[:count], checksum)
        if checksum != self._member.CRC or self.tell() != self._member.file_size:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._member.filename!r}")
        self.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        origins = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._position,
            os.SEEK_END: self._member.file_size,
        }
        self._position = origins[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = max(0, self._member.file_size - self._position)
        part = memoryview(buffer)[:left]
        count = os.preadv(self._file.fileno(), [part], self._start + self._position)
        self._position += count
        return count
