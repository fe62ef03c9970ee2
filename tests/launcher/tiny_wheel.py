"""Writes small wheels, and is the build backend of the tiny checkouts in these tests.

A tiny checkout holds a copy of this file, so that pip can install it with nothing downloaded.
"""

import base64
import hashlib
import zipfile
from pathlib import Path


def write_wheel(
    folder: Path, name: str, version: str, files: dict[str, str], entry_points: str = ""
) -> str:
    """Writes `folder/<name>-<version>-py3-none-any.whl` and returns its file name."""
    info = f"{name}-{version}.dist-info"
    contents = dict(files)
    contents[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    contents[f"{info}/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: tiny\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    if entry_points:
        contents[f"{info}/entry_points.txt"] = entry_points
    record = "".join(f"{path},{_digest(text)},{len(text)}\n" for path, text in contents.items())
    contents[f"{info}/RECORD"] = record + f"{info}/RECORD,,\n"
    file_name = f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / file_name, "w") as archive:
        for path, text in contents.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return file_name


def _digest(text: str) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return "sha256=" + digest.decode().rstrip("=")


def build_editable(wheel_directory: str, config_settings=None, metadata_directory=None) -> str:
    """Builds the wheel that makes the checkout in the working directory importable (PEP 660)."""
    if Path("fill-the-disk").exists():
        raise OSError(28, "No space left on device")
    return write_wheel(
        Path(wheel_directory),
        "shimzoo",
        "1.0",
        {"shimzoo_checkout.pth": str(Path.cwd()) + "\n"},
        entry_points="[console_scripts]\nshimzoo = tiny_cli:main\n",
    )
