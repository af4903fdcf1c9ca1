"""Times of a file system that mke2fs fills from a folder: when that folder was changed must not be in it."""

from __future__ import annotations

import os
import struct
import tempfile
from pathlib import Path

from tools.flashing.programs import run

_SUPERBLOCK_AT, _ROOT = 1024, 2
_FIRST_AT = 84
"""Of the first inode that is not reserved, in the superblock (Linux, Documentation/filesystems/ext4)."""


def settle_times(image: Path, epoch_s: int) -> None:
    """Set when every inode was last changed and read: nobody can set the former of a file in a folder.

    Parameters
    ----------
    image
        With an ext4 file system, made with E2FSPROGS_FAKE_TIME.
    epoch_s
        Seconds since 1970.

    Raises
    ------
    InputError
        When debugfs fails.
    """
    with image.open("rb") as file:
        superblock = os.pread(file.fileno(), 1024, _SUPERBLOCK_AT)
    (count,) = struct.unpack_from("<I", superblock, 0)
    (first,) = struct.unpack_from("<I", superblock, _FIRST_AT)
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".debugfs") as script:
        for inode in (_ROOT, *range(first, count + 1)):
            for field in ("ctime", "atime"):
                script.write(f"set_inode_field <{inode}> {field} @{epoch_s}\n")
        script.flush()
        run(("debugfs", "-w", "-f", script.name, image), {"E2FSPROGS_FAKE_TIME": str(epoch_s)})
