"""A dive in words: every trouble has its sentence; a log is read while another writes it."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from edge.dive_checks import dive_checks, in_one_line
from edge.divelog import DiveLog
from edge.errors import DiveLogError
from edge.frame import FrameOutcome
from edge.log_reader import LogReader
from edge.selftest import Check, Status
from tests.tools.made_dive import make_dive

pytestmark = pytest.mark.board


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("checks") / "dive", truth=False)


def found_in(file):
    with LogReader.look_into(file) as log:
        return {check.name: check for check in dive_checks(log)}


def test_every_part_of_the_instrument_has_its_line(dive):
    found = found_in(dive / "dive.sqlite")
    assert list(found) == [
        "camera", "light", "lens", "noise", "model", "drift", "times", "restarts", "storage", "temperature",
        "voltage",
    ]  # fmt: skip
    assert found["light"].message.startswith("mean grey 2.12 of 255, without light 0.93 of 255")
    assert found["noise"].status is Status.LOOK
    assert "by chance up to" in found["drift"].message
    assert found["storage"].message == "41.0 GB free"
    assert found["voltage"].message == "12.65 V or more"
    assert found["restarts"] == Check("restarts", Status.LOOK, "1 during the dive")
    with LogReader.look_into(dive / "dive.sqlite") as log:
        lost = sum(log.outcomes()[one] for one in (FrameOutcome.DROPPED, FrameOutcome.LATE))
    assert lost
    assert found["camera"].status is not Status.GOOD
    assert "dropped" in found["camera"].message


def test_a_lot_of_trouble_is_bad_and_dirt_is_to_be_cleaned(dive, tmp_path):
    shutil.copy(dive / "dive.sqlite", tmp_path)
    with sqlite3.connect(tmp_path / "dive.sqlite") as db:
        db.execute("UPDATE frames SET outcome = ? WHERE frame % 4 = 0", (FrameOutcome.BLURRED.value,))
    found = found_in(tmp_path / "dive.sqlite")
    assert found["lens"].status is Status.BAD
    assert "blurred" in found["lens"].message
    with DiveLog.open(dive / "dive.sqlite") as log:
        log.add_input(1, "health", {"dirt_permille": 31, "classifier_restarts": 1})
        log.add_input(2, "health", {"dirt_permille": 31, "classifier_restarts": 3})
    found = found_in(dive / "dive.sqlite")
    assert found["lens"] == Check("lens", found["lens"].status, found["lens"].message)
    assert "dirt covers 3.1 % of the view" in found["lens"].message
    assert "its process was lost 2 times" in found["model"].message


def test_a_log_without_frames_says_so(tmp_path):
    file = make_dive(tmp_path / "dive", truth=False, frames=(0, 0, 0)) / "dive.sqlite"
    assert [check.status for check in found_in(file).values()] == [Status.BAD]


def test_a_log_is_read_while_another_writes_it_and_not_a_byte_changes(dive, tmp_path):
    folder = shutil.copytree(dive, tmp_path / "dive")
    with DiveLog.open(folder / "dive.sqlite") as log:
        log.add_input(5, "restart", {"frames": 1})  # in the WAL alone
        before = {one.name: one.read_bytes() for one in folder.glob("dive.sqlite*") if "shm" not in one.name}
        assert found_in(folder / "dive.sqlite")["restarts"].message == "2 during the dive"
        assert before == {
            one.name: one.read_bytes() for one in folder.glob("dive.sqlite*") if "shm" not in one.name
        }
    with pytest.raises(DiveLogError, match="is not there"), LogReader.look_into(tmp_path / "none"):
        pass
    (tmp_path / "no").write_bytes(b"no database at all" * 100)
    with pytest.raises(DiveLogError, match="cannot be read"), LogReader.look_into(tmp_path / "no"):
        pass


def test_a_line_names_what_is_bad_first():
    found = [
        Check("a", Status.GOOD, "x"), Check("b", Status.LOOK, "y"), Check("c", Status.BAD, "z"),
        Check("d", Status.NONE, ""),
    ]  # fmt: skip
    assert in_one_line(found) == "Look at c: z; b: y. All is well with a."
    assert in_one_line(found[:1]) == "All is well: a."
