"""A dive's frames as a UVP6's blocs, a host's commands as what it knows, and both as a whole dive."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edge.config import Config, LogConfig, TelemetryConfig
from edge.divelog import DiveLog
from edge.divelog_schema import LoggedFrame, Particle
from edge.ends import Replay
from edge.errors import ConfigError
from edge.frame import SIZED_OUTCOMES, FrameOutcome, Phase
from edge.hosts import DiveBeginSaid, DiveEndSaid, Noted, TimeSaid
from edge.inference.bundle import Bundle, load_bundle
from edge.optics import Optics
from edge.profile import AreaHistogram, FrameRecord
from edge.run_config import HostConfig, HostKind, PressureConfig, RunConfig
from edge.service import Service
from edge.uvp6_host import ACQUISITION, SILENT_S, Uvp6Host, personality_of
from edge.vision.morphology import MEASURES
from firmware_bridge.null_modem import NullModem, SimulatedLine
from firmware_bridge.sans_io import NEVER_S
from firmware_bridge.uvp6.lines import (
    MAX_IMAGES,
    BlackFrame,
    Instant,
    LpmFrame,
    TaxoFrame,
    TaxoObject,
    read_configuration,
    read_frame,
)
from tests.edge.test_instrument import frame as camera_frame
from tests.edge.test_instrument import scene
from tools.hosting.course import Course
from tools.hosting.exchange import Exchange
from tools.hosting.simulation import SimulatedClock, SimulatedPressure
from tools.hosting.uvp6 import Stage, Uvp6Float

pytestmark = pytest.mark.board
OPTICS = Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136)
UTC_MS = 1_790_000_000_000
AT_FIRST = Instant(2026, 9, 21, 14, 13, 20)


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


class Wire:
    """A line whose other end is the test."""

    def __init__(self, peer):
        self.peer, self.commands, self.now_s = peer, b"", 0.0

    def carry(self, wait_s):
        self.now_s += wait_s
        commands, self.commands = self.commands, b""
        return self.peer.receive(commands, self.now_s)

    def close(self):
        pass


class Setup:
    def __init__(self, bundle, per_bloc=2):
        self.uvp6 = personality_of(
            Config(optics=OPTICS, platform="unit, 7"),
            OPTICS,
            bundle.counted_taxa,
            bundle.sha256,
            lambda: UTC_MS,
        )
        self.wire = Wire(self.uvp6)
        self.host = Uvp6Host(self.uvp6, self.wire, OPTICS, bundle.counted_taxa, per_bloc)
        self.hello = self.said()

    def command(self, text):
        self.wire.commands += text.encode()
        return self.host.poll(0.0)

    def said(self):
        return self.uvp6.to_send(1 << 20).decode().split("\r\n")[:-1]

    def start(self):
        self.command(f"$start:{ACQUISITION};")
        self.said()
        return self


def particle(taxon, esd_um=1460, grey=40.4):
    measures = np.zeros(len(MEASURES))
    measures[[measure.name for measure in MEASURES].index("mean_grey")] = grey
    return Particle(0, 0, 0, 9, 9, 60, False, esd_um, taxon, np.ones(3, np.float32), measures, None, math.nan)


def frame(index, outcome=FrameOutcome.ANALYSED, areas=(1, 1, 80), particles=(), dbar=10.0, temperature=4.0):
    area = np.array(areas, dtype=np.int64)
    histogram = AreaHistogram.of(area, 30 * area)
    record = FrameRecord(index, UTC_MS + 1000 * index, dbar, Phase.DESCENT, outcome, temperature, histogram)
    return LoggedFrame(record, outcome is not FrameOutcome.UNLIT, "", particles=particles)


def test_a_hosts_commands_begin_and_end_a_dive_and_set_the_clock(bundle):
    setup = Setup(bundle)
    assert setup.host.is_silent
    assert setup.command("$RTCset:20260921,142640;") == [
        Noted("the host is on the line"),
        TimeSaid(1_790_000_800_000),
    ]
    assert setup.command(f"$start:{ACQUISITION},20260921,142640;") == [
        TimeSaid(1_790_000_800_000),
        DiveBeginSaid(),
    ]
    assert not setup.host.is_silent
    assert setup.command("$stop;") == []
    assert setup.command("$stop;") == [DiveEndSaid()]


def test_it_says_how_it_is(bundle):
    hardware = read_configuration(Setup(bundle).hello[0])
    assert hardware.class_limits_um() == OPTICS.size_class_limits_um
    assert hardware.number("Pixel_Size") == 73
    assert hardware.values["Camera_ref"] == "unit_ 7", "what would break the line is replaced"
    setup = Setup(bundle)
    setup.command("$taxocheck:TAXO_SESTON;")
    assert read_configuration(setup.said()[0]).number("Model_nb_classes") == len(bundle.counted_taxa)


def test_a_bloc_goes_when_it_is_full_black_first_and_taxa_before_counts(bundle):
    setup = Setup(bundle).start()
    unclassified = len(bundle.counted_taxa) - 1
    setup.host.seen(frame(0, particles=(particle(2), particle(unclassified))))
    assert [read_frame(line) for line in setup.said()] == [BlackFrame(10.0, AT_FIRST, 0, 4.0, (0,) * 18)], (
        "no image was taken unlit, and it says so"
    )
    setup.host.seen(frame(1, dbar=11.0, particles=(particle(2, 730, 50.5),)))
    taxo, lpm = (read_frame(line) for line in setup.said())
    assert taxo == TaxoFrame(2, (TaxoObject(2, round(math.pi / 6 * 20**3), 40), TaxoObject(2, 524, 50)))
    assert (lpm.pressure_dbar, lpm.n_images, lpm.at) == (10.5, 2, AT_FIRST)
    assert sum(lpm.counts) == 6
    assert lpm.counts[0] == 4
    assert lpm.greys[0] == 30


def test_unlit_frames_are_noise_and_light_ends_their_bloc(bundle):
    setup = Setup(bundle).start()
    for i in range(3):
        setup.host.seen(frame(i, FrameOutcome.UNLIT, areas=(1,)))
    assert setup.said() == []
    setup.host.seen(frame(3))
    (black,) = (read_frame(line) for line in setup.said())
    assert (black.n_images, black.counts[0]) == (3, 3)


def test_over_exposed_blocs_say_44_and_frames_that_were_not_analysed_do_not_count(bundle):
    setup = Setup(bundle).start()
    for i in range(2):
        setup.host.seen(frame(i, FrameOutcome.OVER_EXPOSED, areas=()))
    lines = setup.said()[1:]
    assert lines[0] == "$starterr:44;"
    assert read_frame(lines[1]) == TaxoFrame(0)
    assert read_frame(lines[2]).n_images == 0
    setup.host.seen(frame(2))
    setup.host.seen(frame(3, FrameOutcome.CORRUPT, areas=()))
    taxo, lpm = (read_frame(line) for line in setup.said())
    assert taxo.n_images == lpm.n_images == 1
    assert isinstance(lpm, LpmFrame)


def test_a_pressure_that_is_not_known_is_said_so_and_nothing_goes_outside_an_acquisition(bundle):
    setup = Setup(bundle)
    setup.host.seen(frame(0))
    assert setup.said() == []
    setup.start()
    for i in range(2):
        setup.host.seen(frame(i, dbar=math.nan, temperature=math.nan))
    lpm = read_frame(setup.said()[-1])
    assert math.isnan(lpm.pressure_dbar)
    assert math.isnan(lpm.temperature_c)


def test_size_classes_that_a_uvp6_does_not_have_are_refused(bundle):
    optics = msgspec.structs.replace(OPTICS, size_class_limits_um=(100.0, 200.0))
    with pytest.raises(ConfigError, match="a UVP6 has 18"):
        personality_of(Config(optics=optics), optics, bundle.counted_taxa, bundle.sha256, lambda: UTC_MS)


def test_the_bloc_in_the_making_goes_before_the_stop_is_acknowledged(bundle):
    setup = Setup(bundle, per_bloc=3).start()
    for i in range(4):
        setup.host.seen(frame(i))
    setup.said()
    setup.command("$stop;")
    assert setup.said() == ["$starterr:33;"]
    setup.host.seen(frame(4))
    assert setup.command("$stop;") == [DiveEndSaid()]
    taxo, lpm, end = setup.said()
    assert read_frame(taxo).n_images == read_frame(lpm).n_images == 2
    assert end == "$stopack;"
    setup.start()
    setup.host.seen(frame(5))
    assert [type(read_frame(line)) for line in setup.said()] == [BlackFrame], "a new acquisition begins anew"
    setup.host.seen(frame(6, FrameOutcome.UNLIT, areas=(1,)))
    setup.said()
    setup.command("$stop;$stop;")
    black, *ends = setup.said()[1:]
    assert read_frame(black).n_images == 1
    assert ends == ["$stopack;"]
    setup.start()
    setup.command("$stop;$stop;")
    assert setup.said() == ["$starterr:33;", "$stopack;"], "there is nothing to send"


def test_more_unlit_frames_than_a_line_can_count_are_two_lines(bundle):
    setup = Setup(bundle).start()
    for i in range(MAX_IMAGES + 2):
        setup.host.seen(frame(i, FrameOutcome.UNLIT, areas=(1,)))
    setup.command("$stop;$stop;")
    blacks = [read_frame(line) for line in setup.said() if line.startswith("BLACK")]
    assert [black.n_images for black in blacks] == [MAX_IMAGES, 2]


# --- a host that is not there any more


def test_a_host_that_says_nothing_outside_its_acquisition_is_not_there(bundle):
    setup = Setup(bundle)
    setup.host.poll(10.0)
    assert setup.host.is_silent, "nobody has said anything"
    setup.command("$nonsense;\xff$;")
    assert setup.host.is_silent, "noise is nobody"
    assert setup.command("$hwconfcheck;") == [Noted("the host is on the line")]
    assert setup.host.poll(SILENT_S) == []
    (gone,) = setup.host.poll(1.0)
    assert setup.host.is_silent
    assert gone.sentence == "the host has said nothing for 3600 s: pressure decides until it does"
    assert setup.host.poll(10.0) == []
    setup.start()
    for i in range(20):
        setup.host.poll(SILENT_S / 2)
        setup.host.seen(frame(i))
        assert not setup.host.is_silent, "in its acquisition a host has nothing to say"
    setup.host.poll(SILENT_S + 1)
    assert setup.host.is_silent, "the dive has ended otherwise"
    setup.host.seen(frame(21))
    assert setup.host.is_silent, "a dive that pressure began says nothing of the host"
    setup.command("$stop;")
    assert not setup.host.is_silent


# --- whole dives, on a simulated line and clock

FRAMES_PER_BLOC = 4
RUN_CONFIG = Config(
    bundle="demo", platform="float 17", optics=OPTICS, log=LogConfig(frames_per_bloc=FRAMES_PER_BLOC),
    run=RunConfig(host=HostConfig(HostKind.UVP6, baud=38_400), pressure=PressureConfig(port="another")),
    telemetry=TelemetryConfig(pictures=0),
)  # fmt: skip


def course_to(deepest_dbar, seconds):
    """Down and up again, with a second at each end."""
    time_s = np.array([0.0, 1.0, seconds / 2, seconds - 1.0, seconds])
    dbar = np.array([5.0, 5.0, deepest_dbar, 5.0, 5.0])
    return Course(time_s, dbar, ((0.0, Phase.DESCENT),), float(seconds), np.full(5, 4.0))


class PowerIsCutError(Exception):
    """The power of the instrument is cut."""


class Nobody:
    """An end that is without power."""

    def receive(self, data, now_s):
        return ()

    def to_send(self, limit_bytes):
        return b""

    def due_s(self):
        return NEVER_S


@dataclasses.dataclass
class Dive:
    """A float that hosts a UVP6, and the service as that, whose power may be cut."""

    folder: Path
    bundle: Bundle
    course: Course = dataclasses.field(default_factory=lambda: course_to(40.0, 41))
    config: Config = RUN_CONFIG
    clock: SimulatedClock = dataclasses.field(default_factory=SimulatedClock)

    def __post_init__(self):
        self.exchange, self.log = Exchange(), []
        self.floating = Uvp6Float(ACQUISITION, self.course, UTC_MS, self.exchange)
        self.sensor = SimulatedPressure(self.course, 3.0, self.clock)
        frames = (camera_frame(i, scene(i % 5), lit=bool(i % 10)) for i in itertools.count(1))
        self.replay = self.sensor.from_first_frame(Replay(frames, lambda frame: 1.0, pressure=self.sensor))
        self.seen = []
        self.service = self._service()

    def _service(self):
        """The service as it is after power-on, which notes the frames that go on to the line."""
        service = Service(
            self.config, self.bundle, self.folder, self.log.append, self.clock, self._tie, self.replay
        )
        host, seen = service._host, service._host.seen

        def noting(frame):
            self.seen.append((frame.record.index, host._is_running))
            seen(frame)

        host.seen = noting
        return service

    def _tie(self, peer, port, baud):
        if self.clock.line is None:
            self.clock.line = NullModem((peer, self.floating), baud=baud)
        self.clock.line.peers[0] = peer
        return SimulatedLine(self.clock.line, 0, lambda event: None)

    def run(self, until=lambda: False, seconds=20_000.0):
        """Until the float is done, or `until` says so."""
        latest_s = self.clock.monotonic_s() + seconds
        self.service.run(
            lambda: self.floating.stage is Stage.OFF or until() or self.clock.monotonic_s() > latest_s
        )
        return self

    def cut_power(self, after_frames, off_s):
        """Run until so many frames were taken, then be without power for so long, and begin anew."""

        def stop():
            if len(self.seen) >= after_frames:
                raise PowerIsCutError
            return False

        with pytest.raises(PowerIsCutError):
            self.service.run(stop)
        self.service._diving.dive.log._db.close()  # what was not committed is gone
        self.clock.line.peers[0] = Nobody()
        self.clock.sleep(off_s)
        self.service = self._service()
        return self

    def dives(self):
        return sorted((self.folder / "dives").glob("*/dive.sqlite"))

    def records(self, number=0):
        with DiveLog.open(self.dives()[number]) as log:
            return list(log.records())

    def lines(self):
        return [read_frame(line) for line in self.floating.frames]


def n_counted(records):
    """Frames that a UVP6's lines can count: those that were sized, and those taken unlit."""
    return sum(r.outcome in SIZED_OUTCOMES or r.outcome is FrameOutcome.UNLIT for r in records)


