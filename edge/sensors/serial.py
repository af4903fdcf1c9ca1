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
from firmware_bridge.transport import REOPEN_S, SerialTransport


class SerialPressure:
    """Newest reading of a port.

    Attributes
    ----------
    unreadable, lenient, jumped
        Lines that were no reading, that were one but not as the maker writes it, and whose pressure the float
        cannot have reached; since the start.
    fault
        Why the port cannot be read now, or an empty string; it is opened again every `REOPEN_S`.

    Raises
    ------
    TransportError
        When it must open, and does not.
    """

    def __init__(
        self, config: PressureConfig, monotonic_s: Callable[[], float], *, must_open: bool = True
    ) -> None:
        self._config = config
        self._monotonic_s = monotonic_s
        self._transport: SerialTransport | None = None
        self._open_at_s = -math.inf
        self._splitter = LineSplitter()
        self._newest: Reading | None = None
        self._newest_s = -math.inf
        self.unreadable = self.lenient = 0
        self._rate = RateCheck()
        self.fault = ""
        if must_open:
            self._transport = SerialTransport(config.port, config.baud)

    def read(self) -> Reading | None:
        """Newest reading, or None when there is none younger than `stale_s`. Never waits."""
        now_s = self._monotonic_s()
        arrived = b""
        try:
            if self._transport is None and now_s >= self._open_at_s:
                self._transport = SerialTransport(self._config.port, self._config.baud)
            if self._transport is not None:
                arrived = self._transport.read()
                self.fault = ""
        except TransportError as error:
            self.close()
            self.fault, self._open_at_s = str(error), now_s + REOPEN_S
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
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
