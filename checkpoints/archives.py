"""The archives that TF-Slim's checkpoints were published in: `.tar.gz` and `.tgz`."""

import contextlib
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from .checkpoint import first_line
from .locating import locate

# Members that are a checkpoint or a part of one; the rest (graphs, TFLite models) stays packed.
_CHECKPOINT_MEMBER = re.compile(
    r".*(\.index|\.data-\d{5}-of-\d{5}|\.ckpt(-\d+)?|\.weights\.h5|\.keras|\.safetensors)"
)
# Weights hardly shrink. An archive that grows beyond this was made to fill a disk.
_MOST_GROWTH = 20


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """The checkpoint in an archive, unpacked as long as the context lasts.

    Args:
        path: A tar file, compressed or not.

    Yields:
        As `locate` gives it.

    Raises:
        ValueError: It is no archive, a damaged or a malicious one, or has no checkpoint in it.
        OSError: It could not be unpacked.
    """
    with tempfile.TemporaryDirectory(prefix="shimzoo-") as folder:
        try:
            with tarfile.open(path) as archive:
                for member in _checkpoint_members(path, archive):
                    _unpack(archive, member, Path(folder))
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise ValueError(
                f"{path} is not a tar archive, or a damaged one: {first_line(error)}"
            ) from error
        try:
            located = locate(folder)
        except FileNotFoundError:
            raise ValueError(f"{path} has no checkpoint in it.") from None
        try:
            yield located
        except ValueError as error:  # In the user's words, who knows nothing of the folder.
            raise ValueError(str(error).replace(folder, str(path))) from error


def _checkpoint_members(path: Path, archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members, names, size = [], set[str](), 0
    most = _MOST_GROWTH * path.stat().st_size + tarfile.RECORDSIZE
    for member in archive:
        place = PurePosixPath(member.name)
        if place.is_absolute() or ".." in place.parts:
            raise ValueError(f"{path} is refused: its member {member.name!r} lies outside of it.")
        if not (member.isfile() or member.isdir()):
            raise ValueError(
                f"{path} is refused: its member {member.name!r} is a link or a device."
            )
        size += member.size
        if size > most and _is_cut_off(archive, most):
            raise ValueError(f"{path} is damaged: it is cut off in the middle of {member.name!r}.")
        if size > most:
            raise ValueError(
                f"{path} is refused: it would unpack to more than {_MOST_GROWTH} times its size."
            )
        if member.isfile() and _CHECKPOINT_MEMBER.fullmatch(place.name):
            if place.name in names:
                raise ValueError(
                    f"{path} has several checkpoints in it ({place.name} twice): unpack it and "
                    "pass one of them."
                )
            names.add(place.name)
            members.append(member)
    return members


def _is_cut_off(archive: tarfile.TarFile, most: int) -> bool:
    """Whether an archive ends before so many bytes have come out of it."""
    if archive.fileobj is None:
        return False
    archive.fileobj.seek(0)
    size = 0
    try:
        while size <= most:
            part = archive.fileobj.read(1 << 16)
            if not part:
                return True
            size += len(part)
    except (EOFError, OSError, zlib.error):
        return True
    return False


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    # By its last name alone and as plain bytes: nothing else of the member reaches the disk.
    with (
        archive.extractfile(member) as packed,
        open(folder / PurePosixPath(member.name).name, "wb") as file,
    ):
        shutil.copyfileobj(packed, file, 1 << 20)
