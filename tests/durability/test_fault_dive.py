"""Everything at once in one dive of the real service: it ends by itself, and every frame has its outcome.

The disk fills, the camera stalls for ten minutes, the accelerator is unplugged, the pressure sensor falls
silent, one frame in a hundred is corrupt. Simulated are the clock, the shots, and the line to a modem under a
poor sky.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from edge.cameras.camera import Shot
from edge.cameras.ledger import Ledger
from edge.cameras.queue import FrameQueue
from edge.config import TelemetryConfig
from edge.divelog import DiveLog
from edge.ends import Replay
from edge.frame import Frame, FrameOutcome, Stamp
from edge.inference.bundle import load_bundle
from edge.inference.worker import WorkerClassifier
from edge.logged import codebook_of, plan_messages
from edge.run_config import Delivery, Drop, RunConfig
from edge.service import Service
from edge.telemetry.decoder import decode_messages
from firmware_bridge.ctd import Reading
from firmware_bridge.iridium.emulator import SbdModem, Sky
from firmware_bridge.null_modem import NullModem, SimulatedLine
from tests.durability import aboard
from tests.durability.mounts import memory, why_not
from tests.edge.test_instrument import scene
from tools.cli import main
from tools.hosting.simulation import SimulatedClock

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
SHAPE = (160, 400)
DECK_S, DIVE_S, STALL_S = 30.0, 1000.0, 600.0
MOST_S = 4 * 3600.0
CONFIG = msgspec.structs.replace(
    aboard.CONFIG,
    telemetry=TelemetryConfig(pictures=0, budget_bytes=20_000, message_bytes=340),
    run=RunConfig(deliver=Delivery.MODEM),
    log=msgspec.structs.replace(aboard.CONFIG.log, frames_per_bloc=10),
)
DELEGATE_C = """
#include <stdint.h>
#include <stdlib.h>
struct delegate {  /* TfLiteDelegate, tensorflow/lite/core/c/common.h */
  void *data; int (*prepare)(void *, struct delegate *);
  void *from, *to, *release; int64_t flags; void *builder;
};
static int prepare(void *context, struct delegate *self) { (void)context; (void)self; return 0; }
struct delegate *tflite_plugin_create_delegate(char **k, char **v, size_t n, void (*report)(const char *)) {
  struct delegate *made = calloc(1, sizeof *made);
  (void)k; (void)v; (void)n; (void)report;
  made->prepare = prepare;
  return made;
}
void tflite_plugin_destroy_delegate(struct delegate *one) { free(one); }
"""


@pytest.fixture(scope="module")
def accelerator(tmp_path_factory):
    """A library that the runtime takes for an accelerator's; it leaves all to the processor."""
    if shutil.which("cc") is None:
        pytest.skip("an accelerator's library has to be compiled: there is no cc")
    place = tmp_path_factory.mktemp("accelerator")
    (place / "delegate.c").write_text(DELEGATE_C)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "libaccelerator.so", "delegate.c"], cwd=place, check=True)
    return place / "libaccelerator.so"


class Course:
    """When what goes wrong, and where the float is."""

    def __init__(self, clock: SimulatedClock, chance: random.Random) -> None:
        self.now_s = clock.monotonic_s
        self.stall_s = chance.uniform(200, 300)
        self.silent_s = chance.uniform(60, 150)
        self.unplugged_s = chance.uniform(60, 180)
        self.full_s = chance.uniform(60, 180)
        self.room_s = chance.choice([DECK_S + chance.uniform(910, 990), math.inf])

    @property
    def is_stalled(self) -> bool:
        return self.stall_s <= self.now_s() < self.stall_s + STALL_S

    def read(self) -> Reading | None:
        """See `edge.ends.Pressure`."""
        at_s = self.now_s() - DECK_S
        if self.silent_s <= self.now_s() < self.silent_s + 60:
            return None
        return Reading(max(0.2, 0.5 * min(at_s, DIVE_S - at_s)), 8.0)

    def close(self) -> None:
        """Nothing is open."""


