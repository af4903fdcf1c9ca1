"""`python -m tests.board.installer`: the installer on an emulated aarch64, on Debian 12 and 13, for real.

Debian's own roots (mmdebstrap) run under QEMU behind chroot, in namespaces of their own: install, the same
again, the golden answers. It takes minutes, and root; where that cannot be had it says why and is no failure.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITES = ("bookworm", "trixie")
"""With Python 3.11 and 3.13."""
PACKAGES = "python3,passwd,udev,systemd"
MACHINE = (
    rb":seston-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:%s:F"
)
"""As binfmt_misc takes it: which files this QEMU runs, in this namespace alone."""
N_CORES = 4
CORE = """processor\t: {}
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd03
CPU revision\t: 4

"""
"""A Cortex-A53, as the kernel of a Raspberry Pi 3 describes it."""
CLONE_NEWNS, CLONE_NEWUSER, MS_REC, MS_PRIVATE = 0x20000, 0x10000000, 1 << 14, 1 << 18
ON_BOARD = """
set -e
mkdir -p "$1/media"
mount --rbind /dev "$1/dev"
mount --rbind /proc "$1/proc"
mount --bind "$1/root/cpuinfo" "$1/proc/cpuinfo"
mount --bind "$2" "$1/media"
chroot "$1" sh -c 'sh /media/*-aarch64.run --no-selftest && sh /media/*-aarch64.run --no-selftest
  seston --version && seston bundle verify darkfield && seston-rollback; test $? = 2
  cd /opt/seston/current && sha256sum --quiet -c files.sha256 && du -sm .'
"""


def main() -> int:
    """Exit code 1 when an installation fails, 0 when none does or it cannot be found out."""
    parser = argparse.ArgumentParser(prog="python -m tests.board.installer", description=__doc__)
    parser.add_argument("--dir", type=Path, default=ROOT / "out" / "board-roots", help="where roots are kept")
    parser.add_argument("--cpu", default="cortex-a53", help="as QEMU names it")
    asked = parser.parse_args()
    folder = asked.dir.resolve()
    qemu = shutil.which("qemu-aarch64-static")
    if reason := _reason(qemu):
        sys.stdout.write(f"installer: skipped: {reason}\n")
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    code = f"from tools.cli import main; main(['flash', 'bundle', '--out', {str(folder / 'media')!r}])"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    failed = 0
    for suite in SUITES:
        tar, root, begun_s = folder / f"{suite}.tar", folder / suite, time.monotonic()
        if not tar.exists():
            words = ["mmdebstrap", "--mode=root", "--skip=check/qemu", "--arch=arm64", "--variant=minbase"]
            words += [f"--include={PACKAGES}", suite, str(tar), f"deb {_mirror()} {suite} main"]
            if emulated(words, qemu or "", asked.cpu):
                sys.stdout.write(f"installer: skipped: no {suite} from the mirror\n")
                return 0
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        unpack = ["tar", "-C", str(root), "--exclude=./dev/*", "-xf", str(tar)]
        emulated(unpack, qemu or "", asked.cpu)
        _describe_processor(root)
        script = ["sh", "-c", ON_BOARD, "sh", str(root), str(folder / "media")]
        code_of = emulated(script, qemu or "", asked.cpu)
        sys.stdout.write(f"{suite}: {'FAILED' if code_of else 'good'}, {time.monotonic() - begun_s:.0f} s\n")
        failed |= int(code_of != 0)
        shutil.rmtree(root, ignore_errors=True)
    return failed


def emulated(words: list[str], qemu: str, cpu: str) -> int:
    """Run a command as root of a user namespace in which arm64 programs run; its exit code."""
    libc = ctypes.CDLL(None, use_errno=True)
    ready, mapped = os.pipe(), os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            if libc.unshare(CLONE_NEWUSER | CLONE_NEWNS):
                os._exit(125)
            os.write(ready[1], b"1")
            os.read(mapped[0], 1)
            os.setgid(0)
            os.setuid(0)
            libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
            libc.mount(b"none", b"/proc/sys/fs/binfmt_misc", b"binfmt_misc", 0, None)
            Path("/proc/sys/fs/binfmt_misc/register").write_bytes(MACHINE % qemu.encode())
            os.execvpe(words[0], words, {**os.environ, "QEMU_CPU": cpu})
        finally:
            os._exit(126)
    os.read(ready[0], 1)
    for name in ("uid_map", "gid_map"):
        Path(f"/proc/{child}/{name}").write_text("0 0 65536")
    os.write(mapped[1], b"1")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _describe_processor(root: Path) -> None:
    """What XNNPACK reads to choose its kernels: this machine's /sys would be of another processor."""
    cpus = root / "sys/devices/system/cpu"
    cpus.mkdir(parents=True)
    for name in ("possible", "present", "online"):
        (cpus / name).write_text(f"0-{N_CORES - 1}\n")
    for number in range(N_CORES):
        for file, text in (
            ("topology/core_id", f"{number}"), ("topology/physical_package_id", "0"),
            ("topology/core_siblings_list", f"0-{N_CORES - 1}"), ("cpufreq/cpuinfo_max_freq", "1400000"),
            ("regs/identification/midr_el1", "0x00000000410fd034"),
        ):  # fmt: skip
            place = cpus / f"cpu{number}" / file
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{text}\n")
    (root / "root/cpuinfo").write_text("".join(CORE.format(number) for number in range(N_CORES)))


def _reason(qemu: str | None) -> str:
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "an x86-64 Linux emulates it"
    if qemu is None or shutil.which("mmdebstrap") is None:
        return "qemu-user-static and mmdebstrap are needed"
    return "" if os.geteuid() == 0 else "only root may make a Debian root"


def _mirror() -> str:
    """Where this machine's apt takes Debian from."""
    for file in sorted(Path("/etc/apt").glob("sources.list*/*.sources")):
        if found := re.search(r"^URIs:\s*(\S+)", file.read_text(), re.MULTILINE):
            return found[1]
    found = re.search(r"^deb (?:\[.*?\] )?(\S+)", Path("/etc/apt/sources.list").read_text(), re.MULTILINE)
    return found[1] if found else ""


if __name__ == "__main__":
    sys.exit(main())
