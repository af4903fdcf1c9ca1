"""Real disks for tests, small and short-lived: ext4 that breaks, memory that fills. Needs root."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def _run(*command: str | Path) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout


def why_not() -> str | None:
    """Why nothing can be mounted here."""
    missing = [one for one in ("mount", "umount", "unshare") if shutil.which(one) is None]
    if missing or os.geteuid() != 0:
        return "mounting needs root, mount and unshare"
    done = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return None if done.returncode == 0 else "this machine lets nobody mount"


def why_no_ext4() -> str | None:
    """Why there can be no ext4 that breaks."""
    if shutil.which("mkfs.ext4") is None or not Path("/sys/fs/ext4").is_dir():
        return "there is no ext4 here"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices here"
    return why_not()


@dataclass(frozen=True)
class Disk:
    """Where it is mounted, and what from."""

    place: Path
    device: str

    def breaks(self) -> None:
        """The kernel finds an error, as on a card that wears out, and from now on lets nobody write."""
        (Path("/sys/fs/ext4") / Path(self.device).name / "trigger_fs_error").write_text("1")

    def is_repaired(self) -> None:
        """The board is started again, and its file system checked."""
        _run("umount", self.place)
        subprocess.run(["e2fsck", "-p", self.device], check=False, capture_output=True)
        self.mount()

    def mount(self) -> None:
        """Mount it as Debian does."""
        _run("mount", "-o", "errors=remount-ro", self.device, self.place)


@contextlib.contextmanager
def ext4(place: Path, *, mb: int = 64) -> Iterator[Disk]:
    """A disk of its own at `place`."""
    place.mkdir()
    image = place.with_name(place.name + ".img")
    image.touch()
    os.truncate(image, mb << 20)
    _run("mkfs.ext4", "-q", image)
    device = _run("losetup", "--find", "--show", image).strip()
    try:
        disk = Disk(place, device)
        disk.mount()
        try:
            yield disk
        finally:
            _run("umount", "--lazy", place)  # a service that refused to start may still hold files
    finally:
        _run("losetup", "--detach", device)


@contextlib.contextmanager
def memory(place: Path, *, kb: int) -> Iterator[Path]:
    """A disk of so many kB at `place`."""
    place.mkdir()
    _run("mount", "-t", "tmpfs", "-o", f"size={kb}k", "none", place)
    try:
        yield place
    finally:
        _run("umount", place)
