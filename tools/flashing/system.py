"""The system of a board: Debian for arm64 with the instrument in it, as one read-only file system.

mmdebstrap makes it from Debian's packages, the installer of the ship puts the instrument in, and mke2fs makes
a file of it: the same inputs give the same bytes. That file is a slot of a card, and the update of one.
"""

from __future__ import annotations

import io
import os
import platform
import shlex
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.errors import InputError
from tools.flashing.ext4 import settle_times
from tools.flashing.programs import require, run
from tools.flashing.system_file import (
    CONTEXT,
    FIRMWARE,
    FORMAT,
    MANIFEST,
    SIGNATURE,
    SLOT,
    Manifest,
    hash_of,
)

SUITE = "trixie"
COMPONENTS = "main non-free-firmware"
MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
SLOT_BYTES = 1 << 30
UUIDS = {"system": "5e570a01-0000-4000-8000-000000000002", "data": "5e570a01-0000-4000-8000-000000000004"}
PACKAGES = (
    # A system that starts,
    "systemd", "systemd-sysv", "udev", "kmod", "linux-image-arm64", "initramfs-tools", "zstd",
    "raspi-firmware", "u-boot-rpi", "libubootenv-tool", "e2fsprogs", "dosfstools", "fdisk", "mount", "passwd",
    "login", "util-linux",
    # its deck,
    "openssh-server", "sudo", "iproute2", "procps", "less", "nano",
    # and what the instrument takes from Debian: Python, GigE and USB3 cameras, GPIO.
    "python3", "python3-gi", "gir1.2-aravis-0.8", "python3-libgpiod", "tzdata",
)  # fmt: skip
LEFT_OUT = (
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/bug/*",
    "/usr/share/lintian/*", "/usr/share/bash-completion/*", "/usr/share/zsh/*",
    *(f"/usr/lib/modules/*/kernel/{name}/*" for name in (
        "sound", "drivers/gpu", "drivers/net/wireless", "drivers/infiniband", "drivers/isdn", "drivers/ata",
        "drivers/scsi/*",  # what lies in its folders; what a stick needs lies beside them
        "drivers/nvme", "drivers/iommu", "drivers/crypto", "drivers/staging",
        "drivers/bluetooth", "drivers/net/ethernet/mellanox", "drivers/net/ethernet/intel",
        "drivers/net/ethernet/broadcom/bnx2x", "drivers/net/ethernet/chelsio",
        "drivers/net/ethernet/qlogic", "drivers/net/ethernet/netronome",
        "drivers/media/dvb-frontends", "drivers/media/tuners", "drivers/md", "drivers/mtd", "drivers/target",
        "fs/btrfs", "fs/xfs", "fs/ocfs2", "fs/gfs2", "fs/ceph", "fs/smb", "fs/nfs", "fs/nfsd", "fs/jfs",
        "fs/bcachefs", "fs/f2fs", "fs/ubifs", "net/bluetooth", "net/mac80211", "net/wireless", "net/ceph",
        "net/sctp", "net/tipc", "net/batman-adv", "net/openvswitch",
    )),
)  # fmt: skip
NEEDED = ("mmdebstrap", "arch-test", "mke2fs", "debugfs", "zstd")


def build_system(
    installer: Path,
    out: Path,
    say: Callable[[str], None],
    *,
    epoch_s: int,
    mirrors: Sequence[str] = (),
    suite: str = SUITE,
    key: Ed25519PrivateKey | None = None,
) -> None:
    """Write the file system of a slot.

    Parameters
    ----------
    installer
        As `seston flash bundle` writes it.
    out
        The file: ext4, `SLOT_BYTES` long at most.
    mirrors
        Lines of sources.list in place of Debian's own, such as those of a snapshot.
    epoch_s
        Seconds since 1970: no file in it is younger.
    key
        Signs it: a unit with keys takes no other update.

    Raises
    ------
    InputError
        When a program is missing, or one of them fails: its last words are in the sentence.
    """
    require(NEEDED)
    _require_emulation()
    with (
        tempfile.TemporaryDirectory(prefix="seston-system-") as folder,
        as_file(files("tools.flashing")) as here,
    ):
        work = Path(folder)
        work.chmod(0o777)  # mmdebstrap's root is somebody else here
        script, ours, theirs = (shlex.quote(str(path)) for path in (here / "customize.sh", here, work))
        hook = f'sh {script} "$1" {ours} {theirs}'
        command = [
            # What is mounted for it is seen by nobody else, and goes with it.
            *(("unshare", "--mount") if os.geteuid() == 0 else ()),
            "mmdebstrap", "--architectures=arm64", "--variant=minbase", "--format=null",
            f"--include={','.join(PACKAGES)}", '--aptopt=APT::Install-Recommends "false"',
            *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
            f"--customize-hook=upload {shlex.quote(str(installer))} /root/seston.run",
            f"--customize-hook={hook}",
            suite, "/dev/null",
            *(mirrors or (
                f"deb {MIRROR} {suite} {COMPONENTS}", f"deb {MIRROR} {suite}-updates {COMPONENTS}",
                f"deb {SECURITY} {suite}-security {COMPONENTS}",
            )),
        ]  # fmt: skip
        environment = {
            **os.environ, "SOURCE_DATE_EPOCH": str(epoch_s), "LC_ALL": "C.UTF-8", "TZ": "UTC",
            "QEMU_CPU": os.environ.get("QEMU_CPU", "cortex-a53"), "SLOT_UUID": UUIDS["system"],
            "INITRD": "No",  # made once, by us, and not as every package is installed
        }  # fmt: skip
        say(f"Debian {suite} for arm64: packages are fetched and installed, some ten minutes")
        run(command, environment, log=out.with_name(f"{out.name}.log"))
        settle_times(work / "system.ext4", epoch_s)
        pack(work, out, suite, key)


def pack(work: Path, out: Path, suite: str, key: Ed25519PrivateKey | None) -> None:
    """Write one file of what a folder holds: `system.ext4`, `packages.txt` and the folder `firmware`."""
    slot = work / "system.ext4"
    digest = hash_of(slot, slot.stat().st_size)
    manifest = Manifest(
        format=FORMAT, name=f"{version('seston')}-{digest[:12]}", suite=suite, bytes=slot.stat().st_size,
        sha256=digest, packages=tuple((work / "packages.txt").read_text(encoding="ascii").splitlines()),
    )  # fmt: skip
    # More than one thread, and a block of its own for each: the bytes are the same on any number of cores.
    run(("zstd", "--quiet", "-10", "--threads=2", slot, "-o", work / SLOT))
    part = out.with_name(f"{out.name}.part")
    with tarfile.open(part, "w", format=tarfile.GNU_FORMAT) as archive:
        told = msgspec.json.format(msgspec.json.encode(manifest))
        _add(archive, MANIFEST, told)
        if key is not None:
            _add(archive, SIGNATURE, key.sign(CONTEXT + told))
        for path in sorted((work / "firmware").iterdir()):
            _add(archive, FIRMWARE + path.name, path.read_bytes())
        info = tarfile.TarInfo(SLOT)
        info.size = (work / SLOT).stat().st_size
        with (work / SLOT).open("rb") as file:
            archive.addfile(info, file)
    part.replace(out)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def _require_emulation() -> None:
    """Debian's packages run programs of arm64 as they are installed."""
    if platform.machine() == "aarch64" or Path("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists():
        return
    raise InputError(
        "programs for arm64 do not run on this machine",
        remedy="apt-get install qemu-user-static binfmt-support; in a container without systemd also mount"
        " binfmt_misc and register /usr/lib/binfmt.d/qemu-aarch64.conf",
    )
