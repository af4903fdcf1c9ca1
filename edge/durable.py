"""Files that are whole or not there, whatever the power does: temporary, fsync, rename, fsync of the folder.

Databases do this by themselves; this is for the few files that people and other programs read.
"""

from __future__ import annotations

import os
from pathlib import Path

PART = ".part"
"""End of the name of a file that is not whole yet; what is left of one after a power cut may be deleted."""


def write_durably(file: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write or replace a file; when this returns, it is on the disk.

    Parameters
    ----------
    mode
        Rights of the file, from its first byte on.

    Raises
    ------
    OSError
        When the disk refuses: then the file is as it was.
    """
    temporary = file.with_name(file.name + PART)
    temporary.unlink(missing_ok=True)  # one that is there may have other rights
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(file)
    sync_folder(file.parent)


def sync_file(file: Path) -> None:
    """Make what was written into a file durable."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make names in a folder durable: those that are new, and those that are gone."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
