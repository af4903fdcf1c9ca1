"""`seston bench bridge`: what the native link carries of a serial line, and SBD under a bad sky.

Two real ends on a simulated line (`firmware_bridge.null_modem`); the numbers are simulated time, the same on
every machine.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.fetching import LogServer, Shelf
from firmware_bridge import link_logs as logs
from firmware_bridge.link import ALL_CAPABILITIES, Delivered, Event, ObjectReceived, Peer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Role
from firmware_bridge.link_wire import Capability, Kind
from firmware_bridge.null_modem import BITS_PER_BYTE, Faults, NullModem, SimulatedLine
from tools.bridge_bench import sbd
from tools.fetching import Reader, visiting_peer

BAUD = 9600
FLIPS = (0.0, 1e-4, 1e-3, 1e-2)
SIZES = {
    "messages of 340 bytes": (340, 50),
    "messages of 1960 bytes": (1960, 20),
    "a file of 50 kB": (50_000, 1),
}
"""Iridium SBD on a 9602 and on a 9522, and an upload: bytes and how many."""
FETCH_BAUD, FETCH_BYTES = 115_200, 100_000
SEEDS = 5
MOST_S = 100_000.0


def bench(sessions: int = sbd.N_SESSIONS) -> dict[str, Any]:
    """Measure every size on every line, and so many sessions."""
    rows: list[list[str]] = []
    numbers: dict[str, float] = {"baud": BAUD, "seeds": SEEDS}
    for words, (size_bytes, count) in SIZES.items():
        row = [words]
        for flip in FLIPS:
            found = [efficiency(flip, size_bytes, count, seed=seed) for seed in range(SEEDS)]
            numbers[f"efficiency_{size_bytes}_{flip:g}"] = sum(found) / SEEDS
            row.append(f"{100 * sum(found) / SEEDS:.1f} % (at least {100 * min(found):.1f})")
        rows.append(row)
    fetched = [f"seston fetch, {FETCH_BYTES // 1000} kB at {FETCH_BAUD} baud"]
    for flip in FLIPS:
        found = [fetching(flip, seed=seed) for seed in range(SEEDS)]
        numbers[f"fetch_{FETCH_BAUD}_{flip:g}"] = sum(found) / SEEDS
        fetched.append(f"{100 * sum(found) / SEEDS:.1f} % (at least {100 * min(found):.1f})")
    rows.append(fetched)
    link = {
        "title": f"Native link at {BAUD} baud: bytes delivered over bytes the line could carry",
        "columns": ["", *("clean" if not flip else f"{flip:g} flipped" for flip in FLIPS)],
        "rows": rows,
    }
    result, sky = sbd.run(sessions), sbd.BAD_SKY
    numbers |= {f"sbd_{name}": float(value) for name, value in asdict(result).items()}
    numbers["sbd_billed"] = result.billed
    return {
        "title": "Bridge",
        "tables": [
            link,
            {
                "title": "Iridium SBD under a bad sky",
                "columns": ["", ""],
                "rows": sbd.table(result),
            },
        ],
        "notes": [
            f"Native link: simulated, means of {SEEDS} seeds; both directions of the line flip one bit of "
            "that share of bytes. From the first byte of the first message until the last is known to be "
            "stored.",
            f"SBD: outbox, link and driver against an emulated modem. Of all sessions {100 * sky.fail:.0f} % "
            f"fail and say so, {100 * sky.hidden:.0f} % bring their message and say that they failed, "
            f"{100 * sky.mute:.0f} % give no answer (half of them had brought it), {100 * sky.hang:.0f} % "
            f"leave the modem deaf. Power is cut every {sbd.MEAN_BETWEEN_CUTS_S / 60:.0f} minutes on "
            "average. The least: what those sessions cost that brought something new, or what the sky had "
            "hidden that shore had; and a mailbox check for each time at the surface and each message to "
            "the float.",
        ],
        "numbers": numbers,
    }


def efficiency(
    flip: float, size_bytes: int = 340, count: int = 50, *, seed: int = 0, baud: int = BAUD
) -> float:
    """Share of the line's capacity that objects use: their bytes over those that fit the time they took.

    Parameters
    ----------
    flip
        Chance of a byte to arrive with one bit turned, in both directions.
    size_bytes, count
        Of the objects, at most 64, all queued at once.
    """
    instrument, host = Peer(Role.INSTRUMENT, 1), Peer(Role.HOST, 2)
    line = NullModem((instrument, host), baud=baud, faults=(Faults(flip=flip), Faults(flip=flip)), seed=seed)
    draw = random.Random(seed)
    delivered = 0

    def react(end: int, event: Event) -> None:
        nonlocal delivered
        if end == 1 and isinstance(event, ObjectReceived):
            host.stored(event.item)
        elif end == 0 and isinstance(event, Delivered):
            delivered += 1

    line.run(MOST_S, react, lambda: instrument.is_open and host.is_open)
    start_s = line.now_s
    for number in range(count):
        instrument.send(LinkObject(Kind.MESSAGE, number, draw.randbytes(size_bytes)))
    line.run(MOST_S, react, lambda: delivered == count)
    return delivered * size_bytes * BITS_PER_BYTE / baud / (line.now_s - start_s)


def fetching(flip: float, *, seed: int = 0, baud: int = FETCH_BAUD) -> float:
    """Share of the line's capacity that `seston fetch` uses, until the sum is right; see `efficiency`."""
    with tempfile.TemporaryDirectory() as place:
        dives, out = Path(place, "dives"), Path(place, "out")
        (dives / "00001").mkdir(parents=True)
        out.mkdir()
        (dives / "00001" / logs.file_name(logs.LOG)).write_bytes(random.Random(seed).randbytes(FETCH_BYTES))
        instrument = Peer(Role.INSTRUMENT, 1, capabilities=ALL_CAPABILITIES | Capability.LOGS)
        server, peer = LogServer(instrument, Shelf(dives, lambda: False)), visiting_peer()
        faults = Faults(flip=flip)
        modem = NullModem((instrument, peer), baud=baud, faults=(faults, faults), seed=seed)
        reader = Reader(peer, SimulatedLine(modem, 1, server.take), "the line", lambda: modem.now_s)
        reader.open()
        (row,) = reader.rows()
        begun_s = modem.now_s
        reader.fetch(row.dive, row.form, row.stamp, out / "dive.sqlite")
        return FETCH_BYTES * BITS_PER_BYTE / baud / (modem.now_s - begun_s)
