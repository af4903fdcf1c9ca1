"""A small fleet made up for tests: two floats, dives with logs, and one that is known from messages alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from edge.divelog import DiveLog
from tests.tools.made_dive import make_dive

DAY_MS = 86_400_000


def make_fleet(folder: Path) -> Path:
    """Write dives: float-a 1 to 3 (the third weeks later), float-b 7; and one of which only messages came."""
    for i, (platform, number, day) in enumerate(
        (("float-a", 1, 0), ("float-a", 2, 5), ("float-a", 3, 24), ("float-b", 7, 3))
    ):
        dive = make_dive(
            folder / platform / f"dive-{number:05d}",
            seed=20 + i,
            frames=(30, 4, 26),
            truth=False,
            budget_bytes=500,
        )
        move_dive(
            dive, platform, number, day, 43.4 + 0.1 * day, 7.9 - 0.05 * day + 3 * (platform == "float-b")
        )
    sent = make_dive(folder / "sent", seed=40, frames=(30, 4, 26), truth=False, budget_bytes=500)
    place = folder / "300125010000000" / "dive-00012"
    place.mkdir(parents=True)
    for file in sorted((sent / "messages").glob("*.msg")):
        shutil.copyfile(file, place / f"{file.stem}.sbd")
        told = {"time": "2025-03-20T06:00:00+00:00", "latitude_deg": 43.9, "longitude_deg": 10.4}
        (place / f"{file.stem}.json").write_text(json.dumps(told))
    book = json.loads((sent / "messages" / "codebook.json").read_text())
    (place.parent / "codebook.json").write_text(json.dumps(book))
    shutil.rmtree(sent)
    return folder


def move_dive(
    dive: Path, platform: str, number: int, day: int, latitude_deg: float, longitude_deg: float
) -> None:
    """Give a dive that was made another float, number, time and place."""
    with DiveLog.open(dive) as log:
        config, recording = log.meta("config"), log.meta("recording")
        config["platform"] = platform
        recording["position"] = {"latitude_deg": latitude_deg, "longitude_deg": longitude_deg}
        log.set_facts({"dive_number": number, "config": config, "recording": recording})
        log._db.execute(f"UPDATE frames SET time_ms = time_ms + {day * DAY_MS}")
    shutil.rmtree(dive / "messages")
