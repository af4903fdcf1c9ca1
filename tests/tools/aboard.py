"""A real `seston run` in a process of its own, on a cable of two ptys and with a deck's network port."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import time

CONFIG = """
bundle = "demo"
platform = "test float"
[optics]
pixel_um = 73
image_volume_l = 0.6
threshold = 21
aa_um2 = 2300
exp = 1.136
[run.camera]
kind = "replay"
source = "{frames}"
frame_rate_hz = 20
[run.host]
kind = "native"
port = "{port}"
[run.pressure]
source = "host"
[run.deck]
switch = "file:{switch}"
listen = "127.0.0.1:{tcp}"
"""


class Instrument:
    """A real `seston run` with these dives, at one end of a cable."""

    def __init__(self, folder, dives, cable):
        self.folder, self.cable = folder, cable
        self.dives = folder / "dives"
        shutil.copytree(dives, self.dives, dirs_exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.tcp = free.getsockname()[1]
        self.switch = folder / "seston.key"
        self.config = folder / "seston.toml"
        self.config.write_text(
            CONFIG.format(frames=dives.parent / "frames", port=cable.aboard, switch=self.switch, tcp=self.tcp)
        )
        self.start()

    def start(self):
        """Give it power."""
        command = [sys.executable, "-u", "-c", "from tools.cli import main; main()", "run"]
        command += ["--config", str(self.config), "--folder", str(self.folder)]
        with (self.folder / "said.txt").open("a") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)

    def said(self):
        return (self.folder / "said.txt").read_text()

    def log(self, dive):
        return self.dives / dive / "dive.sqlite"

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        assert self.process.returncode == 0, self.said()


def until(is_so, what):
    """Wait for something that another process does."""
    deadline = time.monotonic() + 300
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
