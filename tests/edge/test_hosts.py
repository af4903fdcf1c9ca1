"""The service with a float on the native link: both ends real, on a simulated line and clock."""

from __future__ import annotations

import dataclasses
import itertools

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge.config import Config, LogConfig, MissionConfig
from edge.divelog import DiveLog
from edge.ends import Replay
from edge.errors import BundleError, DiveLogError
from edge.frame import FrameOutcome, Phase
from edge.inference.bundle import load_bundle
from edge.logged import config_of, replies_in
from edge.optics import Optics
from edge.outbox import Outbox, Queued
from edge.run_config import (
    Delivery,
    HostConfig,
    HostKind,
    ModemConfig,
    ModemKind,
    PressureConfig,
    PressureSource,
    RunConfig,
)
from edge.service import Service
from edge.telemetry.replies import Reply, Verdict
from firmware_bridge import link_records as wire
from firmware_bridge.command_bodies import Set
from firmware_bridge.commands import Command, address_of, sign_command
from firmware_bridge.link import Delivered, ObjectReceived, Opened, Peer, Refused
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_wire import Capability, Kind
from firmware_bridge.null_modem import NullModem, SimulatedLine
from firmware_bridge.sans_io import NEVER_S
from firmware_bridge.transport import PtyTransport
from tests.edge.inference.test_classifier import off_by
from tests.edge.test_instrument import frame, scene
from tools.hosting.simulation import SimulatedClock

pytestmark = pytest.mark.board
CONFIG = Config(
    bundle="demo",
    platform="float 17",
    optics=Optics(pixel_um=73, image_volume_l=0.6, threshold=21, aa_um2=2300, exp=1.136),
    log=LogConfig(frames_per_bloc=4),
    run=RunConfig(
        host=HostConfig(HostKind.NATIVE),
        pressure=PressureConfig(PressureSource.HOST),
        deliver=Delivery.HOST,
    ),
)
UTC_MS = 1_790_000_000_000


@pytest.fixture(scope="module")
def bundle():
    return load_bundle("demo")


@dataclasses.dataclass
class Float:
    """The float's end: a real peer, a script of (second, what to do), and what it was told."""

    folder: object
    bundle: object
    config: Config = CONFIG
    boot: int = 1
    takes: bool = True
    alone: bool = False
    clock: SimulatedClock = dataclasses.field(default_factory=SimulatedClock)

    def __post_init__(self):
        self.told, self.log = [], []
        self.link = Peer(wire.Role.HOST, self.boot)
        self.service = Service(
            self.config, self.bundle, self.folder, self.log.append, self.clock, self._tie,
            Replay((frame(i, scene(i % 5)) for i in range(1000)), lambda frame: 1.0), is_alone=self.alone,
        )  # fmt: skip

    def _tie(self, peer, port, baud):
        self.clock.line = NullModem((peer, self.link), baud=baud)
        return SimulatedLine(self.clock.line, 0, self._hear)

    def _hear(self, event):
        self.told.append(event)
        if isinstance(event, ObjectReceived) and self.takes:
            self.link.stored(event.item)

    def run(self, seconds, *script):
        """Let time pass; `script` is (second, record or object) in order."""
        begun, script = self.clock.monotonic_s(), list(script)

        def stop():
            now = self.clock.monotonic_s() - begun
            while script and script[0][0] <= now:
                _, what = script.pop(0)
                (self.link.send if isinstance(what, LinkObject) else self.link.say)(what)
            return now >= seconds

        self.service.run(stop)
        return self

    def messages(self):
        return [event.item.data for event in self.told if isinstance(event, ObjectReceived)]

    def dives(self):
        return sorted(file for file in (self.folder / "dives").glob("*/dive.sqlite"))


def ctd(dbar):
    return wire.Ctd(round(1000 * dbar))


START = [(1, wire.TimeIs(UTC_MS)), (2, ctd(5.0)), (2.5, wire.Start(wire.Phase.DESCENT))]