def n_images(lines):
    return sum(one.n_images for one in lines if not isinstance(one, TaxoFrame))


def test_the_lines_have_every_frame_of_the_log(tmp_path, bundle):
    dive = Dive(tmp_path, bundle, course_to(40.0, 42)).run()
    records, lines = dive.records(), dive.lines()
    assert len(records) % FRAMES_PER_BLOC, "the last bloc is not full, or this tests nothing"
    assert sum(r.outcome is FrameOutcome.UNLIT for r in records) > 2
    assert n_images(lines) == n_counted(records)
    assert n_counted(records) == len(records)
    sized = sum(one.n_images for one in lines if isinstance(one, TaxoFrame))
    assert sized == sum(r.outcome in SIZED_OUTCOMES for r in records)
    particles = sum(r.histogram.by_class(OPTICS)[0].sum() for r in records if r.outcome in SIZED_OUTCOMES)
    assert sum(sum(one.counts) for one in lines if isinstance(one, LpmFrame)) == particles


def test_after_a_power_cut_in_the_middle_it_is_started_again_and_every_frame_is_accounted_for(
    tmp_path, bundle
):
    dive = Dive(tmp_path, bundle).cut_power(after_frames=17, off_s=3.0)
    before = n_images(dive.lines())
    assert 0 <= 17 - before < FRAMES_PER_BLOC, "the bloc in the making is what a power cut may cost the float"
    dive.run()
    assert dive.floating.n_starts == 2
    assert dive.floating.stage is Stage.OFF
    words = [line.words for line in dive.exchange.lines() if line.end != "instrument's log"]
    assert words.count(f"$start:{ACQUISITION};") == words.count("$startack;") == 2
    assert sum(one.startswith("$RTCset") for one in words) == 2, "its clock may be anything now"
    assert len(dive.dives()) == 1, "it is the same dive"
    records = dive.records()
    assert [r.index for r in records] == list(range(len(records))), "every frame once, in order"
    with DiveLog.open(dive.dives()[0]) as log:
        (restart,) = log.inputs("restart")
    committed = restart[1]["frames"]
    assert committed == 16, "and the log"
    again = dive.seen[17:]
    waited = sum(not is_running for _, is_running in again)
    assert 0 < waited < 12, "frames between power-on and the second start are in the log alone"
    assert committed + len(again) == len(records)
    assert n_images(dive.lines()) == before + len(again) - waited


def test_when_its_host_is_gone_pressure_ends_the_dive_and_begins_the_next(tmp_path, bundle):
    course = Course(
        np.array([0.0, 1.0, 15.0, 30.0, 31.0, 2000.0, 2010.0, 2040.0, 5000.0, 5020.0, 5040.0, 9000.0]),
        np.array([5.0, 5.0, 40.0, 0.2, 0.2, 0.2, 30.0, 0.2, 0.2, 30.0, 0.2, 0.2]),
        ((0.0, Phase.DESCENT),), 9000.0, np.full(12, 4.0),
    )  # fmt: skip
    dive = Dive(tmp_path, bundle, course)

    def die():
        if dive.floating.stage is Stage.DIVES:
            dive.clock.line.peers[1] = Nobody()
        return False

    dive.run(die, seconds=8000.0)
    assert len(dive.dives()) == 2, "the second descent is within the hour, the third after it"
    assert dive.records()[-1].pressure_dbar < 1.0
    times_s = [r.time_ms / 1000 for number in (0, 1) for r in dive.records(number)]
    assert any("begins at" in sentence for sentence in dive.log)
    assert any("has said nothing for 3600 s" in sentence for sentence in dive.log)
    assert times_s[-1] - times_s[0] > 4900
