"""Readings of the board: a tree of the kernel's files as boards have them, and boards that have none."""

from __future__ import annotations

import shutil

import pytest

from edge.health import battery_mv, board_temperature_c, disk_free_mb, read_health
from edge.telemetry.health import HealthReading

pytestmark = pytest.mark.board


def write(sys, files):
    for name, text in files.items():
        file = sys / "class" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    return sys


def test_a_board_with_a_battery_and_two_zones(tmp_path):
    sys = write(
        tmp_path / "sys",
        {
            "thermal/thermal_zone0/temp": b"41318\n",
            "thermal/thermal_zone1/temp": b"39600\n",
            "thermal/cooling_device0/temp": b"99000\n",
            "power_supply/BAT1/type": b"Battery\n",
            "power_supply/BAT1/voltage_now": b"12345600\n",
            "power_supply/BAT0/type": b"Battery\n",
            "power_supply/BAT0/voltage_now": b"12999500\n",
            "power_supply/rpi_usb/type": b"USB\n",
            "power_supply/rpi_usb/voltage_now": b"5000000\n",
        },
    )
    room = shutil.disk_usage(tmp_path).free / 1e6
    reading = read_health(tmp_path, 3, sys=sys)
    assert (reading.battery_mv, reading.board_temperature_c, reading.messages_waiting) == (12_346, 41, 3)
    assert abs(reading.disk_free_mb - room) < 1000


def test_below_zero(tmp_path):
    assert board_temperature_c(write(tmp_path, {"thermal/thermal_zone0/temp": b"-1600\n"})) == -2


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"n/a\n", b"12.5\n"])
def test_a_driver_that_answers_nonsense_is_left_out(tmp_path, text):
    files = {"power_supply/BAT0/type": b"Battery", "power_supply/BAT0/voltage_now": text}
    sys = write(tmp_path, {"thermal/thermal_zone0/temp": text, **files})
    assert board_temperature_c(sys) is None
    assert battery_mv(sys) is None
    (sys / "class/power_supply/BAT0/voltage_now").unlink()
    (sys / "class/power_supply/BAT0/voltage_now").mkdir()
    assert battery_mv(sys) is None


def test_a_board_that_tells_nothing(tmp_path):
    assert disk_free_mb(tmp_path / "gone") is None
    reading = read_health(tmp_path / "gone", None, sys=tmp_path / "no sys")
    of_the_process = {"memory_mb": reading.memory_mb, "written_mb": reading.written_mb}
    assert reading == HealthReading(**of_the_process)


def test_this_machine_can_be_read(tmp_path):
    reading = read_health(tmp_path)
    assert reading.disk_free_mb > 0
    assert 10 < reading.memory_mb < 100_000
    assert reading.written_mb >= 0
    assert reading.board_temperature_c is None or -55 <= reading.board_temperature_c <= 150