def test_a_dive_whose_messages_could_not_be_made_is_ended_by_the_next_start_though_another_began(
    tmp_path, bundle, monkeypatch
):
    def refuses(log):
        raise DiveLogError("cannot be written", file=log.path, remedy="free the disk")

    monkeypatch.setattr("edge.instrument.plan_messages", refuses)
    dive = [*START, (8, wire.Stop())]
    first = Float(tmp_path, bundle).run(12, *dive)
    assert any("dive 00000 has sent nothing yet, the next start tries again" in one for one in first.log)
    monkeypatch.undo()
    second = Float(tmp_path, bundle, boot=2)
    assert any("dive 00000 ended" in one for one in second.log)
    monkeypatch.setattr("edge.instrument.plan_messages", refuses)
    second.run(12, *dive)
    assert any("dive 00001 has sent nothing yet" in one for one in second.log)
    again = Float(tmp_path, bundle, boot=3)
    assert any("dive 00001 has sent nothing yet" in one for one in again.log)
    again.run(12, *START)
    assert [file.parent.name for file in again.dives()] == ["00000", "00001", "00002"]
    monkeypatch.undo()
    last = Float(tmp_path, bundle, boot=4)
    assert any("dive 00001 ended" in one for one in last.log), "though it is not the last"
    assert any("dive 00002 goes on" in one for one in last.log)
    with DiveLog.open(last.dives()[1]) as log:
        assert log.messages()
        assert log.has_meta("ended_ms")
    assert not any("dive 00001" in one for one in Float(tmp_path, bundle, boot=5).log), "once"


def test_alone_at_sea_with_a_model_that_computes_something_else_sizes_are_counted(tmp_path, bundle):
    wrong = off_by(bundle, 3)
    with pytest.raises(BundleError, match="golden outputs are not reproduced"):
        Float(tmp_path, wrong)
    float_ = Float(tmp_path, wrong, alone=True).run(20, *START, (12, wire.Stop()))
    assert any(
        one.startswith("ALARM: nothing is classified, sizes alone are counted: ") for one in float_.log
    )
    with DiveLog.open(float_.dives()[0]) as log:
        records = list(log.records())
    assert {one.outcome for one in records} == {FrameOutcome.ANALYSED}
    assert sum(one.unnamed for one in records) > 10
    assert not any(len(one.taxa) for one in records)
    assert sum(one.histogram.n_particles for one in records) > 100
    assert float_.messages()


def test_a_host_says_when_a_dive_begins_and_ends_and_which_time_it_is(tmp_path, bundle):
    # In an ascent pressure alone would end the dive below 1 dbar.
    script = [(6, ctd(0.2)), (6, wire.Start(wire.Phase.ASCENT)), (10, wire.Stop())]
    float_ = Float(tmp_path, bundle).run(30, *START, *script)
    (file,) = float_.dives()
    with DiveLog.open(file) as log:
        records, messages = list(log.records()), log.messages()
    assert {r.phase for r in records} == {Phase.DESCENT, Phase.ASCENT}
    assert records[-1].pressure_dbar == pytest.approx(0.2)
    assert UTC_MS < records[0].time_ms < UTC_MS + 3000
    assert float_.messages() == list(messages) != []
    with Outbox(tmp_path / "dives" / "outbox.sqlite") as box:
        assert box.waiting() == []


def test_pressure_that_has_grown_old_is_none(tmp_path, bundle):
    float_ = Float(tmp_path, bundle).run(40, *START, (30, wire.Stop()))
    with DiveLog.open(float_.dives()[0]) as log:
        known = [r.pressure_dbar == 5.0 for r in log.records()]
    stale_s = round(CONFIG.run.pressure.stale_s)
    assert all(known[: stale_s - 1])
    assert not any(known[stale_s + 2 :])


