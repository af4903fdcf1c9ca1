"""Power is cut below the file system: a dive log, an outbox, and the whole service with all its files."""

from __future__ import annotations

import random
import sqlite3

import pytest

from edge.errors import SestonError
from tests.durability.aboard import Aboard, Promises, World
from tests.durability.fs import mounted, why_not
from tests.durability.judge import judge
from tests.durability.scenarios import deliveries, dive, judge_deliveries, judge_dive

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
CUTS = 20
REMAINS_OF_EACH = 3


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    with mounted(tmp_path_factory.mktemp("fuse") / "disk") as found:
        yield found


@pytest.mark.parametrize(
    ("work", "judged", "name"),
    [(dive, judge_dive, "dive.sqlite"), (deliveries, judge_deliveries, "outbox.sqlite")],
)
def test_files_of_sqlite_keep_what_was_promised(disk, tmp_path, work, judged, name):
    chance, calls = random.Random(name), 0
    for number in range(CUTS + 1):
        folder = disk.place / f"{name}-{number}"
        folder.mkdir()
        disk.power.arm(chance.randrange(calls) if number else None)
        said = {}
        try:
            work(folder / name, said)
        except (SestonError, sqlite3.Error, OSError, AssertionError):
            assert disk.power.is_off
        if not number:
            calls = disk.power.calls
            assert calls > 100
        for seed in range(REMAINS_OF_EACH):
            remains = tmp_path / f"{number}-{seed}"
            disk.remains(folder.name, seed or None, remains)
            judged(remains, said)


def test_the_whole_service_keeps_every_promise(disk, tmp_path):
    aboard, chance, calls = Aboard(), random.Random(4), 0
    for number in range(CUTS + 1):
        folder = disk.place / f"service-{number}"
        folder.mkdir()
        disk.power.arm(chance.randrange(calls) if number else None)
        world, promised, lines = World(), Promises(), []

        def stop(world=world):
            return disk.power.is_off or world.ticks > 100

        def promise(line, lines=lines):
            if not disk.power.is_off:
                lines.append(line)

        try:
            aboard.run(folder, world, promise, stop)
        except (SestonError, sqlite3.Error, OSError):
            assert disk.power.is_off
        calls = calls or disk.power.calls
        assert number or {"ended 00000", "ended 00001"} <= set(lines)
        for line in lines:
            promised.hear(line)
        for seed in range(REMAINS_OF_EACH):
            remains, then = tmp_path / f"{number}-{seed}", Promises()
            disk.remains(folder.name, seed or None, remains)
            for line in lines:
                then.hear(line)
            if (remains / "dives").exists() or then.frames:
                judge(remains, then)
            if seed == 1:
                before = world.ticks
                aboard.run(remains, world, then.hear, lambda world=world, end=before + 50: world.ticks > end)
                judge(remains, then)
