"""Reads how the board fares: battery and thermal zones under /sys, room on disk. Not pure; decides nothing.

Whatever a board does not have is None: no reading can fail. What the readings of a dive come to is
`edge.telemetry.health`'s.
"""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

from edge.storage import bytes_written_so_far
from edge.telemetry.health import HealthReading

SYS = Path("/sys")


def read_health(
    folder: Path,
    messages_waiting: int | None = None,
    *,
    dirt_permille: int | None = None,
    classifier_restarts: int | None = None,
    sys: Path = SYS,
) -> HealthReading:
    """Read everything once.

    Parameters
    ----------
    folder
        Of the dive: the room is that of its disk.
    messages_waiting
        Messages without a link, or None.
    dirt_permille, classifier_restarts
        As others know them.
    sys
        Where the kernel's files are.
    """
    return HealthReading(
        battery_mv=battery_mv(sys),
        board_temperature_c=board_temperature_c(sys),
        disk_free_mb=disk_free_mb(folder),
        messages_waiting=messages_waiting,
        dirt_permille=dirt_permille,
        memory_mb=memory_mb(),
        written_mb=bytes_written_so_far() // 1_000_000,
        classifier_restarts=classifier_restarts,
    )


def battery_mv(sys: Path = SYS) -> int | None:
    """Lowest voltage of the batteries that the kernel knows (sysfs-class-power, uV), millivolts."""
    found = []
    for supply in _folders(sys / "class" / "power_supply"):
        if _text(supply / "type") in ("Battery", "UPS"):
            microvolts = _whole(supply / "voltage_now")
            if microvolts is not None:
                found.append((microvolts + 500) // 1000)
    return min(found, default=None)


def board_temperature_c(sys: Path = SYS) -> int | None:
    """Temperature of the hottest thermal zone (sysfs-class-thermal, thousandths), whole degrees Celsius."""
    found = [_whole(zone / "temp") for zone in _folders(sys / "class" / "thermal") if "zone" in zone.name]
    hottest = max((value for value in found if value is not None), default=None)
    return None if hottest is None else (hottest + 500) // 1000


def memory_mb() -> int | None:
    """Largest memory of this process so far, whole megabytes (10 ** 6 bytes)."""
    try:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 // 1_000_000
    except (OSError, ValueError):
        return None


def disk_free_mb(folder: Path) -> int | None:
    """Room on the disk of a folder, whole megabytes (10 ** 6 bytes)."""
    try:
        return shutil.disk_usage(folder).free // 1_000_000
    except OSError:
        return None


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(place.iterdir())
    except OSError:
        return []


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _whole(file: Path) -> int | None:
    """A whole number from a file; drivers may have the file and still refuse to read."""
    try:
        return int(_text(file) or "")
    except ValueError:
        return None
