"""The weights in a `.keras` file, which is a ZIP archive, read and written at their place."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import IO, Any

import numpy as np
from zlib_ng import zlib_ng  # Whose sums are those of zlib, in a fourth of the time.

WEIGHTS = "model.weights.h5"
# A member's local header: mark, what the central directory tells as well, lengths of two texts.
_HEADER = struct.Struct("<4s22xHH")
_MARK = b"PK\x03\x04"
# Large enough that a thread seldom waits for its turn between two of them.
_BUFFER = 1 << 24
# Written at once. From 2 MB on Linux wants memory in blocks of that size, and the host of a virtual
# machine takes just those back when they are free: to get them again takes ten times as long.
_PIECE = 1 << 20
# A system call reads no more than 2 GiB.
_MOST_READ = 1 << 30


@contextlib.contextmanager
def weights_in(path: Path) -> Iterator[tuple[Part, Callable[[], None]]]:
    """Opens the `.weights.h5` file that a `.keras` file contains, as long as the context lasts.

    Args:
        path: The archive.

    Yields:
        The file, and what to call before its tensors are used: it waits until their checksum is
        known, which another thread finds out, and raises BadZipFile where that is wrong.

    Raises:
        zipfile.BadZipFile: It is damaged.
        KeyError: It has no such file.
    """
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(WEIGHTS)
        if member.compress_type == zipfile.ZIP_STORED:
            with open(path, "rb") as file, futures.ThreadPoolExecutor(1) as pool:
                # In one thread beside another: large enough that it seldom waits for its turn.
                summed = pool.submit(_stored(file, member).checksum, _BUFFER)

                def check() -> None:
                    if summed.result() != member.CRC:
                        raise zipfile.BadZipFile(f"Bad CRC-32 for file {WEIGHTS!r}")

                yield _stored(file, member), check
            return
        # By h5py, which jumps to and fro, it would be unpacked over and over again.
        with tempfile.TemporaryFile(prefix="shimzoo-") as unpacked:
            with archive.open(member) as packed:
                shutil.copyfileobj(packed, unpacked, _BUFFER)  # Which checks the sum.
            unpacked.flush()
            yield Part(unpacked, 0), lambda: None


@contextlib.contextmanager
def weights_into(archive: zipfile.ZipFile) -> Iterator[io.RawIOBase]:
    """Opens the `.weights.h5` file of a new archive for writing to and fro, as h5py does.

    Args:
        archive: Open for writing at a path; nothing else is to be written as long as the context
            lasts.
    """
    member = zipfile.ZipInfo(WEIGHTS, time.localtime()[:6])
    member.external_attr = 0o600 << 16
    member.header_offset = archive.start_dir
    member.CRC = member.file_size = member.compress_size = 0  # As long as they are not known.
    file = archive.fp
    file.seek(member.header_offset)
    file.write(member.FileHeader(zip64=True))
    file.flush()
    content = Part(file, file.tell())
    yield content
    member.CRC = content.checksum(_PIECE)
    member.file_size = member.compress_size = content.size
    file.seek(member.header_offset)
    file.write(member.FileHeader(zip64=True))
    archive.start_dir = file.seek(0, os.SEEK_END)
    archive.filelist.append(member)
    archive.NameToInfo[member.filename] = member


def _stored(file: io.BufferedReader, member: zipfile.ZipInfo) -> Part:
    """A member that lies in its archive as it is.

    Raises:
        zipfile.BadZipFile: It is not there.
    """
    file.seek(member.header_offset)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_MARK):
        raise zipfile.BadZipFile(f"{member.filename} is not at its place.")
    _, name_length, extra_length = _HEADER.unpack(header)
    return Part(file, file.tell() + name_length + extra_length, member.file_size)


class Part(io.RawIOBase):
    """A part of a file as a file of its own, without a copy.

    Args:
        file: The file, open.
        start: Where the part begins, in bytes.
        size: Its bytes; None is all up to the file's end, wherever that comes to be.
    """

    def __init__(self, file: IO[bytes], start: int, size: int | None = None) -> None:
        self._file, self._start, self._size = file.fileno(), start, size
        self._position = 0

    @property
    def size(self) -> int:
        """Its bytes."""
        return os.fstat(self._file).st_size - self._start if self._size is None else self._size

    def checksum(self, at_once: int) -> int:
        """Its CRC-32, from so many bytes at once."""
        checksum, buffer = 0, memoryview(bytearray(min(at_once, self.size)))
        self.seek(0)
        while count := self.readinto(buffer):
            checksum = zlib_ng.crc32(buffer[:count], checksum)
        return checksum

    def read_at(self, offset: int, array: np.ndarray) -> None:
        """Fills an array with the bytes from a place on.

        Raises:
            EOFError: There are not so many.
        """
        whole = array.reshape(-1).view("uint8").data
        for start in range(0, len(whole), _MOST_READ):
            part = whole[start : start + _MOST_READ]
            place = offset + start
            if place + len(part) > self.size or os.preadv(
                self._file, [part], self._start + place
            ) < len(part):
                raise EOFError(f"{array.nbytes:,} bytes from {offset:,} on are not all there.")

    def readable(self) -> bool:
        """Says that it is."""
        return True

    def writable(self) -> bool:
        """Says whether it may grow."""
        return self._size is None

    def seekable(self) -> bool:
        """Says that it is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves to a place; as for any file."""
        if whence == os.SEEK_SET:  # As HDF5 asks, thousands of times.
            self._position = offset
            return offset
        origins = {os.SEEK_CUR: self._position, os.SEEK_END: self.size}
        self._position = origins[whence] + offset
        return self._position

    def tell(self) -> int:
        """The place."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Reads what fits into a buffer, or as much as there is; the rest of it becomes zero."""
        whole = memoryview(buffer)
        left = self.size - self._position
        part = whole if len(whole) <= left else whole[: max(0, left)]
        # A damaged file asks for places that no system call takes.
        count = os.preadv(self._file, [part], self._start + self._position) if part else 0
        if count < len(whole):
            # HDF5 does not look at the count, and must not take for content what lay in memory.
            whole[count:] = bytes(len(whole) - count)
        self._position += count
        return count

    def write(self, content: Any) -> int:
        """Writes all of a buffer."""
        left = memoryview(content).cast("B")
        while left:
            count = os.pwrite(self._file, left[:_PIECE], self._start + self._position)
            self._position += count
            left = left[count:]
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        """Ends it, and with it the file, at a place."""
        size = self._position if size is None else size
        os.ftruncate(self._file, self._start + size)
        return size
