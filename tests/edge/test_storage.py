"""Room: the better vignette stays, the oldest dives give theirs, frames never go; and a card lives long."""

from __future__ import annotations

import math
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge import dive as dives
from edge.clock import SystemClock, WallClock
from edge.divelog import DiveLog
from edge.inference.bundle import load_bundle
from edge.mission import Mission, State
from edge.salvage import is_damaged
from edge.storage import Reserve, bytes_written_so_far, worth_of
from tests.durability.aboard import CONFIG
from tests.edge.test_divelog import frame, same

pytestmark = pytest.mark.board
PNG_BYTES = 900


def particle(**changes):
    return replace(frame(0, n=1).particles[0], **changes)


def test_what_teaches_more_is_worth_more():
    plain = particle(scores=np.array([0.9, 0.1], dtype=np.float32), esd_um=700, taxon=0, evidence=8.0)
    seen = {0: 50, 1: 0}
    assert worth_of(replace(plain, evidence=0.5), seen) > worth_of(plain, seen), "novel"
    assert worth_of(replace(plain, taxon=1), seen) > worth_of(plain, seen), "rare"
    unsure = np.array([0.5, 0.5], dtype=np.float32)
    assert worth_of(replace(plain, scores=unsure), seen) > worth_of(plain, seen), "unsure"
    assert worth_of(replace(plain, esd_um=4000), seen) > worth_of(plain, seen), "large"
    assert 0 < worth_of(replace(plain, evidence=math.nan), seen) < 4


def fill(log, frames):
    for i in frames:
        log.add_frame(frame(i, n=3, png=bytes([i % 251]) * PNG_BYTES))
        if i % 5 == 4:
            assert log.commit()
    assert log.commit()


def worths(log):
    return dict(log._db.execute("SELECT particle, worth FROM vignettes"))


def test_the_most_valuable_stay_whenever_they_come(tmp_path):
    (tmp_path / "free").mkdir()
    with DiveLog.create(tmp_path / "free" / "dive.sqlite", {}) as log:
        fill(log, range(60))
        best = sorted(worths(log).values(), reverse=True)[:20]
    with DiveLog.create(tmp_path / "dive.sqlite", {}, vignette_quota_mb=20 * PNG_BYTES / 1e6) as log:
        fill(log, range(15))
        pages = []
        for first in range(15, 60, 15):
            fill(log, range(first, first + 15))
            pages += log._db.execute("SELECT COUNT(*) FROM dbstat WHERE name = 'vignettes'").fetchone()
        assert sorted(worths(log).values(), reverse=True) == best
        assert log.vignettes_left_out == 180 - 20
        assert max(pages) <= pages[0] + 2, "the pages of those that went are used again"
        assert log._db.execute("PRAGMA freelist_count").fetchone()[0] < 20
        found = [p.vignette_png for p in log.particles(with_vignettes=True) if p.vignette_png]
        assert [len(png) for png in found] == [PNG_BYTES] * 20
        kept = worths(log)
    for number, first in enumerate(range(0, 60, 15)):  # as if the board had been restarted each time
        (tmp_path / "again").mkdir(exist_ok=True)
        place = tmp_path / "again" / "dive.sqlite"
        quota_mb = 20 * PNG_BYTES / 1e6
        if not number:
            DiveLog.create(place, {}).close()
        with DiveLog.open(place, vignette_quota_mb=quota_mb) as log:
            fill(log, range(first, first + 15))
            again = worths(log)
    assert again == kept


def make_dives(folder: Path, n: int):
    """Ended dives but for the last."""
    for number in range(n):
        place = folder / f"{number:05d}"
        place.mkdir()
        with DiveLog.create(place / "dive.sqlite", {"dive_number": number, "started_ms": 5}) as log:
            fill(log, range(40))
            log.add_input(3, "health", {"board_temperature_c": 4})
            log.set_messages([b"one", b"two"])
            if number < n - 1:
                log.set_meta("ended_ms", 9)


class FullDisk:
    """A disk of which our files are all that changes."""

    def __init__(self, monkeypatch, folder: Path, free_bytes: int) -> None:
        self._folder, self._size = folder, 0
        self._size = free_bytes + self._used()
        usage = namedtuple("usage", "free")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(self._size - self._used()))

    def _used(self) -> int:
        return sum(file.stat().st_size for file in self._folder.rglob("*") if file.is_file())


