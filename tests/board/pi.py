"""A Raspberry Pi 3 B as QEMU emulates it: its card, two serial ports, a wired network, a stick, its power.

The firmware of the Pi's own processor is not emulated: QEMU starts U-Boot, as that firmware does. From there
on all is what a Pi runs: U-Boot built for it, its boot script, the kernel, its drivers of card and ports.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self, TextIO

CARD_BYTES = 4 << 30
ADDRESS = "192.168.7.2"
FORWARDED = (22, 4573)
"""Ports of its network that are reached from here: ssh, and the deck's."""
PROMPT = b"[$#] \x06"
ANSI = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[78=>]|\r")


class PiError(AssertionError):
    """It did not do in time what it has to; with the last words of its console."""


class EmulatedPi:
    """One Pi with a card.

    Parameters
    ----------
    image
        Of the card, plain; it is copied onto a card of four gigabytes.
    folder
        Where that card, and what is read from the image, go.
    """

    def __init__(self, image: Path, folder: Path) -> None:
        self._folder = folder
        self._card = folder / "card.img"
        self.console = b""
        """All that the console said since the power came."""
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.host_port = ""
        """Where the port of the float's controller is reached, as `open_transport` takes it."""
        self.forwarded: dict[int, int] = {}
        """Ports of its network, and where on this machine they are."""
        self._monitor: socket.socket | None = None
        self._lines: TextIO | None = None
        run("cp", "--sparse=always", image, self._card)
        run("truncate", "--size", CARD_BYTES, self._card)
        for name in ("u-boot.bin", "bcm2837-rpi-3-b.dtb"):
            run("mcopy", "-n", "-o", "-i", f"{image}@@1M", f"::{name}", folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut_power()

    def power_on(self) -> None:
        """Give it power; returns at once."""
        host, console, monitor = _free_port(), _free_port(), _free_port()
        self.forwarded = {port: _free_port() for port in FORWARDED}
        forwards = "".join(
            f",hostfwd=tcp:127.0.0.1:{here}-{ADDRESS}:{port}" for port, here in self.forwarded.items()
        )
        self.host_port = f"tcp:127.0.0.1:{host}"
        self.console = b""
        self._process = subprocess.Popen(
            ["qemu-system-aarch64", "-M", "raspi3b", "-display", "none",
             "-monitor", "none",
             "-qmp", f"tcp:127.0.0.1:{monitor},server=on,wait=off",
             "-netdev", f"user,id=deck,net=192.168.7.0/24,host=192.168.7.1,restrict=on{forwards}",
             "-device", "usb-net,netdev=deck,mac=b8:27:eb:00:00:17",
             # With a thread for each of its cores they wait for each other most of the time.
             "-accel", "tcg,thread=single",
             "-kernel", self._folder / "u-boot.bin", "-dtb", self._folder / "bcm2837-rpi-3-b.dtb",
             "-drive", f"file={self._card},format=raw,if=sd",
             # The first port is the PL011, the second the small one: host, and console.
             "-serial", f"tcp:127.0.0.1:{host},server=on,wait=off",
             "-serial", f"tcp:127.0.0.1:{console},server=on,wait=on"],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        self._socket = _connect(console)  # it waits for it, and answers nobody before
        self._monitor = _connect(monitor)
        self._monitor.settimeout(60.0)
        self._lines = self._monitor.makefile("r", encoding="utf-8")
        self._told("QMP")
        self._order("qmp_capabilities")

    def cut_power(self) -> None:
        """Take the power away, as it goes at sea."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        for one in (self._lines, self._socket, self._monitor):
            if one is not None:
                one.close()
        self._socket = self._monitor = self._lines = None

    def plug_in(self, stick: Path) -> None:
        """Put a stick into its USB port."""
        self._order("blockdev-add", driver="raw", **{"node-name": "stick"},
                    file={"driver": "file", "filename": str(stick)})  # fmt: skip
        self._order("device_add", driver="usb-storage", drive="stick", id="stick")

    def pull_out(self) -> None:
        """Take the stick out again."""
        self._order("device_del", id="stick")
        self._told("DEVICE_DELETED")
        self._order("blockdev-del", **{"node-name": "stick"})

    def _order(self, command: str, **arguments: object) -> None:
        """Have QEMU itself do something (QMP: a line of JSON each way, and events between)."""
        assert self._monitor is not None
        line = json.dumps({"execute": command, "arguments": arguments})
        self._monitor.sendall(f"{line}\n".encode())
        self._told("return", "error")

    def _told(self, *wanted: str) -> None:
        """Read the monitor until it says one of these."""
        assert self._lines is not None
        while True:
            said = json.loads(self._lines.readline() or '{"error": "QEMU is gone"}')
            if "error" in said:
                raise PiError(f"QEMU: {said['error']}")
            if said.keys() & set(wanted) or said.get("event") in wanted:
                return

    def wait(self, seconds: float) -> None:
        """Read the console for a while."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self._read(left_s)

    def expect(self, pattern: str, seconds: float, since: int = 0) -> re.Match[bytes]:
        """Wait until the console has said something, looked for from a place in `console`."""
        wanted = re.compile(pattern.encode())
        until_s = time.monotonic() + seconds
        while True:
            if found := wanted.search(self.console, since):
                return found
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                said = self.console[-3000:].decode(errors="replace")
                raise PiError(f"no {pattern!r} within {seconds:.0f} s; the console said last:\n{said}")
            self._read(min(left_s, 1.0))

    def login(self, password: str, seconds: float = 300) -> None:
        """Log in as deck, and become root."""
        self.expect("login: ", seconds)
        self.type("deck\n")
        self.expect("Password: ", 60)
        self.type(f"{password}\n")
        self.expect(r"deck@\S+:", 120)
        # A prompt that nothing else says; the screen is wide enough that no line is cut.
        self.type("exec sudo env PS1='$ \\006' TERM=dumb bash --norc --noprofile\n")
        self.expect(PROMPT.decode("latin-1"), 60)
        self.run("stty -echo cols 4000; unset PROMPT_COMMAND; dmesg -n 1")

    def restart(self) -> None:
        """Start it anew, as a person does on its console; returns at once."""
        self.console = b""
        self.type("systemctl reboot\n")

    def run(self, command: str, seconds: float = 120) -> str:
        """What a command says on the console; raises when it ends with another code than 0."""
        since = len(self.console)
        self.type(f'{command}; echo "code=$?"\n')
        found = self.expect(r"code=([0-9]+)\n", seconds, since)
        self.expect(re.escape("$ ") + "\x06", seconds, found.end())
        said = self.console[since : found.start()].decode(errors="replace").strip()
        if found.group(1) != b"0":
            raise PiError(f"{command}: code {found.group(1).decode()}: {said}")
        return said

    def until(self, command: str, is_so: Callable[[str], bool], seconds: float) -> str:
        """Run a command again and again until what it says is so."""
        until_s = time.monotonic() + seconds
        while not is_so(said := self.run(f"{command} || true")):
            if time.monotonic() > until_s:
                raise PiError(f"{command}: not so within {seconds:.0f} s: {said}")
            self.wait(2.0)
        return said

    def type(self, text: str) -> None:
        """Type on the console."""
        assert self._socket is not None
        self._socket.sendall(text.encode())

    def _read(self, seconds: float) -> None:
        assert self._socket is not None
        self._socket.settimeout(max(seconds, 0.01))
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return
        if not data:
            raise PiError(f"the Pi is off: {self.console[-2000:].decode(errors='replace')}")
        self.console += ANSI.sub(b"", data)
        with (self._folder / "console.log").open("ab") as file:
            file.write(data)


def _connect(port: int) -> socket.socket:
    for _ in range(100):
        with suppress(OSError):
            return socket.create_connection(("127.0.0.1", port), timeout=0.2)
        time.sleep(0.1)
    raise PiError("QEMU opens no port")


def run(*command: object) -> None:
    """Run a program of this machine."""
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
