"""A system as a file, as a board takes it: what it is, who signed it, the bytes of a slot, what starts a Pi.

`tools.flashing.system` makes one with programs that no board has; this reads one, on laptop and board.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import msgspec

from edge.errors import InputError

DISK_ID = "5e570a01"
"""Of every card that we make: the kernel finds its partitions by it."""
FORMAT = 1
CONTEXT = b"seston system 1\0"
"""Signed before the manifest of a system."""
MANIFEST, SIGNATURE, SLOT, FIRMWARE = "manifest.json", "signature", "system.ext4.zst", "firmware/"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a system is.

    Attributes
    ----------
    format
        1.
    name
        Version of seston, and the first digits of the hash.
    suite
        Of Debian.
    bytes, sha256
        Of the file system that a slot gets.
    packages
        Debian's, `name version architecture`, sorted.
    """

    format: int
    name: str
    suite: str
    bytes: int
    sha256: str
    packages: tuple[str, ...]


class System:
    """A system as a file: a tar of its manifest, of the slot, and of what starts a Pi.

    Raises `InputError` when it is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.signature = b""
        try:
            with tarfile.open(path) as archive:
                self.names = tuple(archive.getnames())
                self.manifest_bytes = _read(archive, MANIFEST)
                self.manifest = msgspec.json.decode(self.manifest_bytes, type=Manifest)
                if SIGNATURE in self.names:
                    self.signature = _read(archive, SIGNATURE)
        except (OSError, tarfile.TarError, KeyError, msgspec.DecodeError) as cause:
            raise InputError(
                f"is no system ({cause})", file=path, remedy="make it with seston flash system"
            ) from cause

    def unpack(self, out: Path) -> None:
        """Write the file system into a file, with holes where it is empty, or onto a device.

        Raises `InputError` when it cannot be written, or what is read back has another hash.
        """
        holes = "--no-sparse" if out.is_block_device() else "--sparse"
        command = ["zstd", "--decompress", "--quiet", "--force", holes, "-o", str(out), "-"]
        try:
            with tarfile.open(self._path) as archive:
                member = archive.extractfile(SLOT)
                assert member is not None
                with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
                    assert process.stdin is not None
                    shutil.copyfileobj(member, process.stdin, 1 << 20)
            found = hash_of(out, self.manifest.bytes)
        except (OSError, tarfile.TarError, KeyError) as cause:
            raise InputError(
                f"cannot be unpacked ({cause})", file=self._path, remedy="copy it again; check disk and card"
            ) from cause
        if found != self.manifest.sha256:
            raise InputError(
                "is damaged, or the card is: what was written has another hash",
                file=self._path, remedy="copy it again; then try another card",
            )  # fmt: skip

    def unpack_firmware(self, folder: Path) -> None:
        """Write what the first partition of a card needs of this system."""
        with tarfile.open(self._path) as archive:
            for name in self.names:
                member = archive.extractfile(name) if name.startswith(FIRMWARE) else None
                if member is not None:
                    (folder / Path(name).name).write_bytes(member.read())


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    return b"" if member is None else member.read()


def hash_of(path: Path, n_bytes: int) -> str:
    """SHA-256 of the first bytes of a file or device, as they are there and not in memory."""
    digest = hashlib.sha256()
    with path.open("r+b") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while n_bytes and (block := file.read(min(n_bytes, 1 << 20))):
            digest.update(block)
            n_bytes -= len(block)
    return digest.hexdigest()
