"""The outbox keeps what it said it has, and hands out what is not delivered."""

from __future__ import annotations

import pytest

from edge.errors import DiveLogError
from edge.outbox import Outbox

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
