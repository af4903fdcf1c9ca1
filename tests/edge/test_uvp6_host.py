"""A dive's frames as a UVP6's blocs, and a host's commands as what the service understands."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from edge.config import Config
from edge.divelog_schema import LoggedFrame, Particle
from edge.errors import ConfigError
from edge.frame import FrameOutcome, Phase
from edge.hosts import DiveBeginSaid, DiveEndSaid, TimeSaid
from edge.inference.bundle import load_bundle
from edge.optics import Optics
from edge.profile import AreaHistogram, FrameRecord
from edge.uvp6_host import ACQUISITION, Uvp6Host, personality_of
from edge.vision.morphology import MEASURES
from firmware_bridge.uvp6.lines import (
    BlackFrame,
    Instant,
    LpmFrame,
    TaxoFrame,
    TaxoObject,
    read_configuration,
    read_frame,
)

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
        self.peer, self.commands = peer, b""

    def carry(self, wait_s):
        commands, self.commands = self.commands, b""
        return self.peer.receive(commands, 0.0)

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
    assert setup.command("$RTCset:20260921,142640;") == [TimeSaid(1_790_000_800_000)]
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


def test_the_bloc_in_the_making_is_not_sent_when_the_host_stops(bundle):
    setup = Setup(bundle, per_bloc=3).start()
    setup.host.seen(frame(0))
    setup.said()
    setup.command("$stop;$stop;")
    assert setup.said() == ["$starterr:33;", "$stopack;"]
    setup.start()
    setup.host.seen(frame(1))
    assert [type(read_frame(line)) for line in setup.said()] == [BlackFrame], "a new acquisition begins anew"
