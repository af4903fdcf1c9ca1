"""Power is cut at every call below SQLite: what was said to be there is there, and nothing is there half."""

from __future__ import annotations

import random
import sqlite3
import sys
from pathlib import Path

import pytest

from edge.divelog import DiveLog
from edge.errors import DiveLogError
from tests.durability.scenarios import (
    META,
    deliveries,
    dive,
    judge_deliveries,
    judge_dive,
    judge_updates,
    updates,
)

below = pytest.importorskip("tests.durability.disk", reason="apsw, of the dev extra, is not installed")

REMAINS_OF_EACH = 3
"""What may be found after one cut: nothing that was not synced, and so many random parts of it."""


def cut(work, name, folder: Path, call: int, monkeypatch):
    """Work until power goes at some call; what was promised, and the disk. The call is None at the end."""
    disk, said = below.Disk(call), {}
    if work is dive:
        if not (folder / name).exists():
            DiveLog.create(folder / name, META).close()  # its rename is below no SQLite: see test_file_system
        disk.add(folder / name)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", below.connector(disk))
        patch.setattr(sys, "unraisablehook", lambda _: None)  # what SQLite makes of a failing file is its own
        try:
            work(folder / name, said)
        except below.PowerCutError:
            pass
        except DiveLogError as error:
            pytest.fail(f"an error of the disk got around the cut: {error}")
    return disk, said


@pytest.mark.parametrize(
    ("work", "judge", "name"),
    [
        (dive, judge_dive, "dive.sqlite"),
        (deliveries, judge_deliveries, "outbox.sqlite"),
        (updates, judge_updates, "updates.sqlite"),
    ],
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
