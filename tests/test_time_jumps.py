"""Clocks that jump by hours, the host's and the machine's: every frame stays, once and in order."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from edge.config import TelemetryConfig
from edge.divelog import DiveLog
from edge.frame import FrameOutcome
from edge.inference.bundle import load_bundle
from edge.logged import summarise
from edge.telemetry import decode_messages
from edge.telemetry.codebook import load_codebook
from edge.uvp6_host import ACQUISITION
from firmware_bridge import link_records as wire
from firmware_bridge.uvp6.lines import TaxoFrame
from tests.edge.test_hosts import CONFIG, START, UTC_MS, Float, ctd
from tests.edge.test_uvp6_host import Dive, n_counted, n_images
from tools.hosting.simulation import SimulatedClock
from tools.hosting.uvp6 import Stage, Uvp6Float

pytestmark = pytest.mark.board

HOURS_MS = 5 * 3_600_000
THERE, BACK = (HOURS_MS, -HOURS_MS), (-HOURS_MS, HOURS_MS)
TOLERANCE_MS = 1500
"""What a line and a poll take."""


WITHOUT_PICTURES = msgspec.structs.replace(CONFIG, telemetry=TelemetryConfig(pictures=0))
"""These take most of a test's time, and say nothing of clocks."""


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


class JumpingClock(SimulatedClock):
    """A machine whose date somebody sets: `jumps` are (second since power-on, milliseconds)."""

    def __init__(self, *jumps):
        super().__init__()
        self.jumps = list(jumps)

    def utc_ms(self):
        return super().utc_ms() + sum(by_ms for at_s, by_ms in self.jumps if at_s <= self.monotonic_s())


def check(file):
    """Records of a dive, after what must hold of each: in order, adding up, and so on shore."""
    with DiveLog.open(file) as log:
        records, messages = list(log.records()), log.messages()
        assert [record.index for record in records] == list(range(len(records)))
        times = [record.time_ms for record in records]
        assert times == sorted(times)
        outcomes = summarise(log).profile.outcomes()
        assert outcomes.sum() == len(records)
        assert outcomes[FrameOutcome.LATE] == outcomes[FrameOutcome.DUPLICATE] == 0, "a jump loses no frame"
        book = load_codebook(msgspec.json.encode(log.meta("codebook")))
    (shore,) = decode_messages(list(messages), [book]).dives
    assert shore.is_complete
    assert shore.outcomes().tolist() == outcomes.tolist()
    return records


def clock_inputs(file):
    with DiveLog.open(file) as log:
        return [utc_ms for utc_ms, _ in log.inputs("clock")]


def steps_ms(records):
    return [b.time_ms - a.time_ms for a, b in itertools.pairwise(records)]


# --- the native link


def told(second, by_ms=0):
    """The host says the time, which it has wrong by so much."""
    return second, wire.TimeIs(UTC_MS + 1000 * (second - 1) + by_ms)


@pytest.mark.parametrize("jumps", [(HOURS_MS,), (-HOURS_MS,), THERE, BACK])
def test_a_host_whose_time_jumps_within_a_dive(tmp_path, bundle, jumps):
    script = [told(8 + 5 * i, sum(jumps[: i + 1])) for i in range(len(jumps))]
    float_ = Float(tmp_path, bundle, WITHOUT_PICTURES).run(30, *START, *script, (20, wire.Stop()))
    (file,) = float_.dives()
    records = check(file)
    assert len(records) in (18, 19)
    assert len(clock_inputs(file)) == len(jumps)
    last_ms = UTC_MS + 19_000 + sum(jumps)
    assert records[-1].time_ms <= max(last_ms, UTC_MS + 19_000 + HOURS_MS)
    if len(jumps) == 1:
        assert abs(records[-1].time_ms - last_ms) < 2 * TOLERANCE_MS
        assert max(abs(one - 1000) for one in steps_ms(records)) < TOLERANCE_MS, "of one clock throughout"
    assert float_.messages()


