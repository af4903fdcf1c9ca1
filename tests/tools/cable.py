"""A cable between two serial ports: two real ptys and a thread that carries, counts and may hurt bytes."""

from __future__ import annotations

import os
import pty
import random
import select
import termios
import threading
import time
import tty

AFTERWARDS_S = 1.5
"""What is in the cable was sent so long ago at most: then the speeds may have been the same."""
BAUDS = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}


class Cable:
    """Ports `aboard` and `ashore`; what one writes the other reads.

    Attributes
    ----------
    to_shore_bytes
        That came from aboard.
    flip
        Chance of a byte to arrive with one bit turned.
    highest_baud
        That the cable carries.
    hold_after_bytes, pull_after_bytes
        To shore: then nothing is carried until `hold_after_bytes` is None again; then the cable is pulled out
        on shore, and put into another port there.
    """

    def __init__(self):
        self._masters, self._slaves = [], []
        self._names = [self._plug(), self._plug()]
        self.to_shore_bytes, self.flip = 0, 0.0
        self.hold_after_bytes = self.pull_after_bytes = None
        self.highest_baud, self._agreed_s = 10**7, time.monotonic()
        self._draw = random.Random(1)
        self._is_over = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @property
    def speeds(self):
        """Of the ports at both ends, in baud: bytes are only read as they were sent when they agree."""
        return [BAUDS[termios.tcgetattr(slave)[4]] for slave in self._slaves]

    @property
    def aboard(self):
        return self._names[0]

    @property
    def ashore(self):
        return self._names[1]

    def _plug(self):
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._masters.append(master)
        self._slaves.append(slave)
        return os.ttyname(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._is_over = True
        self._thread.join()
        for handle in (*self._masters, *self._slaves):
            os.close(handle)

    def _carry(self):
        waiting = [b"", b""]  # for each end
        while not self._is_over:
            held = self.hold_after_bytes is not None and self.to_shore_bytes >= self.hold_after_bytes
            if self.pull_after_bytes is not None and self.to_shore_bytes >= self.pull_after_bytes:
                self.pull_after_bytes = None
                os.close(self._masters.pop())
                os.close(self._slaves.pop())
                self._names[1] = self._plug()
                waiting[1] = b""
            may_read = [self._masters[end] for end in (0, 1) if not waiting[1 - end] and not held]
            may_write = [self._masters[end] for end in (0, 1) if waiting[end] and not held]
            readable, writable, _ = select.select(may_read, may_write, [], 0.02)
            for end in (0, 1):
                if self._masters[end] in writable:
                    waiting[end] = waiting[end][os.write(self._masters[end], waiting[end]) :]
            for end in (0, 1):
                if self._masters[end] in readable:
                    data = os.read(self._masters[end], 512)
                    waiting[1 - end] += self._hurt(data)
                    if end == 0:
                        self.to_shore_bytes += len(data)

    def _hurt(self, data):
        speeds = self.speeds
        if speeds[0] == speeds[1]:
            self._agreed_s = time.monotonic()
        is_late = time.monotonic() > self._agreed_s + AFTERWARDS_S
        if is_late or min(speeds) > self.highest_baud:
            return self._draw.randbytes(len(data))
        if not self.flip:
            return data
        return bytes(
            byte ^ (1 << self._draw.randrange(8)) if self._draw.random() < self.flip else byte
            for byte in data
        )
