"""A damaged log costs what was damaged, and nothing that was not taken is ever in its place."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.database import PAGE_BYTES
from edge.divelog import DiveLog
from edge.divelog_schema import SCHEMA_VERSION
from edge.errors import DiveLogError
from edge.logged import summarise
from edge.salvage import COUNTED, finish_salvage, is_damaged, salvage
from tests.durability.aboard import Aboard, World
from tests.edge.test_divelog import frame, same

pytestmark = pytest.mark.board
N_FRAMES = 40
META = {
    "dive_number": 7, "started_ms": 9_000, "config": {"bundle": "demo" * 300},
    "codebook": {"taxa": ["a"] * 500}, "bundle": {"name": "demo", "sha256": "ab" * 32}, "measures": ["area"],
}  # fmt: skip


def write(folder: Path, meta=META, *, first=0, n=N_FRAMES) -> Path:
    """A log whose last blocs are still in the WAL, as a power cut leaves it."""
    log = DiveLog.create(folder / "written.sqlite", meta)
    log.add_input(9_001, "budget", {"budget_bytes": 2000})
    for i in range(n):
        log.add_frame(frame(i, n=(i + first) % 5, png=b"%02d" % i * 300))
        if i % 5 == 4:
            log.commit()
        if i == n // 2:
            log._db.execute("PRAGMA wal_checkpoint")
            log.add_input(9_002, "health", {"board_temperature_c": 4})
    log.commit()
    file = folder / "dive.sqlite"
    for end in ("", "-wal"):
        shutil.copy(folder / f"written.sqlite{end}", f"{file}{end}")
    log.close()
    for left in folder.glob("written*"):
        left.unlink()
    return file


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole"))


def copied(whole: Path, folder: Path) -> Path:
    for one in whole.parent.iterdir():
        shutil.copy(one, folder / one.name)
    return folder / whole.name


def judge(file: Path) -> list[int]:
    """Everything that a log holds is what was written; returns the numbers of its frames."""
    with DiveLog.open(file) as log:
        records = list(log.records())
        for record in records:
            written = frame(record.index, n=record.index % 5)
            assert same(record, written.record)
        particles = list(log.particles(with_vignettes=True))
        numbers = [record.index for record in records]
        assert numbers == sorted(set(numbers))
        assert [p.frame for p in particles] == [n for n in numbers for _ in range(n % 5)]
        for particle in particles:
            written = frame(particle.frame, n=particle.frame % 5).particles[particle.area_px - 100]
            assert particle.scores.tolist() == written.scores.tolist()
            assert particle.measures.tolist() == written.measures.tolist()
            assert particle.vignette_png in (None, b"%02d" % particle.frame * 300)
        assert {key: log.meta(key) for key in META} == META
        for kind, data in (("budget", {"budget_bytes": 2000}), ("health", {"board_temperature_c": 4})):
            assert [told for _, told in log.inputs(kind)] in ([], [data])
        log.add_frame(frame(N_FRAMES + 3))
        assert log.commit()
        for table in COUNTED:
            assert log._db.execute(f"PRAGMA integrity_check({table})").fetchone() == ("ok",)
    return numbers


def start(file: Path) -> list[int] | None:
    """What the service does with the log of the last dive; None when there is no dive to go on with."""
    finish_salvage(file)
    if not is_damaged(file, 7):
        return judge(file)
    found = salvage(file, time_ms=12_000, dive_number=7)
    assert file.with_name("dive.sqlite.damaged").exists()
    if found is None:
        assert not file.exists()
        return None
    assert not is_damaged(file, 7)
    with DiveLog.open(file) as log:
        ((time_ms, told),) = log.inputs("salvage")
        assert time_ms == 12_000
    numbers = judge(file)
    assert found.kept["frames"] == told["kept"]["frames"] == len(numbers)
    assert found.first_lost == next((i for i, n in enumerate(numbers) if i != n), len(numbers))
    assert found.lost["frames"] == max(numbers, default=-1) + 1 - len(numbers)
    return numbers


def test_a_whole_log_is_not_damaged(whole, tmp_path):
    assert start(copied(whole, tmp_path)) == list(range(N_FRAMES))


def test_a_lost_wal_costs_what_was_in_it_alone(whole, tmp_path):
    file = copied(whole, tmp_path)
    file.with_name("dive.sqlite-wal").unlink()
    assert start(file) == list(range(20))


def test_another_dives_wal_costs_what_was_in_ours_alone(whole, tmp_path):
    (tmp_path / "other").mkdir()
    other = write(tmp_path / "other", {**META, "dive_number": 8}, first=2)
    file = copied(whole, tmp_path)
    shutil.copy(other.with_name("dive.sqlite-wal"), file.with_name("dive.sqlite-wal"))
    assert start(file) == list(range(20))
    assert file.with_name("dive.sqlite.damaged-wal").exists()


@pytest.mark.parametrize("size", [0, 1, 100, 4096])
def test_a_file_with_nothing_in_it_is_put_aside(whole, tmp_path, size):
    file = copied(whole, tmp_path)
    file.with_name("dive.sqlite-wal").unlink()
    file.write_bytes(file.read_bytes()[:size])
    assert start(file) is None


def test_a_page_in_the_middle_costs_its_frames_alone(whole, tmp_path):
    file = copied(whole, tmp_path)
    with DiveLog.open(file) as log:
        log._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((page,),) = log._db.execute(
            "SELECT pageno FROM dbstat WHERE name = 'frames' AND pagetype = 'leaf' LIMIT 1 OFFSET 3"
        )
    data = bytearray(file.read_bytes())
    data[PAGE_BYTES * (page - 1) : PAGE_BYTES * page] = bytes(PAGE_BYTES)
    file.write_bytes(data)
    kept = start(file)
    assert 0 < N_FRAMES - len(kept) < 10
    assert kept[-1] == N_FRAMES - 1


def test_one_turned_bit_in_a_frame_is_seen(whole, tmp_path):
    file = copied(whole, tmp_path)
    with sqlite3.connect(file) as db:
        db.execute("UPDATE frames SET pressure_dbar = pressure_dbar + 1 WHERE frame = 11")
        db.execute("DELETE FROM particles WHERE frame = 13 AND x_px = 3")
    db.close()
    assert start(file) == [n for n in range(N_FRAMES) if n not in (11, 13)]


def test_a_power_cut_between_the_renames_is_gone_on_with(whole, tmp_path, monkeypatch):
    file = copied(whole, tmp_path)
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2 :] = bytes(len(damaged) - len(damaged) // 2)
    file.write_bytes(damaged)
    renames = []

    def cut(self, target, _real=Path.rename):
        if len(renames) == steps:
            raise KeyboardInterrupt
        renames.append(target)
        return _real(self, target)

    monkeypatch.setattr(Path, "rename", cut)

    def begin_again():
        renames.clear()
        finish_salvage(file)
        if is_damaged(file, 7):
            salvage(file, time_ms=12_000, dive_number=7)

    for steps in (0, 1, 1):  # noqa: B007
        with pytest.raises(KeyboardInterrupt):
            begin_again()
    monkeypatch.undo()
    finish_salvage(file)
    assert not is_damaged(file, 7)
    assert len(judge(file)) > 0
    assert file.with_name("dive.sqlite.damaged").read_bytes() == bytes(damaged)


def test_damage_in_the_middle_of_a_dive_is_mended_once(whole, tmp_path):
    file = copied(whole, tmp_path)
    log = DiveLog.open(file)
    log._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log._db.execute("PRAGMA cache_size = 0")
    find_root = "SELECT rootpage FROM sqlite_schema WHERE name = 'particles'"

    def wound():
        ((root,),) = log._db.execute(find_root).fetchall()
        with file.open("r+b") as out:
            out.seek(PAGE_BYTES * (root - 1))
            out.write(b"\xff" * PAGE_BYTES)
        log._db.execute("PRAGMA shrink_memory")

    wound()
    log.add_frame(frame(N_FRAMES + 1, n=1))
    assert log.commit()
    assert log.salvaged is not None
    assert "the log was damaged" in log.salvaged.sentence
    numbers = [record.index for record in log.records()]
    assert numbers == [*range(0, N_FRAMES, 5), N_FRAMES + 1], "those without particles, and the new one"
    assert len(log.inputs("salvage")) == 1
    log._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    log._db.execute("PRAGMA cache_size = 0")
    wound()
    log.add_frame(frame(N_FRAMES + 2))
    with pytest.raises(DiveLogError, match=r"dive\.sqlite: cannot be written \(database disk image is malf"):
        log.commit()


def test_a_log_of_another_version_is_no_damage(tmp_path):
    golden = Path(__file__).parent.parent / "golden"
    for version in range(1, SCHEMA_VERSION):
        file = tmp_path / f"{version}.sqlite"
        with sqlite3.connect(file) as db:
            db.executescript((golden / f"divelog-{version}.sql").read_text())
        db.close()
        assert not is_damaged(file, 7)


def test_a_log_that_has_its_name_has_no_journal_to_come(tmp_path, monkeypatch):
    """A kill while the file got its WAL left a journal, which a log that is only read cannot roll back."""

    def killed(file):
        raise KeyboardInterrupt

    monkeypatch.setattr("edge.divelog.connect", killed)
    with pytest.raises(KeyboardInterrupt):
        DiveLog.create(tmp_path / "dive.sqlite", META)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["dive.sqlite", "dive.sqlite.ballast"]
    assert (tmp_path / "dive.sqlite").read_bytes()[18:20] == b"\2\2", "its header says that it has a WAL"
    assert not is_damaged(tmp_path / "dive.sqlite", 7)


def test_a_journal_that_is_to_be_rolled_back_is_no_damage(whole, tmp_path):
    file = copied(whole, tmp_path)
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA journal_mode=DELETE")
    code = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA cache_size = 1')\n"
        "db.execute('BEGIN')\n"
        "db.execute(\"UPDATE frames SET note = printf('%500s', 'x')\")\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(file)], check=True)
    assert file.with_name("dive.sqlite-journal").stat().st_size > 0
    assert start(file) == list(range(N_FRAMES))


@st.composite
def wounds(draw):
    """Bytes overwritten or cut, in the file or its WAL."""
    end = draw(st.sampled_from(["", "-wal"]))
    where = draw(st.floats(0, 1))
    if draw(st.booleans()):
        return end, where, None
    return end, where, draw(st.one_of(
        st.binary(min_size=1, max_size=64),
        st.builds(lambda b, n: bytes([b]) * n, st.integers(0, 255), st.integers(1, 20_000)),
    ))  # fmt: skip


def wound(file: Path, wounds) -> None:
    for end, where, data in wounds:
        place = Path(f"{file}{end}")
        held = bytearray(place.read_bytes())
        at = int(where * len(held))
        if data is None:
            del held[at:]
        else:
            held[at : at + len(data)] = data[: len(held) - at]
        place.write_bytes(held)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(wounds(), min_size=1, max_size=3))
@example([("", 0.375, bytes(19) + b"\x08\x00\x06\x00\x01\x00\x01")])
@example([("", 0.578125, bytes(48))])
def test_any_damage_costs_frames_but_never_adds_or_changes_one(whole, wounds):
    with tempfile.TemporaryDirectory() as folder:
        file = copied(whole, Path(folder))
        wound(file, wounds)
        start(file)


@pytest.fixture(scope="module")
def aboard():
    return Aboard()


def half_a_dive(aboard, folder):
    """A service that was stopped in the middle of its second dive; the world it is in."""
    world = World()
    aboard.run(folder, world, print, lambda: world.ticks > 65)
    return world, folder / "dives" / "00001" / "dive.sqlite"


def test_the_service_goes_on_with_a_dive_whose_log_is_damaged(aboard, tmp_path):
    world, file = half_a_dive(aboard, tmp_path)
    data = bytearray(file.read_bytes())
    place = len(data) - 3 * PAGE_BYTES
    data[place : place + PAGE_BYTES] = bytes(PAGE_BYTES)
    file.write_bytes(data)
    said = aboard.run(tmp_path, world, print, lambda: world.ticks > 85)
    assert sum("was damaged" in line for line in said) == 1
    assert "dive 00001: the log was damaged: " in said[0]
    assert any(line.startswith("dive 00001 goes on after") for line in said)
    assert any(line.startswith("dive 00001 ended") for line in said)
    with DiveLog.open(file) as log:
        ((_, told),) = log.inputs("salvage")
        frames = [record.index for record in log.records()]
        assert set(range(told["first_lost"])) <= set(frames)
        assert len(frames) > told["kept"]["frames"] > 0
        assert summarise(log).profile.outcomes().sum() == len(frames)
        assert log.messages()
    assert len(list((tmp_path / "messages").glob("00001-*.msg"))) > 0


def test_a_log_of_which_nothing_is_left_is_kept_aside_and_the_next_dive_begins(aboard, tmp_path):
    world, file = half_a_dive(aboard, tmp_path)
    file.write_bytes(b"nothing of the kind" * 300)
    said = aboard.run(tmp_path, world, print, lambda: world.ticks > 85)
    assert said[0] == "the log of dive 00001 was damaged, and nothing of it can be used: it is kept aside"
    assert file.with_name("dive.sqlite.damaged").exists()
    assert any(line.startswith("dive 00002 begins") for line in said)
    assert any(line.startswith("dive 00002 ended") for line in said)
