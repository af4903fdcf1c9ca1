"""Power is cut at every call below SQLite: what was said to be there is there, and nothing is there half."""

from __future__ import annotations

import random
import sqlite3
import sys
from pathlib import Path

import pytest

apsw = pytest.importorskip("apsw", reason="apsw, of the dev extra, is not installed")

from edge.divelog import DiveLog
from edge.errors import DiveLogError
from edge.outbox import Outbox
from edge.salvage import is_damaged
from edge.telemetry.missing import Request
from tests.durability.disk import Disk, PowerCutError, connector
from tests.edge.test_divelog import frame, same

FRAMES_PER_BLOC = 3
N_BLOCS = 6
META = {"dive_number": 7, "started_ms": 9_000, "config": {}, "codebook": {}, "bundle": {}, "measures": []}
REMAINS_OF_EACH = 3
"""What may be found after one cut: nothing that was not synced, and so many random parts of it."""


def bloc(number):
    first = number * FRAMES_PER_BLOC
    return [frame(i, n=i % 4, png=b"%02d" % i * 900) for i in range(first, first + FRAMES_PER_BLOC)]


def dive(file, said):
    """A dive; `said` is what the log has promised so far."""
    if not file.exists():
        DiveLog.create(file, META).close()
    with DiveLog.open(file, vignette_quota_mb=0.02) as log:
        said["created"] = True
        for number in range(N_BLOCS):
            for one in bloc(number):
                log.add_frame(one)
            assert log.commit()
            said["blocs"] = number + 1
            log.add_input(number, "health", {"board_temperature_c": number})
            said["inputs"] = number + 1
        log.set_messages([b"one" * 40, b"two" * 40])
        said["messages"] = True
        log.set_facts({"ended_ms": 1, "bytes_written": 2})
        said["ended"] = True
    said["closed"] = True


def judge_dive(folder, said):
    file = folder / "dive.sqlite"
    if "created" not in said:
        return
    assert not is_damaged(file, 7)
    with DiveLog.open(file) as log:
        records = list(log.records())
        blocs = said.get("blocs", 0)
        assert len(records) in {FRAMES_PER_BLOC * blocs, FRAMES_PER_BLOC * (blocs + 1)}
        written = [one for number in range(N_BLOCS) for one in bloc(number)][: len(records)]
        assert all(same(a, b.record) for a, b in zip(records, written, strict=True))
        assert [p.frame for p in log.particles()] == [p.frame for one in written for p in one.particles]
        assert log.vignette_numbers() <= set(range(sum(len(one.particles) for one in written)))
        assert len(log.inputs("health")) >= said.get("inputs", 0)
        assert len(log.messages()) in ({2} if "messages" in said else {0, 2})
        assert log.has_meta("ended_ms") == log.has_meta("bytes_written")
        assert "ended" not in said or log.has_meta("ended_ms")
        assert log._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def deliveries(file, said):
    """An outbox at work; `said` maps (dive, part) to what it has promised of it."""
    with Outbox(file) as box:
        for number in range(4):
            box.put(number, [b"a" * 300, b"b" * 300, b"c"], now_ms=number)
            said |= {(number, part): "waiting" for part in range(3)}
            for part in range(2):
                box.attempted(number, part, tried=5)
                said[number, part] = "attempted"
                box.delivered(number, part, now_ms=number)
                said[number, part] = "delivered"
        box.requeue([Request(1, 3, ((0, 1),))])
        said[1, 0] = "asked"


def judge_deliveries(folder, said):
    file = folder / "outbox.sqlite"
    if not said:
        return
    with sqlite3.connect(file) as db:
        rows = {
            (dive, part): rest
            for dive, part, *rest in db.execute(
                "SELECT dive, part, attempts, delivered_ms, asked FROM outbox"
            )
        }
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    assert {dive for dive, _ in rows} in ({d for d, _ in said}, {d for d, _ in said} | {len(said) // 3})
    assert len(rows) % 3 == 0, "all parts of a dive, or none"
    for id_, promised in said.items():
        attempts, delivered_ms, asked = rows[id_]
        assert promised == "waiting" or attempts >= 1
        assert promised != "delivered" or delivered_ms is not None or asked
        assert promised != "asked" or asked == 1


def cut(work, name, folder: Path, call: int, monkeypatch):
    """Work until power goes at some call; what was promised, and the disk. The call is None at the end."""
    disk, said = Disk(call), {}
    if work is dive:
        if not (folder / name).exists():
            DiveLog.create(folder / name, META).close()  # its rename is below no SQLite: see test_file_system
        disk.add(folder / name)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", connector(disk))
        patch.setattr(sys, "unraisablehook", lambda _: None)  # what SQLite makes of a failing file is its own
        try:
            work(folder / name, said)
        except PowerCutError:
            pass
        except DiveLogError as error:
            pytest.fail(f"an error of the disk got around the cut: {error}")
    return disk, said


@pytest.mark.parametrize(
    ("work", "judge", "name"),
    [(dive, judge_dive, "dive.sqlite"), (deliveries, judge_deliveries, "outbox.sqlite")],
)
def test_power_cut_at_every_call_costs_nothing_that_was_promised(tmp_path, monkeypatch, work, judge, name):
    whole, said = cut(work, name, tmp_path, None, monkeypatch)
    assert whole.calls > 100
    partly = 0
    for call in range(whole.calls):
        disk, said = cut(work, name, tmp_path, call, monkeypatch)
        assert disk.is_off
        for which in range(REMAINS_OF_EACH):
            remains = disk.remains(random.Random(f"{call} {which}") if which else None)
            folder = tmp_path / f"{call}-{which}"
            folder.mkdir()
            for path, data in remains.items():
                (folder / Path(path).name).write_bytes(data)
            partly += any(file.since for file in disk.files.values())
            judge(folder, said)
    assert partly > whole.calls, "there was something to lose"


def test_a_disk_that_lies_about_syncing_is_found_out(tmp_path, monkeypatch):
    """The harness can fail: without syncs, promises are broken."""
    monkeypatch.setattr("tests.durability.disk.DiskFile.sync", lambda file: None)
    disk, said = cut(dive, "dive.sqlite", tmp_path, 150, monkeypatch)
    assert said["blocs"] > 0
    for path, data in disk.remains(None).items():
        (tmp_path / Path(path).name).write_bytes(data)
    with pytest.raises((AssertionError, DiveLogError)):
        judge_dive(tmp_path, said)