def test_a_pressure_that_the_float_cannot_have_reached_is_not_used_and_told_once(tmp_path, bundle):
    jumps = [(8 + i, ctd(5.0 if i % 2 else 3000.0 + 300 * (i % 4))) for i in range(12)]
    float_ = Float(tmp_path, bundle).run(
        30, *START, *jumps, (22, ctd(900.0)), (23, ctd(901.0)), (24, ctd(902.0))
    )
    told = [sentence for sentence in float_.log if "cannot be reached from" in sentence]
    assert len(told) == 1
    assert told[0].startswith("a pressure of 3000.0 dbar cannot be reached from 5.0 dbar so soon")
    with DiveLog.open(float_.dives()[0]) as log:
        dbar = [r.pressure_dbar for r in log.records()]
    assert set(dbar) == {5.0, 902.0}, "what stays is believed after some readings"


def test_a_host_whose_sensor_is_broken_is_there_all_the_same(tmp_path, bundle):
    float_ = Float(tmp_path, bundle).run(4, *START[:2])
    host = float_.service._host
    assert host.reading().pressure_dbar == 5.0
    until_s = float_.clock.monotonic_s() + 400
    for turn in itertools.count():
        float_.link.say(ctd(3500.0 + 3000 * (turn % 2)))
        host.poll(5.0)
        if float_.clock.monotonic_s() > until_s:
            break
    assert host.reading() is None
    assert host._rate.refused > 50
    assert not host.is_silent, "it talks, and says when a dive begins and ends"


def test_a_budget_from_the_host_holds_for_the_dive(tmp_path, bundle):
    budget = wire.Budget(300, 100)
    float_ = Float(tmp_path, bundle).run(25, (0.5, budget), *START, (12, wire.Stop()))
    sizes = [len(data) for data in float_.messages()]
    assert sum(sizes) <= 300
    assert max(sizes) <= 100
    with DiveLog.open(float_.dives()[0]) as log:
        assert config_of(log).telemetry.budget_bytes == 300
    nonsense = Float(tmp_path / "b", bundle).run(25, (0.5, wire.Budget(10, 5)), *START, (12, wire.Stop()))
    assert any("budget is not used" in sentence for sentence in nonsense.log)
    assert sum(map(len, nonsense.messages())) > 300


def test_power_is_let_go_when_all_is_on_disk_and_the_dive_goes_on_after_it(tmp_path, bundle):
    float_ = Float(tmp_path, bundle)
    float_.run(11.5, *START, (8.5, wire.PowerWish(20)))
    assert any(isinstance(event, wire.PowerSafe) for event in float_.told)
    with DiveLog.open(float_.dives()[0]) as log:
        kept = len(list(log.records()))
    assert 6 <= kept <= 8, "no frame is taken once power may be cut"
    again = Float(tmp_path, bundle, boot=2).run(20, (1, wire.Start(wire.Phase.ASCENT)), (6, wire.Stop()))
    (file,) = again.dives()
    with DiveLog.open(file) as log:
        assert len(list(log.records())) > kept
        assert len(log.inputs("restart")) == 1
        assert again.messages() == list(log.messages())


def test_messages_wait_for_a_float_that_does_not_store_them(tmp_path, bundle):
    deaf = Float(tmp_path, bundle, takes=False).run(20, *START, (8, wire.Stop()))
    assert deaf.messages()
    with Outbox(tmp_path / "dives" / "outbox.sqlite") as box:
        waiting = [message.data for message in box.waiting()]
    assert waiting[0] == deaf.messages()[0]
    later = Float(tmp_path, bundle, boot=2).run(10)
    assert later.messages() == waiting


