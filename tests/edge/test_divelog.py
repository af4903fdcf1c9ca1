"""The log: what was committed is there, what was added comes back, a full disk stops nothing."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from edge import divelog
from edge.divelog import DiveLog, LoggedFrame, Particle
from edge.errors import DiveLogError
from edge.frame import FrameOutcome, Phase
from edge.profile import AreaHistogram, FrameRecord

pytestmark = pytest.mark.board


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
    assert kept == [True, True, True, False, False, False]


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
    with pytest.raises(DiveLogError, match="schema_version: is 99, this version reads 2"):
        DiveLog.open(old)
    with DiveLog.create(tmp_path / "dive.sqlite", {}), pytest.raises(DiveLogError, match="is already there"):
        DiveLog.create(tmp_path / "dive.sqlite", {})


def test_a_log_of_version_1_goes_on_without_the_evidence_it_never_had(tmp_path, monkeypatch):
    with DiveLog.create(tmp_path / "new.sqlite", {}) as log:
        log.add_frame(frame(0))
    lines = divelog._SCHEMA.splitlines()
    at = next(i for i, line in enumerate(lines) if "evidence REAL" in line)
    lines[at - 1] = lines[at - 1].replace("NOT NULL,", "NOT NULL")
    monkeypatch.setattr(divelog, "_SCHEMA", "\n".join(lines[:at] + lines[at + 1 :]))
    monkeypatch.setattr(divelog, "SCHEMA_VERSION", 1)
    file = tmp_path / "dive.sqlite"
    DiveLog.create(file, {})._db.close()
    monkeypatch.undo()
    with sqlite3.connect(file) as db:
        columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(particles)"))
        assert "evidence" not in columns
        db.execute("ALTER TABLE frames DROP COLUMN sharpness")
        of_frames = ", ".join(row[1] for row in db.execute("PRAGMA table_info(frames)"))
        db.execute("ATTACH ? AS new", [str(tmp_path / "new.sqlite")])
        db.execute(f"INSERT INTO frames SELECT {of_frames} FROM new.frames")
        db.execute(f"INSERT INTO particles SELECT {columns} FROM new.particles")
        db.execute("INSERT INTO vignettes SELECT * FROM new.vignettes")
    with DiveLog.open(file) as log:
        one = frame(1)
        log.add_frame(replace(one, particles=[replace(p, evidence=3.5) for p in one.particles]))
        log.commit()
    with DiveLog.open(file) as log:
        seen = [particle.evidence for particle in log.particles()]
        assert math.isnan(seen[0])
        assert math.isnan(seen[1])
        assert seen[2:] == [3.5, 3.5]
        assert log.vignette_numbers() == {0, 1, 2, 3}
        assert log.vignette(3) == b"png" * 10
        assert [row["sharpness"] for row in log.frames()] == [None, 0.49]
