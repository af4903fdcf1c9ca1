"""Databases that several processes open at once."""

from __future__ import annotations

import contextlib
import sqlite3
import threading

import pytest

from edge import database

pytestmark = pytest.mark.board


def test_a_new_file_that_another_is_writing_is_waited_for(tmp_path, monkeypatch):
    file = tmp_path / "new.sqlite"
    with contextlib.closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("CREATE TABLE made (n)")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(database, "BUSY_S", 0.05)
        with (
            contextlib.closing(sqlite3.connect(file, timeout=0)) as early,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            database._have_wal(early)
        monkeypatch.setattr(database, "BUSY_S", 30.0)
        threading.Timer(0.3, lambda: other.execute("COMMIT")).start()
        with contextlib.closing(database.connect(file)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