def test_a_signed_command_is_obeyed_and_answered_and_no_other_byte_counts(tmp_path, bundle):
    key = Ed25519PrivateKey.generate()
    (tmp_path / "keys.toml").write_text(
        f'unit = "float 17"\nunit_key = "{key.public_key().public_bytes_raw().hex()}"\n'
    )
    order = Set((("telemetry.budget_bytes", 700),))
    good = sign_command(Command(address_of("float 17"), 5, order), key)
    forged = good[:-1] + bytes([good[-1] ^ 1])
    objects = [
        LinkObject(Kind.COMMAND, 1, forged), LinkObject(Kind.COMMAND, 2, good),
        LinkObject(Kind.COMMAND, 3, good), LinkObject(Kind.CONFIGURATION, 4, b"platform = 'mine'"),
        LinkObject(Kind.MODEL, 5, b"weights"),
    ]  # fmt: skip
    float_ = Float(tmp_path, bundle)
    float_.run(
        25, *((1 + i, item) for i, item in enumerate(objects)), (8, ctd(5.0)), *START[2:], (14, wire.Stop())
    )
    assert [e.item.object_id for e in float_.told if isinstance(e, Delivered)] == [1, 2, 3]
    assert [e.item.object_id for e in float_.told if isinstance(e, Refused)] == [4, 5]
    with DiveLog.open(float_.dives()[0]) as log:
        assert config_of(log).telemetry.budget_bytes == 700
        assert config_of(log).platform == "float 17"
        assert replies_in(log) == (Reply(5, Verdict.DONE, 1), Reply(5, Verdict.REFUSED_SIGNATURE, 0))
    assert sum(map(len, float_.messages())) <= 700


def test_status_and_health_are_told_when_asked(tmp_path, bundle):
    ask = [(5, wire.Ask(wire.Topic.STATUS)), (6, wire.Ask(wire.Topic.HEALTH))]
    float_ = Float(tmp_path, bundle).run(12, *START, *ask)
    (status,) = [event for event in float_.told if isinstance(event, wire.Status)]
    assert (status.state, status.dive) == (wire.DiveState.DESCENT, 0)
    assert status.frames in (2, 3, 4)
    (health,) = [event for event in float_.told if isinstance(event, wire.Health)]
    assert health.disk_free_mb > 0


def test_a_host_whose_pressure_has_ceased_is_not_there(tmp_path, bundle):
    float_ = Float(tmp_path, bundle).run(12, *START)
    assert not float_.service._host.is_silent
    float_.clock.sleep(400.0)
    assert float_.service._host.is_silent


def reader():
    return Peer(wire.Role.HOST, 99, capabilities=Capability.LOGS)


def test_who_reads_logs_is_no_host_and_messages_wait_for_the_float(tmp_path, bundle):
    """A float that stores nothing, a laptop in its place, then a float that does; nobody restarts."""
    float_ = Float(tmp_path, bundle, takes=False)
    laptop, host, seen = reader(), float_.service._host, {}

    def hear_laptop(event):
        float_.told.append(event)
        if isinstance(event, ObjectReceived):
            laptop.refuse(event.item, wire.Reason.UNWANTED)

    def stop():
        now = float_.clock.monotonic_s()
        line = float_.clock.line
        for at, what in [*START, (8, wire.Stop())]:
            if at <= now and at not in seen:
                seen[at] = float_.link.say(what)
        if now >= 20 and line.peers[1] is not laptop and "laptop" not in seen:
            seen["first"], float_.told = float_.messages(), []
            seen["laptop"] = host.is_silent
            line.peers[1], host._line._others = laptop, hear_laptop
            laptop.say(wire.Fetch(None, 0, 0))
        if now >= 40 and "float" not in seen:
            seen["float"] = host.is_silent
            seen["kinds"] = [e.item.kind for e in float_.told if isinstance(e, ObjectReceived)]
            assert host.offer([Queued(0, 0, b"x", 0, 99, 0, None)]) == ()
            float_.told, float_.takes = [], True
            line.peers[1], host._line._others = Peer(wire.Role.HOST, 2), float_._hear
            float_.link = line.peers[1]
        return now >= 60

    float_.service.run(stop)
    assert (seen["laptop"], seen["float"], host.is_silent) == (False, True, False), "then pressure decides"
    assert set(seen["kinds"]) == {Kind.MESSAGE, Kind.LOG_LIST}
    assert seen["first"]
    assert set(seen["first"]) <= set(float_.messages())
    assert not [e for e in float_.told if isinstance(e, ObjectReceived) and e.item.kind != Kind.MESSAGE]
    with Outbox(tmp_path / "dives" / "outbox.sqlite") as box:
        assert box.waiting() == []
    with DiveLog.open(float_.dives()[0]) as log:
        assert sorted(float_.messages()) == sorted(log.messages())


