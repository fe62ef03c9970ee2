"""A part of a file, read and written as a file of its own."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from zlib_ng import zlib_ng  # Whose sums are those of zlib, in a fourth of the time.

# Bytes to read or to write at once. To writes of 2 MB and more Linux gives memory in blocks of that
# size, which the host of a virtual machine may have taken back; to get them again takes ten times
# as long as the writing.
AT_ONCE = 1 << 20
# Linux reads somewhat less than 2 GiB at once.
_MOST_AT_ONCE = 1 << 30


class FilePart(io.RawIOBase):
    """A part of a file as a file of its own, without a copy.

    Args:
        descriptor: The file's, which is open for as long as the part is used.
        start: Where the part begins, in bytes.
        size: Its bytes, if it has so many; None is all up to the file's end, wherever that comes
            to be.
    """

    def __init__(self, descriptor: int, start: int = 0, size: int | None = None) -> None:
        self._file, self._start = descriptor, start
        self._size = None if size is None else max(0, min(size, self._left()))
        self._position = 0
        self._failure: OSError | None = None

    @contextlib.contextmanager
    def failing_as_it_did(self) -> Iterator[None]:
        """Raises what kept the part from being written, where HDF5 makes something else of it."""
        try:
            yield
        except Exception as error:
            if self._failure is None or self._failure is error:
                raise
            raise self._failure from error

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._left() if self._size is None else self._size

    def _left(self) -> int:
        """The file's bytes from the part's begin on."""
        return os.fstat(self._file).st_size - self._start

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
        is_there = offset + len(whole) <= self.size
        for start in range(0, len(whole) if is_there else 0, _MOST_AT_ONCE):
            part = whole[start : start + _MOST_AT_ONCE]
            count = os.preadv(self._file, [part], self._start + offset + start)
            is_there = is_there and count == len(part)
        if not is_there:
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
            try:
                count = os.pwrite(self._file, left[:AT_ONCE], self._start + self._position)
            except OSError as error:
                self._failure = self._failure or error
                raise
            self._position += count
            left = left[count:]
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        """Ends it, and with it the file, at a place."""
        size = self._position if size is None else size
        os.ftruncate(self._file, self._start + size)
        return size
