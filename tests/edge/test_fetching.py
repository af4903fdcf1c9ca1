"""Logs over the link: both ends real, on a simulated line; whatever the line does, the bytes are the same."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.divelog import DiveLog
from edge.fetching import COPY, PART_BYTES, LogServer, Shelf
from edge.logged import plan_messages
from firmware_bridge import link_logs as logs
from firmware_bridge.link import ALL_CAPABILITIES, Capability, ObjectReceived, Peer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Fetch, FetchRefused, NoFetch, Reason, Role
from firmware_bridge.link_wire import Hello, Kind
from firmware_bridge.null_modem import Faults, NullModem, SimulatedLine
from tests.tools.made_dive import START_MS, make_dive
from tools.fetching import ChangedError, FetchError, Reader, visiting_peer

pytestmark = pytest.mark.board
DIVE = 7
CLEAN = Faults()


class Aboard:
    """An instrument with a shelf, and a reader at the other end of a simulated line."""

    def __init__(self, folder, *, faults=CLEAN, seed=1, baud=115_200, reader=None):
        self.folder, self.is_diving = folder, False
        self.dive = folder / f"{DIVE:05d}"
        self.dive.mkdir(parents=True, exist_ok=True)
        self.log = self.dive / "dive.sqlite"
        self.instrument = Peer(Role.INSTRUMENT, 5, capabilities=ALL_CAPABILITIES | Capability.LOGS)
        self.shelf = Shelf(folder, lambda: self.is_diving)
        self.server = LogServer(self.instrument, self.shelf)
        self.peer = reader or visiting_peer()
        self.modem = NullModem((self.instrument, self.peer), baud=baud, faults=(faults, faults), seed=seed)
        line = SimulatedLine(self.modem, 1, self.server.take)
        self.reader = Reader(self.peer, line, "the line", lambda: self.modem.now_s)

    def put(self, n_bytes, seed=1):
        self.log.write_bytes(random.Random(seed).randbytes(n_bytes))
        return self

    def open(self):
        self.reader.open()
        return self

    def stamp(self, form=logs.LOG):
        return next(row.stamp for row in self.reader.rows() if row.form == form)

    def fetch(self, out, form=logs.LOG, report=lambda came, size: None, stamp=None):
        file = out / logs.file_name(form)
        source = logs.LOG if form == logs.WITHOUT_VIGNETTES else form
        self.reader.fetch(DIVE, form, stamp or self.stamp(source), file, report)
        return file

    def answers(self, *asked):
        """What the instrument says to records that are said as they are."""
        told = []
        for record in asked:
            self.peer.say(record)
            self.modem.run(
                self.modem.now_s + 2.0,
                lambda end, event: told.append(event) if end else self.server.take(event),
            )
        return told


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    size=st.sampled_from([0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 70_000]),
    flip=st.sampled_from([0.0, 1e-4, 1e-3, 3e-3]),
    lose=st.sampled_from([0.0, 5e-4]),
    noise=st.sampled_from([0.0, 5e-3]),
    seed=st.integers(0, 2**32),
)
def test_whatever_the_line_does_to_bytes_the_file_is_the_same(
    tmp_path_factory, size, flip, lose, noise, seed
):
    folder = tmp_path_factory.mktemp("noise")
    faults = Faults(flip=flip, lose=lose, noise=noise, double=noise / 5, delay_s=0.005)
    aboard = Aboard(folder, faults=faults, seed=seed).put(size, seed).open()
    assert aboard.fetch(folder).read_bytes() == aboard.log.read_bytes()
    assert not list(folder.glob("*.part"))


def test_what_was_broken_off_goes_on_and_only_the_rest_is_sent(tmp_path, out):
    aboard = Aboard(tmp_path).put(300_000).open()

    class PulledError(Exception):
        pass

    def pull(came, size):
        assert size == 300_000
        if came >= 10 * PART_BYTES:
            raise PulledError

    with pytest.raises(PulledError):
        aboard.fetch(out, report=pull)
    (part,) = out.glob("dive.sqlite.*.part")
    assert part.stat().st_size == 10 * PART_BYTES
    again = Aboard(tmp_path).open()
    assert again.fetch(out).read_bytes() == aboard.log.read_bytes()
    rest = 300_000 - 10 * PART_BYTES
    assert again.reader.received_bytes == rest
    assert rest < again.modem.sent_bytes[0] < 1.05 * rest + 1000
    assert [file.name for file in out.iterdir()] == ["dive.sqlite"]


@pytest.mark.parametrize("offset", [1, 1_500_000, 2_499_999, 2_500_000])
def test_the_sum_is_that_of_the_whole_file_from_every_offset(tmp_path, out, offset):
    """More than is hashed for each part."""
    aboard = Aboard(tmp_path, baud=10**9).put(2_500_000).open()
    stamp = aboard.stamp()
    part = out / f"dive.sqlite.{stamp.hex()}-1.part"
    part.write_bytes(aboard.log.read_bytes()[:offset])
    assert aboard.fetch(out, stamp=stamp).read_bytes() == aboard.log.read_bytes()
    assert aboard.reader.received_bytes == 2_500_000 - offset


def test_a_part_that_is_not_what_it_says_is_noticed_at_the_end_and_gone(tmp_path, out):
    aboard = Aboard(tmp_path).put(50_000).open()
    stamp = aboard.stamp()
    (out / f"dive.sqlite.{stamp.hex()}-1.part").write_bytes(bytes(10_000))
    with pytest.raises(ChangedError):
        aboard.fetch(out, stamp=stamp)
    assert aboard.fetch(out, stamp=stamp).read_bytes() == aboard.log.read_bytes()


@pytest.mark.parametrize("what", ["written", "longer", "shorter", "replaced"])
def test_a_file_that_changes_while_it_is_fetched_is_noticed(tmp_path, out, what):
    aboard = Aboard(tmp_path).put(200_000).open()
    before = aboard.log.read_bytes()

    def change(came, size):
        if came != 2 * PART_BYTES:
            return
        if what == "replaced":
            new = aboard.dive / "new"
            new.write_bytes(bytes(1000))
            new.replace(aboard.log)
            return
        with aboard.log.open("r+b") as file:
            file.seek(0, 2) if what == "longer" else file.seek(5)
            file.write(b"other")
            if what == "shorter":
                file.truncate(100_000)
        os.utime(aboard.log, ns=(1, 1))

    if what == "replaced":  # who has it open reads on what he began with
        assert aboard.fetch(out, report=change).read_bytes() == before
        assert aboard.fetch(out).read_bytes() == bytes(1000)
        return
    with pytest.raises(ChangedError, match="has changed the file meanwhile; give the same command again"):
        aboard.fetch(out, report=change)
    assert aboard.fetch(out).read_bytes() == aboard.log.read_bytes()
    assert not list(out.glob("*.part")), "what was begun of the other file is gone"


def test_while_a_dive_is_under_way_nothing_is_sent(tmp_path, out):
    aboard = Aboard(tmp_path).put(200_000).open()
    aboard.is_diving = True
    with pytest.raises(FetchError, match=r"^the line: is in a dive, and sends no logs; ask again when"):
        aboard.reader.rows()
    aboard.is_diving = False

    def begin(came, size):
        aboard.is_diving = True

    stamp = aboard.stamp()
    with pytest.raises(FetchError, match="is in a dive"):
        aboard.fetch(out, report=begin, stamp=stamp)
    assert aboard.reader.received_bytes <= 3 * PART_BYTES
    aboard.is_diving = False
    assert aboard.fetch(out, stamp=stamp).read_bytes() == aboard.log.read_bytes()


def test_hostile_requests_are_refused_and_none_reaches_another_file(tmp_path):
    (tmp_path / "00008").mkdir()
    aboard = Aboard(tmp_path / "dives").put(1000).open()
    asked = [
        (DIVE, logs.LOG, 1001, NoFetch.BEYOND_END), (DIVE, logs.LOG, 2**48 - 1, NoFetch.BEYOND_END),
        (DIVE, 255, 0, NoFetch.NOT_THERE), (DIVE, logs.LIST_FORM, 0, NoFetch.NOT_THERE),
        (8, logs.LOG, 0, NoFetch.NOT_THERE), (0xFFFE, logs.WITHOUT_VIGNETTES, 0, NoFetch.NOT_THERE),
        (DIVE, logs.WITHOUT_VIGNETTES, 0, NoFetch.UNREADABLE),
    ]  # fmt: skip
    told = aboard.answers(*(Fetch(*one[:3]) for one in asked))
    assert told == [FetchRefused(dive, form, reason) for dive, form, _, reason in asked]
    aboard.log.unlink()
    aboard.log.symlink_to(tmp_path / "nowhere")
    assert aboard.answers(Fetch(DIVE, logs.LOG, 0)) == [FetchRefused(DIVE, logs.LOG, NoFetch.NOT_THERE)]


def test_a_thousand_requests_fill_no_memory(tmp_path):
    """Nothing is delivered to somebody who only asks."""
    aboard = Aboard(tmp_path).put(100_000)
    for n in range(1000):
        aboard.server.take(Fetch(*[(None, 0, 0), (DIVE, logs.LOG, n)][n % 2]))
    assert len(aboard.instrument.waiting) == 2


def test_the_list_names_all_that_is_there(tmp_path):
    made = make_dive(tmp_path / "00012", frames=(6, 2, 4))
    with DiveLog.open(made) as log:
        log.set_meta("ended_ms", START_MS + 1)
    aboard = Aboard(tmp_path).put(1000)
    for name in (
        "dive.sqlite.damaged",
        "dive.sqlite.damaged-wal",
        "dive.sqlite.damaged2",
        "dive.sqlite.ballast",
    ):
        (aboard.dive / name).write_bytes(b"x" * len(name))
    (tmp_path / "outbox.sqlite").write_bytes(b"no dive")
    (tmp_path / "70000").mkdir()
    found = aboard.open().reader.rows()
    assert [(row.dive, logs.file_name(row.form), row.size_bytes) for row in found] == [
        (7, "dive.sqlite", 1000), (7, "dive.sqlite.damaged", 19), (7, "dive.sqlite.damaged-wal", 23),
        (7, "dive.sqlite.damaged2", 20), (12, "dive.sqlite", (made / "dive.sqlite").stat().st_size),
    ]  # fmt: skip
    assert (found[0].begun_ms, found[0].is_ended) == (None, False)
    assert (found[-1].begun_ms, found[-1].frames, found[-1].is_ended) == (START_MS, 12, True)
    assert sorted(file.name for file in made.glob("dive.sqlite*")) == ["dive.sqlite"], "nothing is written"


def test_without_vignettes_all_else_is_the_same_and_the_copy_is_made_again_to_the_byte(tmp_path, out):
    make_dive(tmp_path / f"{DIVE:05d}", frames=(20, 4, 10))
    aboard = Aboard(tmp_path).open()
    before = aboard.log.read_bytes()
    file = aboard.fetch(out, logs.WITHOUT_VIGNETTES)
    first = file.read_bytes()
    with DiveLog.open(file) as small, DiveLog.open(aboard.log) as whole:
        assert small.messages() == whole.messages()
        assert [frame.time_ms for frame in small.records()] == [frame.time_ms for frame in whole.records()]
        replayed = list(plan_messages(small).messages)
        assert replayed == whole.messages()[: len(replayed)] != [], "all but the pictures"
        assert not small.vignette_numbers()
        assert small.meta("vignettes_not_fetched") == len(whole.vignette_numbers()) > 10
        assert [one.esd_um for one in small.particles()] == [one.esd_um for one in whole.particles()]
    assert aboard.log.read_bytes() == before
    assert (tmp_path / COPY).exists()
    again = Aboard(tmp_path).open()
    assert not (tmp_path / COPY).exists(), "what a power cut left is removed"
    assert again.fetch(out, logs.WITHOUT_VIGNETTES).read_bytes() == first
    again.is_diving = True
    again.server.go_on()
    assert not (tmp_path / COPY).exists(), "a dive has the room"


def test_without_room_for_a_copy_the_whole_is_to_be_had(tmp_path, out, monkeypatch):
    aboard = Aboard(tmp_path).put(1000).open()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("edge.fetching.shutil.disk_usage", lambda folder: usage._replace(free=999))
    with pytest.raises(FetchError, match="has no room for a copy without vignettes; leave out"):
        aboard.fetch(out, logs.WITHOUT_VIGNETTES)


def test_a_reader_that_hears_nothing_any_more_says_how_to_go_on(tmp_path, out):
    dead = Faults(cuts=((4.0, 1e9),))
    aboard = Aboard(tmp_path, faults=dead, baud=9600).put(100_000).open()
    with pytest.raises(
        FetchError, match="does not say anything any more; check cable and deck switch: the same"
    ):
        aboard.fetch(out)
    assert 25 < aboard.modem.now_s < 40


def test_an_instrument_that_is_reset_is_asked_again(tmp_path, out):
    aboard = Aboard(tmp_path).put(200_000).open()

    def reset(came, size):
        if came == 3 * PART_BYTES:
            fresh = Peer(Role.INSTRUMENT, 6, capabilities=ALL_CAPABILITIES | Capability.LOGS)
            aboard.modem.peers[0] = fresh
            aboard.server = LogServer(fresh, aboard.shelf)
            aboard.reader._line._others = aboard.server.take

    assert aboard.fetch(out, report=reset).read_bytes() == aboard.log.read_bytes()
    assert aboard.instrument is not aboard.modem.peers[0]


class Old:
    """An instrument that says one hello."""

    def __init__(self, hello):
        self.peer, self.hello = Peer(Role.INSTRUMENT, 5), hello
        self.peer._hello = lambda: hello
        self.receive, self.to_send, self.due_s = self.peer.receive, self.peer.to_send, self.peer.due_s


@pytest.mark.parametrize(
    ("hello", "said"),
    [
        (
            (9, 7, Role.INSTRUMENT, False, 5, 0, 240, 1000, 31),
            "speaks versions 7 to 9 of the link, and this program",
        ),
        ((1, 1, Role.INSTRUMENT, True, 5, 1, 240, 1000, 15), "sends no logs; its seston is too old for it"),
        (None, r"does not answer within 20 s; check cable, port and speed \(--baud"),
    ],
)
def test_who_cannot_be_read_gets_a_sentence(tmp_path, hello, said):
    boot = 1
    reader = Peer(Role.HOST, boot, capabilities=Capability.LOGS)
    aboard = Aboard(tmp_path, reader=reader, faults=Faults() if hello else Faults(lose=1.0))
    if hello:
        aboard.modem.peers[0] = Old(Hello(*hello))
    with pytest.raises(FetchError, match=said):
        aboard.reader.open()


def test_a_message_for_the_float_is_not_taken_and_its_transfer_goes_on(tmp_path, out):
    aboard = Aboard(tmp_path).put(100_000)
    aboard.instrument.send(LinkObject(Kind.MESSAGE, 1, b"for the float"))
    refused = []
    take = aboard.server.take

    def both(event):
        refused.append(event)
        take(event)

    aboard.reader._line._others = both
    assert aboard.open().fetch(out).read_bytes() == aboard.log.read_bytes()
    assert [e.reason for e in refused if getattr(e, "item", None) and e.item.kind == 1] == [Reason.UNWANTED]


def test_what_the_instrument_has_for_a_host_goes_between_the_parts(tmp_path):
    both = Peer(Role.HOST, 9, capabilities=ALL_CAPABILITIES | Capability.LOGS)
    aboard = Aboard(tmp_path, reader=both).put(400_000)
    kinds = []

    def react(end, event):
        if not end:
            aboard.server.take(event)
        elif isinstance(event, ObjectReceived):
            kinds.append(event.item.kind)
            both.stored(event.item)
            if len(kinds) == 5:
                aboard.instrument.send(LinkObject(Kind.MESSAGE, 1, b"a message"))

    aboard.modem.run(10.0, react, lambda: aboard.instrument.is_open and both.is_open)
    both.say(Fetch(DIVE, logs.LOG, 0))
    aboard.modem.run(1000.0, react, lambda: Kind.LOG_END in kinds)
    assert 5 <= kinds.index(Kind.MESSAGE) <= 8
    assert kinds.count(Kind.LOG_PART) == -(-400_000 // PART_BYTES)


def test_the_line_is_used_up_to_its_rate(tmp_path, out):
    for flip, least in ((0.0, 0.93), (1e-4, 0.85)):
        aboard = Aboard(tmp_path, faults=Faults(flip=flip)).put(500_000).open()
        stamp, begun_s = aboard.stamp(), aboard.modem.now_s
        aboard.fetch(out, stamp=stamp)
        assert 500_000 * 10 / 115_200 / (aboard.modem.now_s - begun_s) > least
        (out / "dive.sqlite").unlink()


def test_sha256_is_told(tmp_path, out):
    aboard = Aboard(tmp_path).put(1000).open()
    summed = aboard.reader.fetch(DIVE, logs.LOG, aboard.stamp(), out / "dive.sqlite")
    assert summed == hashlib.sha256(aboard.log.read_bytes()).hexdigest()


def test_what_sqlite_left_beside_an_older_log_goes_before_the_new_one_comes(tmp_path, out):
    for name in ("dive.sqlite", "dive.sqlite-wal", "dive.sqlite-shm"):
        (out / name).write_bytes(b"old")
    aboard = Aboard(tmp_path).put(1000).open()
    with suppress(FileNotFoundError):
        aboard.fetch(out)
    assert [file.name for file in out.iterdir()] == ["dive.sqlite"]