@pytest.mark.parametrize("is_talking", [True, False])
def test_a_float_that_was_not_reset_meanwhile_is_the_host_again_after_a_reader(tmp_path, bundle, is_talking):
    """Its end of the link knows nothing of the reader; it says its pressure all the time, or nothing."""
    float_ = Float(tmp_path, bundle)
    before, laptop, host, seen = float_.link, reader(), float_.service._host, {}
    script = [
        (1, wire.TimeIs(UTC_MS)),
        (2, ctd(0.1)),
        (90, wire.Start(wire.Phase.DESCENT)),
        (100, wire.Stop()),
    ]

    def stop():
        now, line = float_.clock.monotonic_s(), float_.clock.line
        if now >= 10 and "laptop" not in seen:
            line.peers[1], seen["laptop"] = laptop, now
            host._line._others = lambda event: (
                isinstance(event, ObjectReceived) and seen.setdefault("kind", event.item.kind)
            )
            laptop.say(wire.Fetch(None, 0, 0))
        if now >= 20 and "float" not in seen:
            line.peers[1], seen["float"] = before, host.is_silent
            host._line._others = float_._hear
        if is_talking and now >= 20:
            before.say(ctd(0.1))
        for at, what in script:
            if at <= now and at not in seen:
                seen[at] = before.say(what)
        if now >= 85 and "back" not in seen:
            seen["back"] = host.is_silent
        return now >= 130

    float_.service.run(stop)
    assert (seen["kind"], seen["float"], seen["back"]) == (Kind.LOG_LIST, True, False)
    (file,) = float_.dives()
    with DiveLog.open(file) as log:
        assert 8 <= len(list(log.records())) <= 12
        assert float_.messages() == log.messages() != []
    assert [e.was_reset for e in float_.told if isinstance(e, Opened)][-1]


class Nobody:
    """A line that ends in the air."""

    def receive(self, data, now_s):
        return ()

    def to_send(self, limit_bytes):
        return b""

    def due_s(self):
        return NEVER_S


def test_without_a_host_on_the_line_the_pressure_decides(tmp_path, bundle):
    with PtyTransport() as sensor:
        run = RunConfig(host=HostConfig(HostKind.NATIVE), pressure=PressureConfig(port=sensor.port))
        alone = Float(tmp_path, bundle, msgspec.structs.replace(CONFIG, run=run))
        alone.clock.line.peers[1] = Nobody()
        sensor.write(b"5.0\n")
        alone.run(5)
        assert len(alone.dives()) == 1
        assert any("begins at 5.0 dbar" in sentence for sentence in alone.log)


@pytest.mark.parametrize(
    "run",
    [
        RunConfig(pressure=PressureConfig(port="/dev/a"), host=HostConfig(HostKind.NATIVE, port="/dev/b")),
        RunConfig(),
    ],
)
def test_ports_of_their_own_are_fine(run):
    assert run.deliver is Delivery.FOLDER


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"deliver": Delivery.HOST}, 'deliver "host" needs'),
        ({"pressure": PressureConfig(PressureSource.HOST)}, 'pressure.source "host" needs'),
        ({"host": HostConfig(HostKind.NATIVE)}, "cannot both have the port"),
    ],
)
def test_ends_that_do_not_go_together_are_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        RunConfig(**changes)


def test_modems_that_cannot_be_spoken_to_are_refused():
    assert ModemConfig(ModemKind.IMT, baud=230_400).kind is ModemKind.IMT
    with pytest.raises(ValueError, match="speaks at 230400"):
        ModemConfig(ModemKind.IMT)
    with pytest.raises(ValueError, match="number is missing"):
        ModemConfig(ModemKind.RUDICS)


