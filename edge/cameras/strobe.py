"""The light: fired by the camera, by the host, or by us on a line of a GPIO chip (`gpiod`, version 2).

Where the camera or the host fires it there is nothing to do here: it is wired and set up so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from edge.cameras.camera import CameraError
from edge.gpio import request_line


class Strobe(Protocol):
    """What lights a frame."""

    def set(self, *, lit: bool) -> None:
        """Let there be light, or not. May raise OSError."""

    def close(self) -> None:
        """Dark, and let go."""


class ForeignStrobe:
    """A light that somebody else fires."""

    def set(self, *, lit: bool) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing is open."""


class LateStrobe:
    """A light that is opened when it is wanted, and again whenever that failed."""

    def __init__(self, open_strobe: Callable[[], Strobe]) -> None:
        self._open = open_strobe
        self._strobe: Strobe | None = None

    def set(self, *, lit: bool) -> None:
        """See `Strobe`; raises what opening does."""
        self._strobe = self._strobe or self._open()
        self._strobe.set(lit=lit)

    def close(self) -> None:
        """See `Strobe`."""
        if self._strobe is not None:
            self._strobe.close()


class GpioStrobe:
    """A light on a line of a GPIO chip, active high; raises `CameraError` when the line cannot be had."""

    def __init__(self, place: str) -> None:
        self._request, self._line, value = request_line(
            place, "seston strobe",
            lambda line: {"direction": line.Direction.OUTPUT, "output_value": line.Value.INACTIVE},
            field="run.camera.strobe", error=CameraError,
        )  # fmt: skip
        self._on, self._off = value.ACTIVE, value.INACTIVE

    def set(self, *, lit: bool) -> None:
        """See `Strobe`."""
        self._request.set_value(self._line, self._on if lit else self._off)

    def close(self) -> None:
        """See `Strobe`."""
        self._request.set_value(self._line, self._off)
        self._request.release()


def open_strobe(told: str) -> Strobe:
    """The light that `[run.camera] strobe` names: `camera`, `host`, `gpio:17` or `gpio:gpiochip4:17`."""
    kind, _, place = told.partition(":")
    return GpioStrobe(place) if kind == "gpio" else ForeignStrobe()
