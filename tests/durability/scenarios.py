"""Work on a dive log and on an outbox, and what must hold of them when it was broken off."""

from __future__ import annotations

import sqlite3

from edge.divelog import DiveLog
from edge.outbox import Outbox
from edge.salvage import is_damaged
from edge.telemetry.missing import Request
from tests.edge.test_divelog import frame, same

FRAMES_PER_BLOC = 3
N_BLOCS = 6
META = {"dive_number": 7, "started_ms": 9_000, "config": {}, "codebook": {}, "bundle": {}, "measures": []}


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
            assert not log.refusal
            said["inputs"] = number + 1
        log.set_messages([b"one" * 40, b"two" * 40])
        assert not log.refusal
        said["messages"] = True
        log.set_facts({"ended_ms": 1, "bytes_written": 2})
        assert not log.refusal
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
