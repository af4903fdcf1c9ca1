"""The log: what was committed is there, what was added comes back, a full disk stops nothing."""

from __future__ import annotations

import contextlib
import math
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame, Particle
from edge.errors import DiveLogError
from edge.frame import FrameOutcome, Phase, Stamp
from edge.profile import AreaHistogram, FrameRecord
from edge.timeline import Fix

pytestmark = pytest.mark.board
GOLDEN = Path(__file__).parent.parent / "golden"


def frame(index, *, n=2, png=b"png" * 10):
    rng = np.random.default_rng(index)
    area = rng.integers(1, 50, 30)
    particles = [
        Particle(
            index, 3 * i, 4, 20, 21, 100 + i, i % 2 == 0, 700 + i, i,
            rng.random(5, dtype=np.float32), rng.random(9), png,
        )
        for i in range(n)
    ]  # fmt: skip
    record = FrameRecord(
        index, 10_000 + index, math.nan if index == 3 else 5.5 * index, Phase.DESCENT, FrameOutcome.ANALYSED,
        math.nan, AreaHistogram.of(area, area * 30),
        np.array([p.taxon for p in particles], dtype=np.int64),
        np.array([p.esd_um for p in particles], dtype=np.int64),
    )  # fmt: skip
    sharp = 0.5 - 0.01 * index if index % 2 else None
    return LoggedFrame(record, True, f"frame_{index}.png", "", {"salinity": 35.5}, particles, sharp)


def same(a: FrameRecord, b: FrameRecord) -> bool:
    return (
        (a.index, a.time_ms, a.phase, a.outcome) == (b.index, b.time_ms, b.phase, b.outcome)
        and np.array_equal(
            [a.pressure_dbar, a.temperature_c], [b.pressure_dbar, b.temperature_c], equal_nan=True
        )
        and all(
            np.array_equal(getattr(a.histogram, n), getattr(b.histogram, n)) for n in ("area_px", "count")
        )
        and np.array_equal(a.histogram.grey_centi_sum, b.histogram.grey_centi_sum)
        and np.array_equal(a.taxa, b.taxa)
        and np.array_equal(a.esd_um, b.esd_um)
    )


def test_everything_comes_back(tmp_path):
    frames = [frame(i, n=i % 4) for i in range(9)]
    with DiveLog.create(tmp_path / "dive.sqlite", {"dive_number": 3}) as log:
        for one in frames:
            log.add_frame(one)
            if one.record.index % 4 == 3:
                assert log.commit()
        log.add_input(5, "budget", {"budget_bytes": 2000})
        log.set_messages([b"one", b"two"])
        live = list(log.records())
        assert log.worst_sharpness() == 0.5 - 0.07
    with DiveLog.open(tmp_path) as log:
        stored = list(log.records())
        assert all(same(a, b.record) for a, b in zip(stored, frames, strict=True))
        assert all(same(a, b) for a, b in zip(live, stored, strict=True))
        particles = list(log.particles(with_vignettes=True))
        expected = [p for one in frames for p in one.particles]
        for got, put in zip(particles, expected, strict=True):
            assert got.scores.tolist() == put.scores.tolist()
            assert got.measures.tolist() == put.measures.tolist()
            assert (got.frame, got.area_px, got.on_border, got.taxon) == (
                put.frame, put.area_px, put.on_border, put.taxon,
            )  # fmt: skip
            assert got.vignette_png == put.vignette_png
        assert log.inputs("budget") == [(5, {"budget_bytes": 2000})]
        assert log.messages() == [b"one", b"two"]
        assert log.meta("dive_number") == 3
        assert log.frames()[3]["pressure_dbar"] is None
        assert [row["sharpness"] for row in log.frames()[:4]] == [None, 0.49, None, 0.47]
        assert log.worst_sharpness() == 0.5 - 0.07
    assert sorted(f.name for f in tmp_path.iterdir()) == ["dive.sqlite"]


def test_the_quota_leaves_vignettes_out_and_counts_them(tmp_path):
    with DiveLog.create(tmp_path / "dive.sqlite", {}, vignette_quota_mb=95e-6) as log:
        for i in range(3):
            log.add_frame(frame(i))
        log.commit()
        assert log.vignettes_left_out == 3
        kept = [p.vignette_png is not None for p in log.particles(with_vignettes=True)]
    assert sum(kept) == 3