def test_a_dive_goes_on_and_ends_though_outbox_and_orders_cannot_be_read(tmp_path, bundle):
    float_ = Float(tmp_path, bundle).run(6, *START)
    again = Float(tmp_path, bundle, boot=2)
    again.service._orders._book._db.execute("DROP TABLE commands")
    again.service._outbox._db.execute("ALTER TABLE outbox RENAME COLUMN delivered_ms TO lost")
    again.run(20, (8, wire.Stop()))
    with DiveLog.open(float_.dives()[0]) as log:
        assert len(list(log.records())) > 5
        assert log.messages(), "they are in the log, and the next start hands them over"
    assert any("answers to shore wait" in sentence for sentence in again.log)
    assert any("messages wait in the outbox" in sentence for sentence in again.log)


def test_a_dive_that_has_no_room_begins_when_there_is_some(tmp_path, bundle):
    """Something is in the way of its folder; the host has said once that it dives."""
    float_ = Float(tmp_path, bundle)
    place = tmp_path / "dives" / "00000"
    place.write_text("in the way")
    tries = []

    def stop():
        now = float_.clock.monotonic_s()
        for at, what in [*START, (20, None), (60, wire.Stop())]:
            if at <= now and at not in tries:
                tries.append(at)
                if what is None:
                    assert sum("cannot begin" in line for line in float_.log) == 1
                    place.unlink()
                else:
                    float_.link.say(what)
        return now >= 80

    float_.service.run(stop)
    assert [line for line in float_.log if "ALARM" in line] == [
        f"ALARM: the dive cannot begin: {place}: cannot be made (File exists); free the disk."
    ]
    with DiveLog.open(place) as log:
        assert len(list(log.records())) > 20


def test_the_time_told_in_the_middle_of_a_dive_puts_all_its_times_right(tmp_path, bundle):
    """The board's clock begins at 2000; power is cut in the middle, and the second run is told the time."""
    Float(tmp_path, bundle).run(20, *START[1:])
    float_ = Float(tmp_path, bundle, boot=2)
    float_.run(30, (1, ctd(5.0)), (10, wire.TimeIs(UTC_MS)), (20, wire.Stop()))
    (file,) = float_.dives()
    with DiveLog.open(file) as log:
        records, told = list(log.records()), log.inputs("clock")
        raw = [row[0] for row in log._db.execute("SELECT time_ms FROM frames ORDER BY frame")]
        rows = log._db.execute("SELECT DISTINCT boot FROM frames").fetchall()
    assert [utc_ms for utc_ms, _ in told] == [UTC_MS]
    assert len(rows) == 2
    assert max(raw) < UTC_MS - 10**11, "stored as the board knew it"
    assert raw == sorted(raw), "the second run goes on where the first has ended"
    times = [record.time_ms for record in records]
    assert times == sorted(times)
    assert UTC_MS < times[-1] < UTC_MS + 12_000
    assert UTC_MS - 40_000 < times[0] < UTC_MS - 20_000
    assert [record.index for record in records] == list(range(len(records)))


def test_a_host_that_is_mad_about_the_time_fills_no_disk(tmp_path, bundle):
    script = [(3 + i, wire.TimeIs(UTC_MS + (i % 2) * 10**7)) for i in range(150)]
    float_ = Float(tmp_path, bundle).run(170, *START, *script, (160, wire.Stop()))
    with DiveLog.open(float_.dives()[0]) as log:
        times = [record.time_ms for record in log.records()]
        assert len(log.inputs("clock")) == 100
    assert times == sorted(times)
    assert len(times) > 140


def test_an_instrument_that_is_not_asked_for_anything_sleeps_and_dives_when_it_is(tmp_path, bundle):
    config = msgspec.structs.replace(CONFIG, mission=MissionConfig(sleep_after_s=60))
    float_ = Float(tmp_path, bundle, config).run(
        300, (1, wire.TimeIs(UTC_MS)), (200, wire.Start(wire.Phase.DESCENT)), (250, wire.Stop())
    )
    asleep = [i for i, line in enumerate(float_.log) if "sleeps until a dive begins" in line]
    begun = [i for i, line in enumerate(float_.log) if "begins in descent" in line]
    assert len(asleep) == len(begun) == 1
    assert asleep < begun
    with DiveLog.open(float_.dives()[0]) as log:
        assert 40 <= len(list(log.records())) <= 52
