"""The outbox keeps what it said it has, and hands out what is not delivered."""

from __future__ import annotations

import sqlite3

import pytest

from edge.errors import DiveLogError
from edge.outbox import Outbox
from edge.telemetry.missing import Request

pytestmark = pytest.mark.board


def test_survives_closing_and_sends_once(tmp_path):
    with Outbox(tmp_path / "outbox.sqlite") as box:
        box.put(7, [b"a", b"b", b"c"], now_ms=1)
        box.attempted(7, 0)
        box.delivered(7, 1, now_ms=2)
    with Outbox(tmp_path / "outbox.sqlite") as box:
        waiting = box.waiting()
    assert [(m.dive, m.part, m.data, m.attempts) for m in waiting] == [(7, 0, b"a", 1), (7, 2, b"c", 0)]


def test_putting_twice_queues_once(tmp_path):
    with Outbox(tmp_path / "outbox.sqlite") as box:
        box.put(7, [b"a"], now_ms=1)
        box.delivered(7, 0, now_ms=2)
        box.put(7, [b"a"], now_ms=3)
        assert box.waiting() == []


def test_a_foreign_file_is_refused_with_a_sentence(tmp_path):
    file = tmp_path / "outbox.sqlite"
    file.write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(DiveLogError, match=r"outbox\.sqlite: cannot be used as an outbox"):
        Outbox(file)


def test_a_full_disk_is_a_sentence_and_nothing_half_queued(tmp_path):
    with Outbox(tmp_path / "outbox.sqlite") as box:
        box.put(1, [b"first"], now_ms=1)
        (pages,) = box._db.execute("PRAGMA page_count").fetchone()
        box._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(DiveLogError, match=r"outbox\.sqlite: cannot be written .*full.*; free the disk"):
            box.put(2, [bytes(4000)] * 9, now_ms=2)
        assert [(m.dive, m.part) for m in box.waiting()] == [(1, 0)]


def test_what_shore_asks_for_waits_again(tmp_path):
    with Outbox(tmp_path / "outbox.sqlite") as box:
        for dive in (7, 8):
            box.put(dive, [b"a", b"b", b"c"], now_ms=1)
            for part in range(3):
                box.delivered(dive, part, now_ms=2)
        asked = [Request(7, 3, ((0, 1), (2, 3))), Request(8, 4, ((3, 4),)), Request(9, 0, ())]
        found = box.requeue(asked)
    with Outbox(tmp_path / "outbox.sqlite") as box:
        assert [(m.dive, m.part, m.data) for m in box.waiting()] == [(7, 0, b"a"), (7, 2, b"c")]
        assert found.parts == ((7, 0), (7, 2))
        assert found.absent == (asked[1], asked[2]), "another cut of dive 8, and a dive that never was"
        assert box.requeue(asked) == found
        box.delivered(7, 0, now_ms=3)
        assert [m.part for m in box.waiting()] == [2]
        box.requeue([Request(8, 0, ())])
        assert [(m.dive, m.part) for m in box.waiting()] == [(7, 2), (8, 0), (8, 1), (8, 2)]


def test_a_full_disk_requeues_all_or_nothing(tmp_path):
    with Outbox(tmp_path / "outbox.sqlite") as box:
        box.put(7, [b"a", b"b"], now_ms=1)
        for part in range(2):
            box.delivered(7, part, now_ms=2)
        box._db.execute("PRAGMA query_only = 1")
        with pytest.raises(DiveLogError, match=r"outbox\.sqlite: cannot be written"):
            box.requeue([Request(7, 2, ((0, 2),))])
        box._db.execute("PRAGMA query_only = 0")
        assert box.waiting() == []


def test_what_is_asked_for_again_is_another_hand_over(tmp_path):
    with Outbox(tmp_path / "outbox.sqlite") as box:
        box.put(7, [b"a", b"b"], now_ms=1)
        before = {(m.number, m.asked) for m in box.waiting()}
        box.requeue([Request(7, 2, ((1, 2),))])  # still waiting: the same hand-over
        assert {(m.number, m.asked) for m in box.waiting()} == before
        box.delivered(7, 1, now_ms=2)
        box.requeue([Request(7, 2, ((1, 2),))])
        again = next(m for m in box.waiting() if m.part == 1)
        assert (again.number, again.asked) not in before
        assert again.asked == 1


def test_a_file_of_an_earlier_version_goes_on(tmp_path):
    file = tmp_path / "outbox.sqlite"
    with sqlite3.connect(file) as db:
        db.execute(
            "CREATE TABLE outbox (id INTEGER PRIMARY KEY, dive INTEGER NOT NULL, part INTEGER NOT NULL,"
            " data BLOB NOT NULL, queued_ms INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,"
            " delivered_ms INTEGER, UNIQUE (dive, part))"
        )
        db.execute("INSERT INTO outbox (dive, part, data, queued_ms) VALUES (3, 0, x'61', 1)")
    db.close()
    with Outbox(file) as box:
        assert [(m.dive, m.data, m.asked) for m in box.waiting()] == [(3, b"a", 0)]
