"""Writes our own answers in uvp6-1.json anew: `python -m tests.golden.make_uvp6`, for a new version alone.

What the vendor's documents say stands there as they say it, and is not touched: a source that begins with
`ours:` marks the rest.
"""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

from firmware_bridge.uvp6.lines import (
    BlackFrame,
    Configuration,
    Generation,
    Instant,
    LpmFrame,
    TaxoFrame,
    read_configuration,
    read_frame,
)
from firmware_bridge.uvp6.personality import Event, Personality

FILE = Path(__file__).parent / "uvp6-1.json"
KEPT: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
OURS = "ours:"
NOW = Instant(2022, 2, 23, 4, 0, 5)
"""What the instrument's clock says."""


def configuration(kind: str, generation: Generation = Generation.V2022_02) -> Configuration:
    """A kept configuration; a TAXO_CONF is the same in all generations."""
    wanted = Generation.V2022_02 if kind == "TAXO_CONF" else generation
    (line,) = (
        kept["line"]
        for kept in KEPT["configurations"]
        if kept["kind"] == kind and kept["generation"] == wanted.value
    )
    found = read_configuration(line, wanted)
    assert isinstance(found, Configuration), found
    return found


def frame(line: str) -> Any:
    """A frame of a kept line."""
    found = read_frame(line)
    assert isinstance(found, (BlackFrame, LpmFrame, TaxoFrame)), found
    return found


def play(exchange: dict[str, Any]) -> tuple[list[list[str]], list[Event]]:
    """Go through an exchange with our instrument: its lines by step, and its events."""
    generation = Generation(exchange["generation"])
    acquisition, taxonomy = configuration("ACQ_CONF", generation), configuration("TAXO_CONF")
    uvp6 = Personality(
        configuration("HW_CONF", generation), {"ACQ_SESTON": acquisition}, {"TAXO_A": taxonomy}, lambda: NOW
    )
    said: list[list[str]] = []
    events: list[Event] = []
    for step in exchange["steps"]:
        held = step.get("in_the_making")
        if held is not None:
            uvp6.before_stop = functools.partial(uvp6.send_lit, frame(held["lpm"]), frame(held["taxo"]))
        events += uvp6.receive(step.get("host", "").encode("ascii"), 0.0)
        if "black" in step:
            uvp6.send_black(frame(step["black"]))
        if "lpm" in step:
            uvp6.send_lit(frame(step["lpm"]), frame(step["taxo"]))
        if "over_exposed" in step:
            uvp6.send_over_exposed(frame(step["over_exposed"]), classifies=True)
        said.append(uvp6.to_send(1 << 20).decode("ascii").split("\r\n")[:-1])
    return said, events


def make() -> dict[str, Any]:
    """Everything that the file holds, with our own answers as they are now."""
    made = copy.deepcopy(KEPT)
    for exchange in made["exchanges"]:
        if exchange["source"].startswith(OURS):
            for step, lines in zip(exchange["steps"], play(exchange)[0], strict=True):
                step["instrument"] = lines
    return made


def main() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
