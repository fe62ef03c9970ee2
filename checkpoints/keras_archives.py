"""The weights in a `.keras` file, which is a ZIP archive, read and written at their place."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import IO

from .file_parts import AT_ONCE, FilePart

WEIGHTS = "model.weights.h5"
# A member's local header: mark, what the central directory tells as well, lengths of two texts.
_HEADER = struct.Struct("<4s22xHH")
_MARK = b"PK\x03\x04"
# Bytes that a thread beside another takes at once, so that it seldom waits for its turn.
_AT_ONCE_IN_THREAD = 1 << 24


@contextlib.contextmanager
def weights_in(path: Path) -> Iterator[tuple[FilePart, Callable[[], None]]]:
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
            content = _stored(archive.fp, member)
            with futures.ThreadPoolExecutor(1) as pool:
                summed = pool.submit(_stored(archive.fp, member).checksum, _AT_ONCE_IN_THREAD)

                def check() -> None:
                    if summed.result() != member.CRC:
                        raise zipfile.BadZipFile(f"Bad CRC-32 for file {WEIGHTS!r}")

                yield content, check
            return
        # By h5py, which jumps to and fro, it would be unpacked over and over again.
        with tempfile.TemporaryFile(prefix="shimzoo-") as unpacked:
            with archive.open(member) as packed:
                shutil.copyfileobj(packed, unpacked, AT_ONCE)  # Which checks the sum.
            unpacked.flush()
            yield FilePart(unpacked.fileno()), lambda: None


@contextlib.contextmanager
def weights_into(archive: zipfile.ZipFile) -> Iterator[FilePart]:
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
    content = FilePart(file.fileno(), file.tell())
    yield content
    member.CRC = content.checksum(AT_ONCE)
    member.file_size = member.compress_size = content.size
    file.seek(member.header_offset)
    file.write(member.FileHeader(zip64=True))
    archive.start_dir = file.seek(0, os.SEEK_END)
    archive.filelist.append(member)
    archive.NameToInfo[member.filename] = member


def _stored(file: IO[bytes], member: zipfile.ZipInfo) -> FilePart:
    """A member that lies in its archive as it is.

    Raises:
        zipfile.BadZipFile: It is not there.
    """
    file.seek(member.header_offset)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(_MARK):
        raise zipfile.BadZipFile(f"{member.filename} is not at its place.")
    _, name_length, extra_length = _HEADER.unpack(header)
    start = file.tell() + name_length + extra_length
    return FilePart(file.fileno(), start, member.file_size)
