"""On an emulated Pi: a float leads it through a dive, on its serial port, and power goes in the middle."""

from __future__ import annotations

import time

import numpy as np

from edge.frame import Phase
from firmware_bridge.transport import PortLine, open_transport
from tests.board.pi import EmulatedPi
from tests.board.telling import must, told
from tools.hosting.course import Course
from tools.hosting.exchange import Exchange
from tools.hosting.native import NativeFloat, Stage

DIVE_S, CUT_S = 600.0, 150.0
"""How long the dive is, and when in it power goes: a Pi that is emulated is back after some four minutes."""
WITHIN_S = 1800.0
BAUD = 9600


def dive(pi: EmulatedPi) -> None:
    """A float leads it through a dive; power goes in the middle of it."""
    turn_s = DIVE_S / 2
    course = Course(
        time_s=np.array([0, turn_s, DIVE_S]), pressure_dbar=np.array([0.0, 300.0, 0.0]),
        temperature_c=np.array([14.0, 13.0, 14.0]),
        phases=((0.0, Phase.DESCENT), (turn_s, Phase.ASCENT)), end_s=DIVE_S,
    )  # fmt: skip
    exchange = Exchange()
    controller = NativeFloat(course, 1_780_000_000_000, exchange)
    is_cut = False
    with told("a dive with a power cut in the middle"):
        line = PortLine(controller, lambda: open_transport(pi.host_port, BAUD))
        until_s = time.monotonic() + WITHIN_S
        while controller.stage is not Stage.OFF and time.monotonic() < until_s:
            line.carry(0.5)
            pi.wait(0.01)
            in_dive_s = time.monotonic() - controller.dive_began_s
            if controller.stage is Stage.DIVES and not is_cut and in_dive_s > CUT_S:
                line.close()
                pi.cut_power()
                pi.power_on()
                is_cut = True
                line = PortLine(controller, lambda: open_transport(pi.host_port, BAUD))
        line.close()
    rows = [f"{line.at_s:.0f} s  {line.end}: {line.words}" for line in exchange.lines()]
    last = "\n".join(rows[-20:])
    must(controller.stage is Stage.OFF, f"the dive did not end:\n{last}")
    must(is_cut, "power was not cut")
    must(any("opens again" in row for row in rows), f"the instrument did not come back in the dive:\n{last}")
    must(bool(controller.messages), f"no message came:\n{last}")
    print(f"          {len(controller.messages)} messages, {sum(map(len, controller.messages))} bytes")  # noqa: T201