class Camera:
    """A shot a second, on the simulated clock, through the real ledger and queue: `edge.cameras.camera`."""

    is_over = is_stuck = False

    def __init__(self, course: Course, wall, chance: random.Random) -> None:
        self._course, self._wall, self._chance = course, wall, chance
        self._scenes = [scene(i, n_large=1 + i % 2)[: SHAPE[0]] for i in range(7)]
        self._due_s = math.inf
        self._number, self._was_stalled = 0, False
        self.due = 0
        self.handed: Counter[FrameOutcome | None] = Counter()

    def start(self, frame_rate_hz, black_every=None):
        if self._due_s == math.inf:
            self._ledger = Ledger(1.0, self._course.now_s(), SHAPE)
            self._queue = FrameQueue(4, Drop.OLDEST)
            self._due_s = self._course.now_s() + 1

    def next_frame(self, wait_s):
        now_s = self._course.now_s()
        while self._due_s <= now_s:
            self._due_s, self.due = self._due_s + 1, self.due + 1
            self._shoot(now_s)
        for missing in self._ledger.passed(now_s):
            self._queue.put(missing)
        taken = self._queue.take()
        if taken is None:
            return None
        self.handed[taken.fault] += 1
        now = self._wall.stamp()
        stamp = Stamp(now.boot, max(0, now.monotonic_ms - round(1000 * (now_s - taken.taken_s))))
        return Frame(
            0, 0, math.nan, taken.lit, taken.pixels, "camera", fault=taken.fault, note=taken.note, stamp=stamp
        )

    def _shoot(self, now_s):
        self._number += 1
        if self._course.is_stalled:
            self._was_stalled = True
            return
        if self._was_stalled:  # it was opened again
            self._was_stalled, self._number = False, 1
            self._ledger.reopened(SHAPE)
        pixels, problem = self._scenes[self._number % 7], ""
        if self._chance.random() < 0.01:
            torn = self._chance.random() < 0.5
            pixels, problem = (pixels[:-9], "") if torn else (None, "packets of it are missing")
        for entry in self._ledger.came(Shot(pixels, now_s, self._number, problem=problem)):
            self._queue.put(entry)

    def period_s(self, frame):
        return 0.0

    def stop(self):
        self._due_s = math.inf

    def close(self):
        pass


class Filler:
    """Somebody else fills the disk, and all that is freed on it, until there is room again."""

    def __init__(self, place: Path) -> None:
        self._file = place / "filler"

    def fill(self) -> None:
        with contextlib.suppress(OSError), self._file.open("ab", buffering=0) as out:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while out.write(bytes(size)) == size:
                        pass

    def goes(self) -> None:
        self._file.unlink(missing_ok=True)


class Dive:
    """One dive with its faults."""

    def __init__(self, folder: Path, seed: int, accelerator: Path) -> None:
        chance = random.Random(seed)
        self.clock, self.said, self.received = SimulatedClock(), [], {}
        self.course, self.filler = Course(self.clock, chance), Filler(folder)
        self.folder, self.library = folder / "float", folder.parent / "libaccelerator.so"
        self.folder.mkdir()
        shutil.copy(accelerator, self.library)
        self.bundle = load_bundle("demo")
        modem = SbdModem(Sky(fail=0.2, hidden=0.05, weak=0.2, ring_within=0.2), seed=seed)

        def tie(peer, port, baud):
            self.clock.line = NullModem((peer, modem), baud=baud)
            return SimulatedLine(self.clock.line, 0, self._hear)

        self.named: dict[int, int] = {}
        self.n_unplaced = 0
        replay = Replay(iter(()), lambda _: 1.0, self._observe, self.course)
        self.service = Service(
            CONFIG, self.bundle, self.folder, self.said.append, self.clock, tie, replay
        )  # fmt: skip
        self.camera = self.service._diving.camera = Camera(self.course, self.service._wall, chance)
        self.namer = self.service._diving.namer = WorkerClassifier(
            self.bundle, accelerator=str(self.library), say=self.said.append
        )

    def _hear(self, session):
        if session.data is not None:
            self.received[session.data] = None  # shore counts each once

    def _observe(self, frame, record, regions):
        assert frame.index not in self.named, "a frame is looked at once"
        is_placed = math.isfinite(record.pressure_dbar)
        self.named[frame.index] = len(record.taxa) if is_placed else 0
        self.n_unplaced += not is_placed

    def _goes_wrong(self) -> bool:
        """What is due now; whether all is over."""
        now_s, course = self.clock.monotonic_s(), self.course
        if course.full_s <= now_s < course.room_s:
            self.filler.fill()
        elif now_s >= course.room_s:
            self.filler.goes()
        if now_s >= course.unplugged_s and self.library.exists():
            assert self.namer.is_accelerated
            self.library.unlink()
            os.kill(self.namer._process.pid, signal.SIGKILL)  # as its maker's library does
        is_sent = any("ended: " in one for one in self.said) and self.service._courier.waiting() == (0, 0)
        return is_sent or now_s > MOST_S

    def run(self):
        self.service.run(self._goes_wrong)
        return self

    @property
    def n_frames(self) -> int:
        (line,) = [one for one in self.said if one.startswith("dive 00000 ended: ")]
        return int(line.split("ended: ")[1].split()[0])


