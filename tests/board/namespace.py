"""Run a command in a folder as on a Raspberry Pi Zero 2 W: emulated, and so is every process that it starts.

A user, mount and process namespace of its own, in which the kernel hands aarch64 programs to QEMU
(binfmt_misc in a user namespace, since Linux 6.7), with the processors that such a board has in /sys and
/proc/cpuinfo. Nothing of the machine is changed. Works as root, and as an ordinary user, who then is root
inside, and nobody else. A script by itself: `python tests/board/namespace.py --help`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

CORES = 4
CPU = "cortex-a53"
"""As QEMU names it; that of a Pi Zero 2 W and Pi 3. QEMU's own choice computes int8 networks wrong."""
TOO_OLD = 77
"""Exit code when the kernel does not let a namespace have emulators of its own."""
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root", "LANG": "C.UTF-8", "QEMU_CPU": CPU,
}  # fmt: skip
_MAGIC = r"\x7fELF\x02\x01\x01\x00" + 8 * r"\x00" + r"\x02\x00\xb7\x00"
_MASK = 7 * r"\xff" + r"\x00" + 8 * r"\xff" + r"\xfe\xff\xff\xff"
_CORE = """processor\t: {n}
BogoMIPS\t: 38.40
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd03
CPU revision\t: 4

"""
_MODEL = "Revision\t: 902120\nSerial\t\t: 0000000000000000\nModel\t\t: Raspberry Pi Zero 2 W Rev 1.0\n"
_OF_ALL = {"possible": "0-3", "present": "0-3", "online": "0-3", "offline": "", "kernel_max": "3"}
_OF_ONE = {
    "online": "1",
    "regs/identification/midr_el1": "0x00000000410fd034",
    "regs/identification/revidr_el1": "0x0000000000000080",
    "topology/core_id": "{n}",
    "topology/physical_package_id": "0",
    "topology/core_siblings": "f",
    "topology/core_siblings_list": "0-3",
    "topology/package_cpus": "f",
    "topology/package_cpus_list": "0-3",
    "topology/thread_siblings": "{bit:x}",
    "topology/thread_siblings_list": "{n}",
    "cpufreq/cpuinfo_max_freq": "1000000",
    "cpufreq/cpuinfo_min_freq": "600000",
    "cpufreq/scaling_cur_freq": "1000000",
    "cpufreq/scaling_governor": "ondemand",
}
# What the namespace's first process does; its arguments are the root, the pairs of binds, -- and the command.
_SETUP = r"""
set -e
root=$1; shift
emulators=/proc/sys/fs/binfmt_misc
{ mount -t binfmt_misc none $emulators && printf %s "$SESTON_BINFMT" > $emulators/register; } 2>/dev/null ||
  exit TOO_OLD
if [ "$root" != / ]; then # in / a board is made, elsewhere it runs
  mount -t proc none "$root/proc" 2>/dev/null || mount --rbind /proc "$root/proc"
  mount --bind "$root/etc/seston-board/cpuinfo" "$root/proc/cpuinfo"
  mount --rbind /dev "$root/dev"
  for folder in tmp run; do mount -t tmpfs -o mode=1777 none "$root/$folder"; done
fi
while [ "$1" != -- ]; do
  mkdir -p "$root$2"
  mount --rbind "$1" "$root$2"
  shift 2
done
shift
exec setpriv --pdeathsig KILL chroot "$root" /usr/bin/env -i "$@"
""".replace("TOO_OLD", str(TOO_OLD))


def write_board_files(root: Path) -> None:
    """Give a root the /sys and the processors of the board."""
    cpus = root / "sys/devices/system/cpu"
    told = {cpus / name: text for name, text in _OF_ALL.items()}
    for n in range(CORES):
        told |= {cpus / f"cpu{n}" / name: text.format(n=n, bit=1 << n) for name, text in _OF_ONE.items()}
    zone = root / "sys/class/thermal/thermal_zone0"
    told |= {zone / "type": "cpu-thermal", zone / "temp": "41856"}
    for file, text in told.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", encoding="ascii")
    cpuinfo = root / "etc/seston-board/cpuinfo"
    cpuinfo.parent.mkdir(parents=True, exist_ok=True)
    cpuinfo.write_text("".join(_CORE.format(n=n) for n in range(CORES)) + _MODEL, encoding="ascii")


def main() -> None:
    """Become the command, in the namespace."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path, help="folder of an arm64 system that was given the board's files")
    parser.add_argument("--qemu", required=True, help="qemu-aarch64-static")
    parser.add_argument(
        "--bind", nargs=2, action="append", default=[], help="a folder here, and where it is inside"
    )
    parser.add_argument("--env", action="append", default=[], help="NAME=VALUE")
    parser.add_argument("--cwd", default="/", help="a folder inside")
    parser.add_argument("argv", nargs="+", help="the command")
    arguments = parser.parse_args()
    enter(arguments.root, arguments.qemu, arguments.bind, arguments.env, arguments.cwd, arguments.argv)


def enter(
    root: Path, qemu: str, binds: list[list[str]], environment: list[str], cwd: str, argv: list[str]
) -> None:
    """Replace this process by the namespace; killing it, or who started it, kills all that runs in there."""
    # Set before the namespace is made, and once more by `setpriv` for the command inside.
    unshare = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "unshare",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--propagation",
        "private",
    ]
    script = _SETUP
    if os.geteuid() == 0:  # every user there is, mapped by a child of ours, since `unshare` maps one
        script = _wait_for_users() + script
        unshare.append("--user")
    else:
        unshare.append("--map-root-user")
    told = {**ENVIRONMENT, **dict(one.split("=", 1) for one in environment)}
    inside = [*(f"{name}={value}" for name, value in told.items()), f"--chdir={cwd}"]
    inside = [inside[-1], *inside[:-1], *argv]
    where = [word for here, there in binds for word in (here, there)]
    os.environ["SESTON_BINFMT"] = f":seston-aarch64:M::{_MAGIC}:{_MASK}:{qemu}:PCF"
    os.execvp(unshare[0], [*unshare, "sh", "-c", script, "sh", str(root), *where, "--", *inside])


def _wait_for_users() -> str:
    """Fork a child that maps the users once the namespace says that it is there; the shell's part of it."""
    there, say = os.pipe()
    wait, done = os.pipe()
    parent = os.getpid()
    if os.fork() == 0:
        os.close(say)
        if os.read(there, 1):
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{parent}/{name}").write_text("0 0 65536", encoding="ascii")
            os.write(done, b"\n")
        os._exit(0)
    os.set_inheritable(say, True)
    os.set_inheritable(wait, True)
    return f"echo there >&{say}; read answer <&{wait}; exec {say}>&- {wait}<&-\n"


if __name__ == "__main__":
    sys.exit(main())
