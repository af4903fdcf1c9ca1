"""The light on a GPIO line, with a stand-in for gpiod: a machine for tests has no such chip."""

from __future__ import annotations

import sys
from enum import Enum
from types import ModuleType, SimpleNamespace

import pytest

from edge.cameras.camera import CameraError
from edge.cameras.strobe import ForeignStrobe, open_strobe

pytestmark = pytest.mark.board


@pytest.fixture
def gpiod(monkeypatch):
    """As gpiod 2 is: `request_lines`, `LineSettings`, and enums in `gpiod.line`."""
    done = []
    line = ModuleType("gpiod.line")
    line.Direction = Enum("Direction", "INPUT OUTPUT")
    line.Value = Enum("Value", "INACTIVE ACTIVE")
    module = ModuleType("gpiod")
    module.line, module.LineSettings = line, SimpleNamespace

    def request_lines(path, consumer, config):
        if path == "/dev/gpiochip9":
            raise FileNotFoundError(2, "No such file or directory")
        ((number, settings),) = config.items()
        done.append((path, number, settings.direction.name, settings.output_value.name))
        return SimpleNamespace(
            set_value=lambda number, value: done.append((number, value.name)),
            release=lambda: done.append("release"),
        )

    module.request_lines = request_lines
    monkeypatch.setitem(sys.modules, "gpiod", module)
    monkeypatch.setitem(sys.modules, "gpiod.line", line)
    return done


@pytest.mark.parametrize(
    ("told", "path", "line"), [("gpio:17", "/dev/gpiochip0", 17), ("gpio:gpiochip4:5", "/dev/gpiochip4", 5)]
)
def test_the_line_is_dark_until_it_is_lit_and_when_it_is_let_go(gpiod, told, path, line):
    strobe = open_strobe(told)
    strobe.set(lit=True)
    strobe.set(lit=False)
    strobe.close()
    assert gpiod == [
        (path, line, "OUTPUT", "INACTIVE"),
        (line, "ACTIVE"), (line, "INACTIVE"), (line, "INACTIVE"), "release",
    ]  # fmt: skip


def test_a_chip_that_is_not_there_is_a_sentence(gpiod):
    with pytest.raises(
        CameraError, match=r"run\.camera\.strobe: is gpio:gpiochip9:1, which cannot be had \("
    ):
        open_strobe("gpio:gpiochip9:1")


def test_a_machine_without_gpiod_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with pytest.raises(CameraError, match="this machine has no gpiod; install the Python package gpiod"):
        open_strobe("gpio:17")


@pytest.mark.parametrize("told", ["camera", "host"])
def test_a_light_that_somebody_else_fires_needs_nothing(told):
    assert isinstance(open_strobe(told), ForeignStrobe)