@pytest.fixture(params=[1, 2, 3])
def dive(request, tmp_path, accelerator):
    with memory(tmp_path / "disk", kb=12_000) as disk:
        yield Dive(disk, request.param, accelerator).run()


def test_it_ends_by_itself_and_shore_knows_every_frame(dive, tmp_path):
    said = dive.said
    assert dive.clock.monotonic_s() < MOST_S, said
    (shore,) = decode_messages(list(dive.received), [codebook_of(CONFIG, dive.bundle)]).dives
    outcomes = dict(zip(FrameOutcome, shore.outcomes().tolist(), strict=True))
    assert sum(outcomes.values()) == dive.n_frames
    assert dive.camera.due - 3 <= dive.n_frames <= dive.camera.due, "the newest may be on their way"
    for fault in (FrameOutcome.DROPPED, FrameOutcome.CORRUPT):
        assert outcomes[fault] == dive.camera.handed[fault] > 0
    assert outcomes[FrameOutcome.DROPPED] >= STALL_S - 5
    failed = outcomes[FrameOutcome.INFERENCE_FAILED]
    assert failed <= 1, "of the accelerator, the frame in its hands"
    assert outcomes[FrameOutcome.ANALYSED] == dive.camera.handed[None] - failed
    assert shore.taxa().sum() == sum(dive.named.values()) > 100
    # Each of the faults was there.
    assert dive.n_unplaced > 10, "the sensor was silent"
    assert any("accelerator" in one and "is given up" in one for one in said)
    assert not dive.namer.is_accelerated
    assert any(one.startswith("ALARM: the disk does not take dive 00000 (") for one in said)
    never = dive.course.room_s == math.inf
    # A disk that is full to its last block may still take what fits into one that is the log's.
    assert never or any("takes dive 00000 again" in one for one in said)
    assert any("are in memory alone" in one for one in said) is never
    with DiveLog.open(dive.folder / "dives" / "00000") as log:
        records = list(log.records())
        assert [one.index for one in records] == list(range(len(records)))
        places = [(one.frame, one.x_px, one.y_px) for one in log.particles()]
        assert len(set(places)) == len(places), "no particle twice"
        if never:
            assert len(records) < dive.n_frames
        else:
            assert len(records) == dive.n_frames
            assert Counter(one.outcome for one in records) == Counter(
                {outcome: n for outcome, n in outcomes.items() if n}
            )
            assert set(dive.received) == set(log.messages()) == set(plan_messages(log).messages)
    dive.filler.goes()
    pytest.importorskip("plotly")
    with pytest.raises(SystemExit) as ended:
        main(["report", str(dive.folder / "dives" / "00000"), "--out", str(tmp_path / "report.html")])
    assert not ended.value.code
    page = (tmp_path / "report.html").read_text()
    assert "analysed" in page
    assert ("dropped" in page) is not never, "the disk had no room for those"
