"""Where messages are kept: a file each, named by what it is, durable before `take` returns.

    FOLDER/<imei>/dive-00012/<time>-<momsn>-<hash>.sbd    and .json beside it: time and place of the session
    FOLDER/<imei>/other/                                  what is no message of this instrument
    FOLDER/aside/                                         what is malformed, or of an unknown modem

The name is the index: a message that comes again has a name that is there.
"""

from __future__ import annotations

import enum
import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path

from edge.durable import PART, sync_folder, write_durably
from edge.errors import InputError, MessageError
from edge.telemetry.header import unpack
from tools.shore.receiving.arrival import Arrival

ASIDE, OTHER, LOCK = "aside", "other", "receive.lock"
DIVE = "dive-"
MAX_ASIDE_FILES = 1000
"""More than these are counted and not kept: anybody can send rubbish."""
MAX_ASIDE_BYTES = 8192
"""So much of each is kept."""


class Fate(enum.Enum):
    """What became of a message; all but the last two are durable."""

    NEW = "new"
    DUPLICATE = "duplicate"
    OTHER = "not of this instrument"
    FOREIGN = "of an unknown modem"
    EMPTY = "empty"


class Store:
    """Messages on disk. For one thread of one process: a second process is refused.

    Parameters
    ----------
    folder
        Made when it is missing.
    imeis
        Modems whose messages are taken; empty: all.

    Attributes
    ----------
    counts
        How many of each fate, and how many malformed.

    Raises
    ------
    InputError
        When another receiver has the folder.
    """

    def __init__(self, folder: Path, imeis: Collection[str] = ()) -> None:
        self.folder = folder
        self.counts: Counter[Fate | None] = Counter()
        self._imeis = frozenset(imeis)
        (folder / ASIDE).mkdir(parents=True, exist_ok=True)
        self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise InputError(
                "is in use by another receiver", file=folder, remedy="stop it, or choose another --folder"
            ) from None
        for torn in folder.rglob(f"*{PART}"):  # what a power cut left
            torn.unlink(missing_ok=True)
        # What a killed receiver left may have names that are not on the disk yet.
        for place in (folder, *(place for place in folder.glob("*/**") if place.is_dir())):
            sync_folder(place)
        self._n_aside = sum(1 for _ in (folder / ASIDE).iterdir())

    def close(self) -> None:
        """Let the folder go."""
        os.close(self._lock)

    def take(self, arrival: Arrival, raw: bytes) -> tuple[Fate, Path | None]:
        """Keep a message.

        Parameters
        ----------
        arrival
            As `arrival.check` let it pass.
        raw
            The bytes it came in, kept where the message is not.

        Returns
        -------
        fate, dive
            And the folder of the dive that has a new message.

        Raises
        ------
        OSError
            When the disk refuses: it must not be confirmed.
        """
        if self._imeis and arrival.imei not in self._imeis:
            self._put_aside(raw, "foreign")
            return self._note(Fate.FOREIGN), None
        if not arrival.payload:
            return self._note(Fate.EMPTY), None
        try:
            number = unpack(arrival.payload)[0].dive_number
            folder, fate = self.folder / arrival.imei / f"{DIVE}{number:05d}", Fate.NEW
        except MessageError:
            folder, fate = self.folder / arrival.imei / OTHER, Fate.OTHER
        name = f"{arrival.time_s}-{arrival.momsn}-{hashlib.sha256(arrival.payload).hexdigest()[:16]}"
        file = folder / f"{name}.sbd"
        if file.exists():
            sync_folder(folder)
            return self._note(Fate.DUPLICATE), None
        _make_folder(folder)
        write_durably(folder / f"{name}.json", _told(arrival))
        write_durably(file, arrival.payload)
        return self._note(fate), folder if fate is Fate.NEW else None

    def malformed(self, raw: bytes) -> None:
        """Keep aside, and count, what is no message; `OSError` when the disk refuses."""
        self.counts[None] += 1
        if raw:
            self._put_aside(raw, "malformed")

    def dives(self) -> list[Path]:
        """Folders of all dives."""
        return sorted(folder for folder in self.folder.glob(f"*/{DIVE}*") if folder.is_dir())

    def status(self) -> str:
        """One line for a person."""
        kept = self.counts[Fate.NEW] + self.counts[Fate.OTHER]
        parts = [f"{kept} kept"]
        parts += [
            f"{self.counts[fate]} {fate.value}" for fate in Fate if fate is not Fate.NEW and self.counts[fate]
        ]
        if self.counts[None]:
            parts.append(f"{self.counts[None]} malformed")
        return ", ".join(parts)

    def _note(self, fate: Fate) -> Fate:
        self.counts[fate] += 1
        return fate

    def _put_aside(self, raw: bytes, why: str) -> None:
        file = self.folder / ASIDE / f"{why}-{hashlib.sha256(raw).hexdigest()[:16]}.bin"
        if self._n_aside < MAX_ASIDE_FILES and not file.exists():
            write_durably(file, raw[:MAX_ASIDE_BYTES])
            self._n_aside += 1


def _make_folder(folder: Path) -> None:
    """Make a folder of the store, durably."""
    for one in (folder.parent, folder):
        if not one.exists():
            one.mkdir()
            sync_folder(one.parent)


def _told(arrival: Arrival) -> bytes:
    """What the network says of a message, as JSON."""
    when = datetime.fromtimestamp(arrival.time_s, UTC).isoformat() if arrival.time_s else None
    told = {
        "imei": arrival.imei,
        "momsn": arrival.momsn,
        "time": when,
        "latitude_deg": arrival.latitude_deg,
        "longitude_deg": arrival.longitude_deg,
        "cep_km": arrival.cep_km,
        "source": arrival.source,
    }
    return json.dumps(told, indent=1).encode() + b"\n"
