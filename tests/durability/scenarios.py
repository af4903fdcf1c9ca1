"""Work on a dive log, an outbox and the store of updates; what must hold of them when it was broken off."""

from __future__ import annotations

import hashlib
import sqlite3

from edge.divelog import DiveLog
from edge.outbox import Outbox
from edge.salvage import is_damaged
from edge.telemetry.missing import Request
from edge.update_store import Failure, State, UpdateStore
from firmware_bridge.command_bodies import What
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


UPDATES = [(b"%d" % i, What.MODEL if i % 2 else What.CONFIGURATION, b"update %d" % i * 40) for i in range(4)]
STEPS = (State.WAITS, State.WHOLE, State.TRIAL, State.GOOD)


def updates(file, said):
    """Updates that are announced, brought, adopted and proven; `said` maps a command to the last promise."""
    store = UpdateStore(file.parent)
    try:
        for counter, (command, what, data) in enumerate(UPDATES):
            sha256 = hashlib.sha256(data).hexdigest()
            one = store.announce(command, b"k" * 32, counter, what, len(data), sha256)
            said[command] = State.WAITS
            store.add_part(one, 0, data[:100])
            store.keep(one, data)
            said[command] = State.WHOLE
            store.adopt(
                one, "base", *(("", sha256) if what is What.CONFIGURATION else (sha256, "")), needs_host=False
            )
            said[command] = State.TRIAL
            store.count_try(one, 1)
            store.set_state(one, State.GOOD)
            said[command] = State.GOOD
        store.announce(b"last", b"k" * 32, 9, What.MODEL, 1, "00")
        said[b"last"] = State.WAITS
    finally:
        store.close()


def judge_updates(folder, said):
    for _, what, data in UPDATES:  # the files were synced before the rows: see `edge.durable`
        (folder / f"{hashlib.sha256(data).hexdigest()}.{what.name.lower()}").write_bytes(data)
    store = UpdateStore(folder)
    try:
        assert not store.problem
        found = {one.command: one for one in store.all()}
        for command, promised in said.items():
            one = found[command]
            assert one.state in {promised, *STEPS[STEPS.index(promised) + 1 :][:1]}
            assert promised != State.GOOD or one.tries == 1
        runs = next(iter(store.adopted("base")), None)
        assert runs is None or store.holds(runs.what, runs.sha256)
        assert set(found) - set(said) <= {next((c for c, *_ in UPDATES if c not in said), b"last")}
        assert not any(one.detail == Failure.REPLACED for one in found.values())
        assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        store.close()