def test_a_full_disk_gives_up_vignettes_first_and_frames_never(tmp_path):
    log = DiveLog.create(tmp_path / "dive.sqlite", {})
    (pages,) = log._db.execute("PRAGMA page_count").fetchone()
    log._db.execute(f"PRAGMA max_page_count = {pages + 20}")
    log.add_frame(frame(0, png=bytes(400_000)))
    assert log.commit()
    assert log.disk_full
    assert not (tmp_path / "dive.sqlite.ballast").exists()
    for i in range(1, 60):
        log.add_frame(frame(i, n=20))
        log.commit()
    assert not log.commit()
    assert [r.index for r in log.records()] == list(range(60))
    log._db.execute("PRAGMA max_page_count = 100000")
    assert log.commit()
    log.close()
    with DiveLog.open(tmp_path) as again:
        assert [r.index for r in again.records()] == list(range(60))
        assert sum(1 for _ in again.particles()) == 2 + 59 * 20


def test_killed_in_the_middle_keeps_every_committed_bloc(tmp_path):
    code = (
        "import os, signal, sys; from edge.divelog import DiveLog\n"
        "from tests.edge.test_divelog import frame\n"
        f"log = DiveLog.create({str(tmp_path / 'dive.sqlite')!r}, {{}})\n"
        "for i in range(25):\n"
        "    log.add_frame(frame(i))\n"
        "    if i % 10 == 9: log.commit()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    with DiveLog.open(tmp_path) as log:
        assert [r.index for r in log.records()] == list(range(20))
        log.add_frame(frame(20))
        log.commit()
        assert sum(1 for _ in log.particles()) == 42


def test_the_least_sharp_frame_is_known_before_it_is_written(tmp_path):
    with DiveLog.create(tmp_path / "dive.sqlite", {}) as log:
        assert log.worst_sharpness() is None
        log.add_frame(frame(0))
        assert log.worst_sharpness() is None
        log.add_frame(frame(1))
        assert log.worst_sharpness() == 0.49


def test_bad_files_get_a_sentence(tmp_path):
    with pytest.raises(DiveLogError, match="is not there"):
        DiveLog.open(tmp_path / "none")
    foreign = tmp_path / "foreign.sqlite"
    foreign.write_bytes(b"plain text, not a database at all " * 200)
    with pytest.raises(DiveLogError, match=r"foreign\.sqlite: is not a dive log"):
        DiveLog.open(foreign)
    old = tmp_path / "old.sqlite"
    with sqlite3.connect(old) as db:
        db.execute("CREATE TABLE meta (key, value)")
        db.execute("INSERT INTO meta VALUES ('schema_version', '99')")
    with pytest.raises(DiveLogError, match="schema_version: is 99, this version reads 5"):
        DiveLog.open(old)
    with DiveLog.create(tmp_path / "dive.sqlite", {}), pytest.raises(DiveLogError, match="is already there"):
        DiveLog.create(tmp_path / "dive.sqlite", {})


def test_a_file_whose_name_is_no_utf_8_stops_no_dive(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    with DiveLog.create(tmp_path / "dive.sqlite", {}) as log:
        log.add_frame(replace(frame(0), source=name, note=f"{name} is truncated"))
        assert log.commit()
        assert [row["source"] for row in log.frames()] == ["caf?.png"]


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_a_log_of_an_earlier_version_opens_and_goes_on(tmp_path, version):
    """Dumps of logs that those versions wrote; they hold frames 0 to 2 as `frame` makes them."""
    file = tmp_path / "dive.sqlite"
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.executescript((GOLDEN / f"divelog-{version}.sql").read_text())
    with DiveLog.open(file) as log:
        one = frame(3)
        stamp = Stamp(5, 77)
        log.add_frame(replace(one, particles=[replace(p, evidence=3.5) for p in one.particles], stamp=stamp))
        assert all(same(a, frame(a.index).record) for a in log.records())
    with DiveLog.open(file) as log:
        records = list(log.records())
        assert [record.index for record in records] == [0, 1, 2, 3]
        assert all(same(a, frame(a.index).record) for a in records)
        seen = [particle.evidence for particle in log.particles()]
        assert all(math.isnan(one) for one in seen[:6])
        assert seen[6:] == [3.5, 3.5]
        assert log.vignette_numbers() == set(range(8))
        assert log.vignette(3) == b"png" * 10
        sharpness = [None, 0.49 if version > 1 else None, None, 0.47]
        assert [row["sharpness"] for row in log.frames()] == sharpness
        assert log.inputs("budget") == [(5, {"budget_bytes": 2000})]
        assert log.messages() == [b"one"]
        log.add_fix(Fix(Stamp(5, 70), 20_000), "host")
        assert [record.time_ms for record in log.records()] == [10_000, 10_001, 10_002, 20_007]
        assert [row["time_ms"] for row in log.frames()] == [10_000, 10_001, 10_002, 20_007]
