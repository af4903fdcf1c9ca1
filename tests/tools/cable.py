"""A cable between two serial ports: two real ptys and a thread that carries bytes, counts and may hurt them."""

from __future__ import annotations

import os
import pty
import random
import select
import threading
import tty


class Cable:
    """Ports `aboard` and `ashore`; what one writes the other reads.

    Attributes
    ----------
    to_shore_bytes
        That came from aboard.
    flip
        Chance of a byte to arrive with one bit turned.
    cut_after_bytes
        To shore; then nothing arrives any more, in either direction. None: never.
    """

    def __init__(self):
        self._ends = [pty.openpty() for _ in range(2)]
        for master, slave in self._ends:
            tty.setraw(slave)
            os.set_blocking(master, False)
        self.aboard, self.ashore = (os.ttyname(slave) for _, slave in self._ends)
        self.to_shore_bytes, self.flip, self.cut_after_bytes = 0, 0.0, None
        self._draw = random.Random(1)
        self._wake, self._stop = os.pipe()
        self._is_over = False
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._is_over = True
        os.write(self._stop, b"x")
        self._thread.join()
        for end in (*self._ends, (self._wake, self._stop)):
            for handle in end:
                os.close(handle)

    @property
    def is_cut(self):
        return self.cut_after_bytes is not None and self.to_shore_bytes >= self.cut_after_bytes

    def _carry(self):
        masters = [master for master, _ in self._ends]
        waiting = {master: b"" for master in masters}
        other = dict(zip(masters, reversed(masters), strict=True))
        while not self._is_over:
            may_write = [master for master in masters if waiting[master]]
            may_read = [master for master in masters if not waiting[other[master]]]
            readable, writable, _ = select.select([*may_read, self._wake], may_write, [])
            for master in writable:
                waiting[master] = waiting[master][os.write(master, waiting[master]) :]
            for master in readable:
                if master == self._wake:
                    continue
                data = os.read(master, 4096)
                if master == masters[0]:
                    self.to_shore_bytes += len(data)
                if not self.is_cut:
                    waiting[other[master]] = self._hurt(data)

    def _hurt(self, data):
        if not self.flip:
            return data
        return bytes(
            byte ^ (1 << self._draw.randrange(8)) if self._draw.random() < self.flip else byte
            for byte in data
        )
