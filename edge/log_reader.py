"""Reads the log of a dive: everything that was seen, decided and received. It writes nothing.

Also a log that another process is writing. `edge.divelog` writes one, and reads with it what it has not
written yet.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.database import connect_to_read
from edge.divelog_schema import (
    SCHEMA_VERSION,
    Grouped,
    LoggedFrame,
    Particle,
    Row,
    checksum,
    salt_of,
    stamp_of,
    unpack_histogram,
)
from edge.errors import DiveLogError
from edge.frame import FrameOutcome, Phase, Stamp
from edge.profile import FrameRecord
from edge.timeline import Fix, utc_at

INPUTS, MESSAGES = "inputs (time_ms, kind, data, checksum)", "messages (part, data, checksum)"

_PARTICLES = (
    "SELECT particle, frame, x_px, y_px, width_px, height_px, area_px, on_border, esd_um, taxon,"
    " scores, measures, evidence, numbers, {} FROM particles p"
)


class LogReader:
    """What a log holds. Use `look_into`, or a `DiveLog`.

    Attributes
    ----------
    path
        The file.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self.path = path
        self._pending: list[LoggedFrame] = []
        self._waiting: list[tuple[str, list[Row]]] = []
        self._take_up(db)

    def _take_up(self, db: sqlite3.Connection) -> None:
        """Know what the file holds."""
        self._db = db
        self._facts: dict[str, str] = dict(db.execute("SELECT key, value FROM meta"))
        self._salt = salt_of(self._facts)

    @classmethod
    @contextlib.contextmanager
    def look_into(cls, path: str | PathLike[str]) -> Iterator[LogReader]:
        """Open a log of this version that another process may be writing; nothing is written into it.

        Raises `DiveLogError` as `DiveLog.open` does, and of an earlier version.
        """
        file = Path(path)
        if not file.is_file():
            raise DiveLogError("is not there", file=file, remedy="name the dive.sqlite of a dive")
        with_wal = file.with_name(file.name + "-wal").exists()  # without one none is made beside the log
        try:
            with contextlib.closing(connect_to_read(file, with_wal=with_wal)) as db:
                log = cls(db, file)
                found = json.loads(log._facts.get("schema_version", "null"))
                if found != SCHEMA_VERSION:
                    raise other_version(file, found)
                yield log
        except (sqlite3.Error, ValueError, TypeError) as cause:
            raise DiveLogError(f"cannot be read ({cause})", file=file, remedy="name a dive log") from cause

    def meta(self, key: str) -> Any:
        """A fact about the dive; raises `DiveLogError` when the log does not have it."""
        if key not in self._facts:
            raise DiveLogError(
                "is missing", file=self.path, field=key, remedy="the log is damaged or foreign"
            )
        return json.loads(self._facts[key])

    def has_meta(self, key: str) -> bool:
        """Whether the log has this fact."""
        return key in self._facts

    def inputs(self, kind: str) -> list[tuple[int, dict[str, Any]]]:
        """Inputs of one kind, (UTC ms, data), in the order they came."""
        rows = list(self._rows("SELECT time_ms, data FROM inputs WHERE kind = ? ORDER BY input", (kind,)))
        rows += [(time_ms, data) for time_ms, one, data in self._waiting_for(INPUTS) if one == kind]
        return [(time_ms, json.loads(data)) for time_ms, data in rows]

    def times_ms(self) -> NDArray[np.int64]:
        """UTC of every frame, written or not, in the order of capture, int64 (n,), all fixes applied."""
        fixes = [
            Fix(Stamp(data["boot"], data["monotonic_ms"]), utc_ms) for utc_ms, data in self.inputs("clock")
        ]
        # Stamps lie behind the histograms, which are most of the file.
        stamp = "boot, monotonic_ms" if fixes else "NULL, NULL"
        columns = array("q"), array("q"), array("q")
        for time_ms, *rest in self._rows(f"SELECT time_ms, {stamp} FROM frames ORDER BY frame"):
            for column, value in zip(columns, _stamped(time_ms, stamp_of(*rest)), strict=True):
                column.append(value)
        for one in self._pending:
            for column, value in zip(columns, _stamped(one.record.time_ms, one.stamp), strict=True):
                column.append(value)
        times, boots, monotonic_ms = (np.array(column, dtype=np.int64) for column in columns)
        return utc_at(boots, monotonic_ms, times, fixes) if fixes else times

    def places(self) -> Iterator[tuple[int, Phase, float]]:
        """Number, phase and pressure (or NaN) of every frame, in the order of capture."""
        rows = self._rows("SELECT frame, phase, pressure_dbar FROM frames ORDER BY frame")
        for frame, phase, pressure_dbar in rows:
            dbar = math.nan if pressure_dbar is None else pressure_dbar
            yield frame, Phase(phase), dbar
        for one in self._pending:
            yield one.record.index, one.record.phase, one.record.pressure_dbar

    def named(self) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        """Frame, taxon and scores of every classified particle, in the order of capture."""
        for frame, taxon, scores in self._rows(
            "SELECT frame, taxon, scores FROM particles ORDER BY particle"
        ):
            yield frame, taxon, np.frombuffer(scores, dtype="<f4")
        for logged in self._pending:
            for one in logged.particles:
                yield one.frame, one.taxon, one.scores

    def seen(self) -> Iterator[tuple[int, float, bytes]]:
        """Taxon, highest score and numbers (`Particle`) of every classified particle, in order of capture."""
        for taxon, score, numbers in self._rows(
            "SELECT taxon, score, numbers FROM particles ORDER BY particle"
        ):
            yield taxon, score, numbers or b""
        for logged in self._pending:
            for one in logged.particles:
                yield one.taxon, float(one.scores.max()), one.numbers

    def records(self, times_ms: NDArray[np.int64] | None = None) -> Iterator[FrameRecord]:
        """Every frame's record in the order of capture: all that the profile is made of.

        `times_ms` as the log gives them, where they are at hand.
        """
        times = map(int, self.times_ms() if times_ms is None else times_ms)
        taxa = Grouped(self._rows("SELECT frame, taxon, esd_um FROM particles ORDER BY particle"), 0)
        rows = self._rows(
            "SELECT frame, pressure_dbar, phase, outcome, temperature_c, histogram, unnamed, dirt FROM frames"
            " ORDER BY frame"
        )
        for frame, pressure_dbar, phase, outcome, temperature_c, histogram, unnamed, dirt in rows:
            found = np.array([row[1:] for row in taxa.of(frame)], dtype=np.int64).reshape(-1, 2)
            yield FrameRecord(
                frame,
                next(times),
                math.nan if pressure_dbar is None else pressure_dbar,
                Phase(phase),
                FrameOutcome(outcome),
                math.nan if temperature_c is None else temperature_c,
                unpack_histogram(histogram),
                found[:, 0],
                found[:, 1],
                unnamed,
                dirt,
            )
        for logged in self._pending:
            yield replace(logged.record, time_ms=next(times))

    def frames(self) -> list[dict[str, Any]]:
        """Every frame's row as written, without its histogram, in the order of capture."""
        names = (
            "frame", "time_ms", "pressure_dbar", "phase", "lit", "outcome", "n_particles", "temperature_c",
            "environment", "source", "note", "sharpness",
        )  # fmt: skip
        rows = self._rows(f"SELECT {', '.join(names)} FROM frames ORDER BY frame")
        found = [dict(zip(names, row, strict=True)) for row in rows]
        for row, time_ms in zip(found, self.times_ms().tolist(), strict=False):
            row["time_ms"] = time_ms
        return found

    def worst_sharpness(self) -> float | None:
        """Sharpness of the least sharp frame, also of those not written yet; None when none has any."""
        ((written,),) = self._rows("SELECT MIN(sharpness) FROM frames")
        found = [written] if written is not None else []
        found += [logged.sharpness for logged in self._pending if logged.sharpness is not None]
        return min(found, default=None)

    def outcomes(self) -> Counter[FrameOutcome]:
        """Frames by outcome, also those not written yet."""
        rows = self._rows("SELECT outcome, COUNT(*) FROM frames GROUP BY outcome")
        found = Counter({FrameOutcome(outcome): n for outcome, n in rows})
        found.update(logged.record.outcome for logged in self._pending)
        return found

    def light(self) -> tuple[float | None, float | None, int | None]:
        """Mean grey of frames with and without light, hundredths, and the median noise threshold.

        None where no frame says it; also of frames not written yet.
        """
        grey: dict[bool, list[int]] = {True: [0, 0], False: [0, 0]}
        for lit, total, n in self._rows(
            "SELECT lit, SUM(mean_grey_centi), COUNT(mean_grey_centi) FROM frames GROUP BY lit"
        ):
            grey[bool(lit)] = [total or 0, n]
        query = "SELECT noise_threshold, COUNT(noise_threshold) FROM frames GROUP BY 1"
        noise: Counter[int] = Counter(dict(self._rows(query)))
        for logged in self._pending:
            if logged.mean_grey_centi is not None:
                grey[logged.lit][0] += logged.mean_grey_centi
                grey[logged.lit][1] += 1
            if logged.noise_threshold is not None:
                noise[logged.noise_threshold] += 1
        lit, unlit = (grey[which][0] / grey[which][1] if grey[which][1] else None for which in (True, False))
        found = sorted((+noise).elements())
        return lit, unlit, found[(len(found) - 1) // 2] if found else None

    def clock_off_ms(self) -> int:
        """By how much the times of frames were put right, at most."""
        told = self._rows("SELECT time_ms FROM frames ORDER BY frame")
        return max(
            (abs(row[0] - right) for row, right in zip(told, self.times_ms(), strict=False)), default=0
        )

    def particles(self, *, with_vignettes: bool = False) -> Iterator[Particle]:
        """Every classified particle, in the order of capture; also those not written yet."""
        alone = _PARTICLES.format("NULL, NULL, NULL")
        joined = _PARTICLES.format("png, worth, v.checksum") + " LEFT JOIN vignettes v USING (particle)"
        last = -1
        try:
            for row in self._rows(f"{joined if with_vignettes else alone} ORDER BY particle"):
                last = row[0]
                yield self._particle(row)
        except DiveLogError:
            if not with_vignettes:
                raise
            # Nobody looks at pictures when a log is opened: where they cannot be read, particles still can.
            for row in self._rows(f"{alone} WHERE particle > ? ORDER BY particle", (last,)):
                yield self._particle((*row[:-3], *self._picture(row[0])))
        for logged in self._pending:
            for particle in logged.particles:
                yield particle if with_vignettes else replace(particle, vignette_png=None)

    def _particle(self, row: Row) -> Particle:
        number, frame, x, y, width, height, area, on_border, esd_um, taxon = row[:10]
        scores, measures, seen, numbers, png, worth, sealed = row[10:]
        return Particle(
            frame, x, y, width, height, area, bool(on_border), esd_um, taxon,
            np.frombuffer(scores, dtype="<f4"), np.frombuffer(measures, dtype="<f8"),
            None if png is None else self._unless_damaged(number, png, worth, sealed),
            math.nan if seen is None else seen,
            numbers or b"",
        )  # fmt: skip

    def _picture(self, number: int) -> Row:
        """The vignette of a particle, its worth and its checksum; nothing where they cannot be read."""
        query = "SELECT png, worth, checksum FROM vignettes WHERE particle = ?"
        with contextlib.suppress(DiveLogError):
            for row in self._rows(query, (number,)):
                return row
        return (None, None, None)

    def vignette_numbers(self) -> set[int]:
        """Particles, numbered from 0 as `particles` gives them, whose vignette is kept."""
        numbers = set()
        with contextlib.suppress(DiveLogError):
            for (number,) in self._rows("SELECT particle FROM vignettes"):
                numbers.add(number)
        return numbers

    def vignette(self, number: int) -> bytes:
        """The stored vignette of one of `vignette_numbers`; empty when it is damaged."""
        png, worth, sealed = self._picture(number)
        return b"" if png is None else self._unless_damaged(number, png, worth, sealed) or b""

    def messages(self) -> list[bytes]:
        """Messages of the dive, in the order of their parts."""
        parts: dict[int, bytes] = dict(self._rows("SELECT part, data FROM messages")) | dict(
            self._waiting_for(MESSAGES)
        )
        return [parts[part] for part in sorted(parts)]

    def _unless_damaged(self, number: int, png: bytes, worth: float, sealed: int | None) -> bytes | None:
        is_seal_right = sealed is None or sealed == checksum(self._salt, number, png, worth)
        return png if is_seal_right else None

    def _rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[Row]:
        """Rows of a query; a file that is damaged becomes a `DiveLogError`."""
        try:
            for row in self._db.execute(query, values):  # noqa: UP028 not `from`: it closes what is closed
                yield row
        except sqlite3.Error as cause:
            raise DiveLogError(
                f"is damaged ({cause})", file=self.path, remedy="start again, or copy it again"
            ) from cause

    def _waiting_for(self, table: str) -> list[Row]:
        return [row for one, rows in self._waiting if one == table for row in rows]


def _stamped(time_ms: int, stamp: Stamp | None) -> tuple[int, int, int]:
    return (time_ms, -1, 0) if stamp is None else (time_ms, stamp.boot, stamp.monotonic_ms)


def other_version(file: Path, found: object) -> DiveLogError:
    """The refusal of a log of another schema."""
    return DiveLogError(
        f"is {'none' if found is None else found}, this version reads {SCHEMA_VERSION}",
        file=file,
        field="schema_version",
        remedy="use the version of seston that wrote it",
    )
