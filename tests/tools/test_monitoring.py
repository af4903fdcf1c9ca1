"""What the page for the bench is made of: a log as it grows, and what is said of it."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3

import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.divelog_schema import SCHEMA_VERSION
from edge.frame import FrameOutcome
from edge.live import LiveState
from edge.selftest import Status
from tests.tools.made_dive import OPTICS, TAXA, make_dive
from tests.tools.test_monitor import FRAME_OF
from tools.monitoring import checks
from tools.monitoring.checks import View
from tools.monitoring.dive import DiveReader

# --- the log


@pytest.mark.board
def test_a_log_is_followed_row_by_row_while_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.monitoring.dive.AT_ONCE", 25)
    made = make_dive(tmp_path / "made")
    with DiveLog.open(made) as whole:
        records, particles = list(whole.records()), list(whole.particles())
    dives = tmp_path / "dives"
    shutil.copytree(made, dives / "00012")
    file = dives / "00012" / "dive.sqlite"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        kept = [db.execute(f"SELECT * FROM {table}").fetchall() for table in ("frames", "particles")]
        db.execute("DELETE FROM frames")
        db.execute("DELETE FROM particles")
        reader = DiveReader(dives)
        reader.look()
        assert (reader.problem, int(reader.so_far.outcomes.sum())) == ("", 0)
        half = len(kept[0]) // 2
        for table, rows_, part in (
            ("frames", kept[0], slice(0, half)),
            ("particles", kept[1], slice(None)),
            ("frames", kept[0], slice(half, None)),
        ):
            some = rows_[part]
            db.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(some[0]))})", some)
            reader.look()
            assert not reader.so_far.is_caught_up, "it reads some rows at a time"
        for _ in range(20):
            reader.look()
    dive = reader.so_far
    assert dive.is_caught_up
    outcomes = [record.outcome for record in records]
    assert dive.outcomes.tolist() == [outcomes.count(one) for one in FrameOutcome]
    assert dive.counts.tolist() == np.bincount([one.taxon for one in particles], minlength=len(TAXA)).tolist()
    sized = [record.histogram.by_class(OPTICS)[0] for record in records if record.outcome in (0, 1, 10)]
    assert dive.spectrum.tolist() == np.sum(sized, axis=0).tolist()
    np.testing.assert_array_equal(dive.pressures_dbar, [record.pressure_dbar for record in records])
    assert dive.n_messages > 0


@pytest.mark.board
def test_reading_a_finished_dive_leaves_its_folder_as_it_was(tmp_path):
    made = make_dive(tmp_path)
    with DiveLog.open(made) as log:
        log.checkpoint()
    before = {file.name: file.read_bytes() for file in tmp_path.glob("dive*")}
    assert set(before) == {"dive.sqlite"}
    reader = DiveReader(tmp_path)
    reader.look()
    assert reader.so_far.number == 12
    assert {file.name: file.read_bytes() for file in tmp_path.glob("dive*")} == before


@pytest.mark.board
def test_a_log_that_cannot_be_read_is_a_sentence_and_the_newest_dive_counts(tmp_path):
    reader = DiveReader(tmp_path)
    for number in ("00001", "00002"):
        (tmp_path / number).mkdir()
    make_dive(tmp_path / "00001")
    reader.look()
    assert (reader.problem, reader.so_far.number) == ("", 12)
    (tmp_path / "00002/dive.sqlite").write_bytes(b"not a database at all" * 100)
    reader.look()
    assert reader.problem.startswith("the log cannot be read now: ")
    shutil.copy(tmp_path / "00001/dive.sqlite", tmp_path / "00002/dive.sqlite")
    with sqlite3.connect(tmp_path / "00002/dive.sqlite") as db:
        db.execute("UPDATE meta SET value = '3' WHERE key = 'schema_version'")
    db.close()
    reader.look()
    assert f"its schema_version is 3, and {SCHEMA_VERSION} is read here" in reader.problem


# --- what is said


def view(**changes):
    told = {
        "now_s": 100.0, "since_s": 50.0, "state": LiveState(state="descent", written_s=99.0, pid=1),
        "frame": None, "light": None, "is_alive": True, "dive": None, "problem": "",
    } | changes  # fmt: skip
    return View(**told)


STANDBY = LiveState(state="standby", written_s=99.0, pid=1)


@pytest.mark.parametrize(
    ("changes", "name", "status", "words"),
    [
        ({}, "service", Status.GOOD, "seston run answers, in descent"),
        ({"state": None}, "service", Status.BAD, "no seston run answers for 50 s"),
        ({"state": None, "since_s": 99.0}, "service", Status.NONE, "it answers within some seconds"),
        ({"state": None, "frame": FRAME_OF}, "service", Status.GOOD, "of a replay"),
        ({"is_alive": False}, "service", Status.BAD, "seston run has stopped"),
        ({"now_s": 120.0}, "service", Status.BAD, "does not answer; it did 21 s ago"),
        ({}, "frames", Status.BAD, "no frame since 50 s"),
        ({"frame": FRAME_OF}, "frames", Status.GOOD, "frame 3, 1 s ago"),
        ({"frame": FRAME_OF, "now_s": 111.0}, "frames", Status.BAD, "no frame for 12 s"),
        ({"state": STANDBY}, "frames", Status.NONE, "no dive is in progress"),
        ({"problem": "the log cannot be read now: x"}, "log", Status.BAD, "the log cannot be read now"),
        ({"state": LiveState(state="park", restarts=2)}, "classifier", Status.LOOK, "was lost 2 times"),
        ({"state": LiveState(state="park", waiting=7, written_s=99.0)}, "messages", Status.GOOD, "7 wait"),
        ({}, "classifier", Status.NONE, "nothing was classified yet"),
    ],
)  # fmt: skip
def test_what_is_well_is_said_to_be_and_what_is_not_is_named(changes, name, status, words):
    (found,) = [one for one in checks.checks(view(**changes)) if one.name == name]
    assert found.status is status
    assert words in found.message