@pytest.mark.parametrize("jumps", [(HOURS_MS,), (-HOURS_MS,), THERE, BACK])
def test_a_machine_whose_date_jumps_within_a_dive(tmp_path, bundle, jumps):
    clock = JumpingClock(*((8.0 + 5 * i, by_ms) for i, by_ms in enumerate(jumps)))
    float_ = Float(tmp_path, bundle, WITHOUT_PICTURES, clock=clock).run(30, *START, (20, wire.Stop()))
    records = check(float_.dives()[0])
    assert len(records) in (18, 19)
    assert max(abs(one - 1000) for one in steps_ms(records)) < TOLERANCE_MS
    assert UTC_MS < records[0].time_ms < UTC_MS + 3000


@pytest.mark.parametrize("by_ms", [HOURS_MS, -HOURS_MS])
def test_host_and_machine_jump_between_dives(tmp_path, bundle, by_ms):
    clock = JumpingClock((22.0, -by_ms), (24.0, 3 * by_ms))
    again = [(31, ctd(5.0)), (31, wire.Start(wire.Phase.DESCENT)), (45, wire.Stop())]
    float_ = Float(tmp_path, bundle, WITHOUT_PICTURES, clock=clock).run(
        60, *START, (20, wire.Stop()), told(25, by_ms), *again
    )
    first, second = (check(file) for file in float_.dives())
    assert abs(second[0].time_ms - (UTC_MS + 30_000 + by_ms)) < 2 * TOLERANCE_MS
    assert len(first) in (18, 19)
    assert len(second) in (14, 15, 16)
    assert [clock_inputs(file) for file in float_.dives()] == [[], []]
    with DiveLog.open(float_.dives()[0]) as one, DiveLog.open(float_.dives()[1]) as other:
        assert float_.messages() == [*one.messages(), *other.messages()], "in the order of the dives"


# --- a float that hosts a UVP6


def line_times(dive):
    return [one.at for one in dive.lines() if not isinstance(one, TaxoFrame)]


@pytest.mark.parametrize("jumps", [(HOURS_MS,), (-HOURS_MS,), THERE, BACK])
def test_a_uvp6_whose_machine_jumps_within_a_dive(tmp_path, bundle, jumps):
    clock = JumpingClock(*((15.0 + 10 * i, by_ms) for i, by_ms in enumerate(jumps)))
    dive = Dive(tmp_path, bundle, clock=clock).run()
    records = check(dive.dives()[0])
    assert n_images(dive.lines()) == n_counted(records) == len(records)
    assert max(abs(one - 1000) for one in steps_ms(records)) < TOLERANCE_MS
    assert line_times(dive) == sorted(line_times(dive), key=lambda at: (at.date, at.time))


@pytest.mark.parametrize("by_ms", [HOURS_MS, -HOURS_MS])
def test_a_uvp6s_host_whose_time_jumps_between_dives(tmp_path, bundle, by_ms):
    dive = Dive(tmp_path, bundle)
    floats = [
        dive.floating,
        Uvp6Float(ACQUISITION, dive.course, dive.floating._start_ms + by_ms, dive.exchange),
    ]

    def stop():
        if dive.floating.stage is Stage.OFF and dive.floating is floats[0]:
            dive.floating = dive.clock.line.peers[1] = floats[1]
        return dive.floating.stage is Stage.OFF or dive.clock.monotonic_s() > 500

    dive.service.run(stop)
    first, second = (check(file) for file in dive.dives())
    assert len(second) > 20
    assert abs(second[0].time_ms - first[0].time_ms - by_ms) < 2 * TOLERANCE_MS
    assert n_images(dive.lines()) == n_counted(second) == len(second), "of the second dive alone"


@pytest.mark.parametrize("by_ms", [HOURS_MS, -HOURS_MS])
def test_a_uvp6s_host_says_another_time_after_a_power_cut_in_the_middle(tmp_path, bundle, by_ms):
    dive = Dive(tmp_path, bundle).cut_power(after_frames=17, off_s=3.0)
    dive.floating._start_ms += by_ms
    dive.run()
    (file,) = dive.dives()
    records = check(file)
    assert dive.floating.n_starts == 2
    assert len(clock_inputs(file)) == 1
    end_ms = dive.floating._start_ms + 1000 * 42
    assert abs(records[-1].time_ms - end_ms) < 10_000, "what the host says now counts"
