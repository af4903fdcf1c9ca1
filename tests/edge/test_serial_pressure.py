"""A real pty: what the float writes is what the instrument reads, and silence is not the last value."""

from __future__ import annotations

import os
import pty
import time
import tty

import pytest

from edge.run_config import PressureConfig
from edge.sensors.serial import SerialPressure
from firmware_bridge.ctd import Reading
from firmware_bridge.errors import TransportError

pytestmark = pytest.mark.board


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def line():
    host, instrument = pty.openpty()
    tty.setraw(instrument)
    clock = Clock()
    source = SerialPressure(PressureConfig(port=os.ttyname(instrument), stale_s=10), clock)
    yield host, source, clock
    source.close()
    os.close(host)
    os.close(instrument)


def read_until(source, expected):
    """Poll as the instrument does; a pty hands bytes over in its own time."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if source.read() == expected:
            return True
    return False


def test_newest_line_wins_and_goes_stale(line):
    host, source, clock = line
    assert source.read() is None
    os.write(host, b"10.5\r\ngarbage\r\n11.5, 8.25\r\n12.")
    assert read_until(source, Reading(11.5, 8.25))
    assert source.unreadable == 1
    os.write(host, b"75\r\n")
    assert read_until(source, Reading(12.75))
    clock.now = 10.5
    assert source.read() is None


def test_a_port_that_is_not_there():
    with pytest.raises(TransportError, match="/dev/nowhere: cannot be opened"):
        SerialPressure(PressureConfig(port="/dev/nowhere"), Clock())


def test_a_port_that_comes_later_or_comes_back_is_opened(tmp_path):
    """A link stands for the device: it points at a pty only while that is plugged in."""
    place, clock = tmp_path / "port", Clock()
    source = SerialPressure(PressureConfig(port=str(place)), clock, must_open=False)
    for dbar in (11.5, 12.5):
        clock.now += 100.0
        assert source.read() is None
        assert "cannot be opened" in source.fault
        host, device = os.openpty()
        place.symlink_to(os.ttyname(device))
        assert source.read() is None, "it was tried just now"
        clock.now += 100.0
        assert source.read() is None
        assert source.fault == ""
        os.write(host, f"{dbar}\r\n".encode())
        assert read_until(source, Reading(dbar))
        place.unlink()
        os.close(host)
        os.close(device)
        deadline = time.monotonic() + 5
        while not source.fault and time.monotonic() < deadline:
            source.read()
    source.close()
