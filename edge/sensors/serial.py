"""Pressure (and temperature, salinity) from a sensor or a host on a serial port.

Not a driver that commands a sensor: it reads the lines that come. A silent or stale port gives nothing,
never the last value again.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from edge.run_config import PressureConfig
from firmware_bridge.ctd import LineSplitter, RateCheck, Reading, parse_line
from firmware_bridge.errors import TransportError
from firmware_bridge.transport import SerialTransport


class SerialPressure:
    """Newest reading of a port.

    Attributes
    ----------
    unreadable, lenient, jumped
        Lines that were no reading, that were one but not as the maker writes it, and whose pressure the float
        cannot have reached; since the start.
    fault
        Why the port cannot be read now, or an empty string; the next call tries again.
    """

    def __init__(self, config: PressureConfig, monotonic_s: Callable[[], float]) -> None:
        self._config = config
        self._monotonic_s = monotonic_s
        self._transport = SerialTransport(config.port, config.baud)
        self._splitter = LineSplitter()
        self._newest: Reading | None = None
        self._newest_s = -math.inf
        self.unreadable = self.lenient = 0
        self._rate = RateCheck()
        self.fault = ""

    def read(self) -> Reading | None:
        """Newest reading, or None when there is none younger than `stale_s`. Never waits."""
        try:
            arrived = self._transport.read()
            self.fault = ""
        except TransportError as error:
            arrived, self.fault = b"", str(error)
        now_s = self._monotonic_s()
        for line in self._splitter.feed(arrived):
            reading = parse_line(line, self._config.format, self._config.columns)
            if reading is None:
                self.unreadable += 1
            elif self._rate.accepts(reading.pressure_dbar, now_s):
                self.lenient += not reading.is_strict
                self._newest, self._newest_s = reading, now_s
        fresh = self._monotonic_s() - self._newest_s <= self._config.stale_s
        return self._newest if fresh else None

    @property
    def jumped(self) -> int:
        """Readings that were refused for their rate."""
        return self._rate.refused

    def close(self) -> None:
        """Let the port go."""
        self._transport.close()