def test_the_oldest_ended_dives_give_their_vignettes_and_nothing_else(tmp_path, monkeypatch):
    make_dives(tmp_path, 4)
    FullDisk(monkeypatch, tmp_path, free_bytes=1_000_000)
    reserve = Reserve(tmp_path, keep_free_mb=1.0)
    assert reserve.keep() == [], "there is room enough"
    reserve = Reserve(tmp_path, keep_free_mb=1.15)
    freed = reserve.keep()
    assert [one.dive for one in freed] == ["00000", "00001"]
    assert all(one.vignettes == 120 and one.freed_bytes > 100_000 for one in freed)
    for number in range(4):
        file = tmp_path / f"{number:05d}" / "dive.sqlite"
        assert not is_damaged(file, number)
        with DiveLog.open(file) as log:
            assert all(same(a, frame(a.index, n=3).record) for a in log.records())
            assert sum(1 for _ in log.particles()) == 120
            assert log.inputs("health") == [(3, {"board_temperature_c": 4})]
            assert log.messages() == [b"one", b"two"]
            assert len(log.vignette_numbers()) == (0 if number < 2 else 120)
            assert not log.has_meta("vignettes_deleted") or log.meta("vignettes_deleted") == 120
            assert log.has_meta("vignettes_deleted") == (number < 2)
    assert [one.dive for one in Reserve(tmp_path, keep_free_mb=9.0).keep()] == ["00002"]
    assert Reserve(tmp_path, keep_free_mb=9.0).keep() == [], "the dive that has not ended keeps its own"


def test_a_damaged_log_gives_nothing_and_stops_nobody(tmp_path, monkeypatch):
    make_dives(tmp_path, 3)
    damaged = tmp_path / "00000" / "dive.sqlite"
    damaged.write_bytes(damaged.read_bytes()[:5000])
    held = damaged.read_bytes()
    FullDisk(monkeypatch, tmp_path, free_bytes=0)
    assert [one.dive for one in Reserve(tmp_path, keep_free_mb=9.0).keep()] == ["00001"]
    assert damaged.read_bytes() == held
    assert not list(damaged.parent.glob("*.new"))


def test_a_dive_that_begins_says_what_it_cost(tmp_path, monkeypatch):
    make_dives(tmp_path, 3)
    FullDisk(monkeypatch, tmp_path, free_bytes=0)
    said = []
    config = replace_log(CONFIG, keep_free_mb=200.0)
    dive = dives.begin(
        tmp_path, config, load_bundle("demo"), WallClock(SystemClock()), said.append,
        mission=Mission(State.DESCENT), climatology=None,
    )  # fmt: skip
    assert [line.split(" for ")[0] for line in said] == [
        "dive 00000 gave its 120 vignettes", "dive 00001 gave its 120 vignettes",
    ]  # fmt: skip
    told = [data["vignettes"] for _, data in dive.log.inputs("storage")]
    assert told == [120, 120]
    dive.close()


def replace_log(config, **changes):
    return msgspec.structs.replace(config, log=msgspec.structs.replace(config.log, **changes))


@pytest.mark.not_emulated("its /tmp is in memory, so that no disk writes anything")
@pytest.mark.skipif(bytes_written_so_far() == 0, reason="the kernel does not count what a process writes")
def test_the_disk_writes_less_than_three_times_what_a_dive_holds(tmp_path):
    rng = np.random.default_rng(3)
    with DiveLog.create(tmp_path / "dive.sqlite", {}) as log:
        for i in range(200):
            sizes = np.clip(rng.lognormal(6.8, 0.5, 5), 150, 20_000).astype(
                int
            )  # as drawn particles have them
            one = frame(i, n=5)
            vignettes = [
                replace(p, vignette_png=rng.bytes(n)) for p, n in zip(one.particles, sizes, strict=True)
            ]
            log.add_frame(replace(one, particles=vignettes))
            if i % 10 == 9:
                log.commit()
        log.checkpoint()
        assert log.payload_bytes > 1_000_000
        assert 1 < log.bytes_written / log.payload_bytes < 3
