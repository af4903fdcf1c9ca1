"""The native link: sessions, records, objects, power, by two peers on a simulated line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import MisuseError
from firmware_bridge.framing import encode_frame
from firmware_bridge.link import (
    Delivered,
    Heard,
    ObjectReceived,
    Opened,
    Peer,
    Power,
    Refused,
    Silent,
    WrongVersion,
)
from firmware_bridge.link_objects import MAX_QUEUED, LinkObject
from firmware_bridge.link_records import (
    SPECS,
    Ask,
    Budget,
    Ctd,
    DiveState,
    Health,
    Phase,
    PowerSafe,
    PowerStays,
    PowerWait,
    PowerWish,
    Reason,
    Role,
    Start,
    Status,
    Stop,
    TimeIs,
    Topic,
    pack_record,
    unpack_record,
)
from firmware_bridge.link_wire import Header, Hello, Numbered, Piece, Progress, RecordTaken, pack, unpack
from firmware_bridge.null_modem import Faults
from tests.firmware_bridge.link_lines import CLEAN, Owner, Pair, messages

pytestmark = pytest.mark.board

HOST, INSTRUMENT = 0, 1


def opened(**more):
    pair = Pair(**more)
    pair.run(5.0)
    assert pair.host.peer.is_open
    assert pair.instrument.peer.is_open
    return pair


def records(owner):
    return [event for event in owner.events if type(event) in {spec.record for spec in SPECS}]


@st.composite
def any_record(draw):
    spec = draw(st.sampled_from(SPECS))
    values = []
    for field in spec.fields:
        value = st.integers(field.low, field.high)
        values.append(draw(value if field.none is None else st.none() | value))
    return spec, spec.record(*values)


# Records and bodies


@given(any_record())
def test_a_record_comes_back_from_its_sender_alone(drawn):
    spec, record = drawn
    packed = pack_record(record)
    for sender in Role:
        expected = record if spec.sender in (None, sender) else None
        assert unpack_record(packed, sender, acknowledged=spec.acknowledged) == expected
        assert unpack_record(packed, sender, acknowledged=not spec.acknowledged) is None
        assert unpack_record(packed + b"\x00", sender, acknowledged=spec.acknowledged) is None


@pytest.mark.parametrize(
    ("record", "field"),
    [
        (Ctd(7_000_001), "pressure_mdbar"),
        (Start(4), "phase"),
        (Start(1, 65535), "cycle"),
        (Budget(1000, 0), "message_bytes"),
        (TimeIs(-1), "utc_ms"),
    ],
)
def test_a_field_out_of_range_is_named_and_not_read(record, field):
    with pytest.raises(MisuseError, match=field):
        Peer(Role.HOST, 1).say(record)


def test_a_pressure_that_no_sea_has_is_unreadable():
    packed = bytearray(pack_record(Ctd(1000)))
    packed[1] = 0x7F
    assert unpack_record(bytes(packed), Role.HOST, acknowledged=False) is None


@given(st.binary(min_size=1, max_size=240), st.sampled_from(Role))
def test_what_is_read_of_any_body_packs_to_the_same(body, sender):
    read = unpack(body, sender)
    if read is not None and not isinstance(read, Hello):  # a longer hello is read by its beginning
        assert pack(read) == body


# Sessions


def test_a_session_opens_once_and_then_the_line_is_quiet():
    pair = Pair()
    pair.run(100.0)
    for owner, other in ((pair.host, pair.instrument), (pair.instrument, pair.host)):
        (event,) = owner.events
        assert isinstance(event, Opened)
        assert not event.was_reset
        assert (event.peer.role, event.peer.boot_id) == (other.role, other.peer.boot_id)
        assert owner.peer.counts.timeouts == 0
    assert pair.line.sent_bytes[HOST] <= 3 * 26


@pytest.mark.parametrize("end", [HOST, INSTRUMENT])
def test_a_reset_is_noticed_by_the_other_end(end):
    pair = opened()
    pair.reset(end)
    pair.run(10.0)
    for n, owner in enumerate(pair.owners):
        event = owner.events[-1]
        assert isinstance(event, Opened)
        assert event.was_reset is (n != end)
    assert len(pair.owners[end].events) == 2
    assert pair.owners[1 - end].peer.peer.boot_id == pair.owners[end].peer.boot_id


def test_what_the_host_said_before_a_reset_is_forgotten_and_power_stays():
    pair = opened()
    pair.host.peer.say(PowerWish(10))
    pair.reset(INSTRUMENT)
    pair.run(30.0)
    assert pair.host.peer.power is pair.instrument.peer.power is Power.STAYS
    assert records(pair.instrument) == []


def test_a_version_that_is_not_spoken_opens_nothing_and_is_told_once():
    peer = Peer(Role.HOST, 1)
    hello = encode_frame(pack(Hello(3, 2, Role.INSTRUMENT, False, 7, 0, 240, 1000, 0)))
    assert peer.receive(hello + hello, 0.0) == [WrongVersion(3, 2)]
    assert not peer.is_open


def test_a_later_version_that_speaks_ours_and_says_more_is_welcome():
    peer = Peer(Role.HOST, 1)
    hello = pack(Hello(9, 1, Role.INSTRUMENT, True, 7, 1, 240, 1000, 0)) + b"more"
    (event,) = peer.receive(encode_frame(hello), 0.0)
    assert isinstance(event, Opened)


def test_two_hosts_do_not_open():
    pair = Pair(instrument=Owner(Role.HOST))
    pair.run(60.0)
    assert pair.host.events == []
    assert pair.host.peer.counts.unreadable > 0


def test_silence_is_told_once_and_the_end_of_it_too():
    cut = Faults(cuts=((10.0, 200.0),))
    pair = opened(faults=(cut, cut))
    pair.run(6.0)
    pair.instrument.peer.send(LinkObject(1, 1, b"into the void"))
    pair.run(150.0)
    assert pair.instrument.events[1:] == [Silent()]
    pair.run(80.0)
    assert pair.instrument.events[2] == Heard()
    assert [item.data for item in pair.host.received] == [b"into the void"]


# Records between owners


def test_the_host_leads_and_the_instrument_answers():
    pair = opened()
    status = Status(DiveState.DESCENT, 3, 120, 2, 680)
    health = Health(11_900, -2, None)

    def answer(end, event):
        if event == Ask(Topic.STATUS):
            pair.instrument.peer.say(status)
        if event == Ask(Topic.HEALTH):
            pair.instrument.peer.say(health)

    said = [Start(Phase.DESCENT, 12), Budget(4000, 340), Ask(Topic.STATUS), Stop()]
    for record in said:
        pair.host.peer.say(record)
    pair.run(5.0, react=answer)
    pair.host.peer.say(Ask(Topic.HEALTH))
    pair.run(5.0, react=answer)
    assert records(pair.instrument) == [*said, Ask(Topic.HEALTH)]
    assert records(pair.host) == [status, health]


def test_of_what_has_not_gone_out_the_newest_holds():
    pair = Pair()
    for phase in Phase:
        pair.host.peer.say(Start(phase))
    pair.host.peer.say(Stop())
    pair.host.peer.say(Start(Phase.PARK))
    pair.run(10.0)
    assert records(pair.instrument) == [Stop(), Start(Phase.PARK)]


def test_time_and_ctd_are_told_in_a_session_alone_and_never_stale():
    pair = Pair()
    pair.host.peer.say(Ctd(1_000))
    pair.run(5.0)
    assert records(pair.instrument) == []
    for pressure in (2_000, 3_000):
        pair.host.peer.say(Ctd(pressure, -1_500, 350_000))
    pair.host.peer.say(TimeIs(1_700_000_000_000))
    pair.run(5.0)
    assert records(pair.instrument) == [TimeIs(1_700_000_000_000), Ctd(3_000, -1_500, 350_000)]


def test_every_record_arrives_once_over_a_bad_line():
    bad = Faults(flip=0.01, lose=0.005, double=0.2, noise=0.05, delay_s=0.1)
    pair = Pair(faults=(bad, bad), seed=5)
    pair.run(300.0, lambda: pair.host.peer.is_open and pair.instrument.peer.is_open)
    said = [Budget(number, 340) for number in range(30)]
    for record in said:
        pair.host.peer.say(record)
        pair.run(300.0, stop=lambda n=record: n in records(pair.instrument))
        pair.run(40.0)
    assert records(pair.instrument) == said


def test_what_is_not_for_a_role_to_say_is_misuse():
    for role, record in ((Role.INSTRUMENT, Stop()), (Role.HOST, PowerSafe())):
        with pytest.raises(MisuseError, match="is not said by"):
            Peer(role, 1).say(record)
    with pytest.raises(MisuseError, match="boot_id"):
        Peer(Role.HOST, 0)


# Power


def test_power_is_cut_by_agreement():
    pair = opened()
    with pytest.raises(MisuseError, match="nobody asked"):
        pair.instrument.peer.say(PowerSafe())
    pair.host.peer.say(PowerWish(60))
    pair.run(2.0)
    assert records(pair.instrument) == [PowerWish(60)]
    pair.instrument.peer.say(PowerWait(20))
    pair.run(2.0)
    assert pair.host.peer.power is Power.WAITING
    pair.instrument.peer.say(PowerSafe())
    pair.run(2.0)
    assert records(pair.host) == [PowerWait(20), PowerSafe()]
    assert pair.host.peer.power is pair.instrument.peer.power is Power.SAFE


@pytest.mark.parametrize("back", [PowerStays(), Start(Phase.DESCENT)])
def test_a_wish_that_is_taken_back_needs_no_answer(back):
    pair = opened()
    pair.host.peer.say(PowerWish(60))
    pair.run(2.0)
    pair.host.peer.say(back)
    pair.instrument.peer.say(PowerSafe())  # the two cross on the line
    pair.run(5.0)
    assert records(pair.host) == []
    assert pair.host.peer.power is pair.instrument.peer.power is Power.STAYS


# Objects


def test_messages_arrive_in_order_and_uploads_go_the_other_way_meanwhile():
    instrument = Owner(Role.INSTRUMENT, messages(8))
    host = Owner(Role.HOST, [*messages(2, 3000, kind=4), *messages(1, 1, kind=3)])
    pair = Pair(host, instrument)
    pair.run(60.0, pair.all_delivered)
    assert pair.all_delivered()
    assert host.received == instrument.to_send
    assert instrument.received == host.to_send


def test_after_a_cut_it_goes_on_where_it_was():
    cut = Faults(cuts=((10.0, 60.0),))
    pair = Pair(instrument=Owner(Role.INSTRUMENT, messages(1, 20_000)), faults=(cut, cut))
    pair.run(200.0, pair.all_delivered)
    assert pair.host.received == pair.instrument.to_send
    assert pair.line.sent_bytes[INSTRUMENT] < 20_000 * 1.25


@pytest.mark.parametrize("end", [HOST, INSTRUMENT])
def test_after_a_reset_of_either_end_it_goes_on_where_it_was(end):
    pair = Pair(instrument=Owner(Role.INSTRUMENT, messages(1, 20_000)))
    pair.run(15.0)
    header, data = pair.host.peer.partial
    assert header == Header.of(1, 0, pair.instrument.to_send[0].data)
    assert len(data) > 10_000
    pair.reset(end, keep_partial=True)
    pair.run(100.0, pair.all_delivered)
    assert pair.host.received == pair.instrument.to_send
    assert pair.line.sent_bytes[INSTRUMENT] < 20_000 * 1.2


def test_what_was_stored_is_not_taken_twice():
    pair = Pair(instrument=Owner(Role.INSTRUMENT, messages(3)))
    pair.run(60.0, pair.all_delivered)
    pair.instrument.delivered.clear()  # as if the acknowledgements had been lost with the power
    pair.reset(INSTRUMENT)
    pair.run(60.0, pair.all_delivered)
    assert pair.all_delivered()
    assert pair.host.received == pair.instrument.to_send
    assert pair.host.events.count(ObjectReceived(pair.instrument.to_send[0])) == 1


def test_delivered_means_stored():
    pair = Pair(instrument=Owner(Role.INSTRUMENT, messages(2)))
    slow = []
    pair.host.react = slow.append
    pair.run(60.0)
    assert [e for e in slow if isinstance(e, ObjectReceived)] == [ObjectReceived(pair.instrument.to_send[0])]
    assert pair.instrument.delivered == []
    pair.host.peer.stored(pair.instrument.to_send[0])
    pair.run(60.0, lambda: len(slow) == 3)
    assert pair.instrument.delivered == pair.instrument.to_send[:1]


def test_what_is_too_large_or_not_wanted_is_refused_and_the_next_comes():
    large, unwanted, good = LinkObject(4, 1, bytes(5000)), LinkObject(5, 2, b"what?"), LinkObject(3, 3, b"ok")
    host = Owner(Role.HOST, [large, unwanted, good])
    instrument = Owner(Role.INSTRUMENT, max_object_bytes=4000)
    take = instrument.react

    def react(event):
        if isinstance(event, ObjectReceived) and event.item == unwanted:
            instrument.peer.refuse(unwanted, Reason.UNWANTED)
        else:
            take(event)

    instrument.react = react
    pair = Pair(host, instrument, faults=(Faults(lose=0.01), Faults(lose=0.01)), seed=3)
    pair.run(300.0, pair.all_delivered)
    assert host.refused == [(large, Reason.TOO_LARGE), (unwanted, Reason.UNWANTED)]
    assert host.delivered == instrument.received == [good]


def test_an_object_that_is_never_what_it_says_is_refused():
    host, sent = Peer(Role.HOST, 1), []
    host.receive(encode_frame(pack(Hello(1, 1, Role.INSTRUMENT, True, 7, 1, 240, 0, 0))), 0.0)
    for _ in range(3):
        piece = Piece(0, 0, 0, Header(1, 5, 4, 0xDEADBEEF), b"lies")
        assert host.receive(encode_frame(pack(piece)), 1.0) == []
        sent.append(host.to_send(1000))
    assert encode_frame(pack(Progress(0, 0, 0))) in sent[0]
    refused = unpack(bytes([0x40, 0, 48, 0, Reason.DAMAGED]), Role.HOST)
    assert isinstance(refused, Numbered)
    assert encode_frame(pack(refused)) in sent[2]


def test_what_cannot_be_sent_or_queued_is_misuse():
    peer = Peer(Role.INSTRUMENT, 1)
    for wrong in (LinkObject(1, 1, b""), LinkObject(256, 1, b"x"), LinkObject(1, 1 << 32, b"x")):
        with pytest.raises(MisuseError, match="can be sent"):
            peer.send(wrong)
    for item in messages(MAX_QUEUED, 10):
        peer.send(item)
        peer.send(item)
    assert len(peer.waiting) == MAX_QUEUED
    with pytest.raises(MisuseError, match="wait for their delivery"):
        peer.send(LinkObject(2, 1, b"one more"))


# The sea


FAULTS = st.builds(
    Faults,
    flip=st.sampled_from([0.0, 1e-4, 1e-3, 5e-3]),
    lose=st.sampled_from([0.0, 1e-3, 5e-3]),
    double=st.sampled_from([0.0, 0.1]),
    noise=st.sampled_from([0.0, 0.05]),
    delay_s=st.sampled_from([0.0, 0.3]),
    cuts=st.lists(st.tuples(st.floats(0, 60), st.floats(0, 40)), max_size=2).map(
        lambda cuts: tuple((start, start + length) for start, length in cuts)
    ),
)


@settings(max_examples=40, deadline=None)
@given(
    faults=st.tuples(FAULTS, FAULTS),
    resets=st.lists(st.tuples(st.floats(0.1, 30), st.sampled_from([0, 1]), st.booleans()), max_size=4),
    sizes=st.lists(st.integers(1, 1500), min_size=1, max_size=6),
    seed=st.integers(0, 1 << 30),
)
def test_every_object_reaches_its_owner_once_whatever_the_line_does(faults, resets, sizes, seed):
    up = [LinkObject(1, n, messages(1, size, n)[0].data) for n, size in enumerate(sizes)]
    down = [LinkObject(4, 9, messages(1, 700, seed)[0].data)]
    pair = Pair(Owner(Role.HOST, down), Owner(Role.INSTRUMENT, up), faults=faults, seed=seed)
    for wait_s, end, keep in resets:
        pair.run(wait_s)
        pair.reset(end, keep_partial=keep)
    pair.run(20_000.0, pair.all_delivered)
    assert sorted(pair.host.received, key=lambda item: item.object_id) == up
    assert pair.instrument.received == down
    assert pair.all_delivered()


NIBBLE, NUMBER, PLACE = st.integers(0, 15), st.integers(0, 3) | st.integers(0, 255), st.integers(0, 1100)
HEADERS = st.sampled_from([Header.of(1, 1, b"abc"), Header(1, 2, 900, 7), Header(4, 1, 1001, 7)])
BODIES = st.one_of(
    st.builds(Piece, NIBBLE, NUMBER, st.just(0), HEADERS, st.sampled_from([b"abc", bytes(200)])),
    st.builds(Piece, NIBBLE, NUMBER, st.integers(1, 1100), st.none(), st.sampled_from([b"", b"c", b"more"])),
    st.builds(Progress, NUMBER, PLACE, st.none() | NIBBLE),
    st.builds(Numbered, NUMBER, any_record().map(lambda drawn: drawn[1])),
    st.builds(RecordTaken, NUMBER),
    st.builds(Hello, st.just(1), st.just(1), st.sampled_from(Role), st.booleans(), st.just(7),
              st.sampled_from([0, 5]), st.sampled_from([32, 255]), st.just(1000), st.just(0)),
)  # fmt: skip
FRAMES = BODIES.map(lambda body: encode_frame(pack(body)))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=300) | FRAMES, max_size=40), st.sampled_from(Role), st.data())
def test_hostile_bytes_and_frames_never_raise_and_nothing_grows(chunks, role, data):
    peer = Peer(role, 5, max_object_bytes=1000)
    peer.receive(encode_frame(pack(Hello(1, 1, role.other, True, 7, 5, 240, 1000, 0))), 0.0)
    assert peer.is_open
    sent = messages(3, 600)
    for item in sent:
        peer.send(item)
    now_s, said, ended = 0.0, 0, []
    for chunk in chunks:
        now_s += data.draw(st.sampled_from([0.0, 1.0, 40.0]))
        for event in peer.receive(chunk, now_s):
            if isinstance(event, ObjectReceived):
                data.draw(st.sampled_from([peer.stored, lambda item: peer.refuse(item, Reason.NO_ROOM)]))(
                    event.item
                )
            if isinstance(event, Delivered | Refused):
                ended.append(event.item)
        assert peer.receive(b"", now_s) == []
        said += len(peer.to_send(4096))
        assert peer.to_send(4096) == b""
        assert peer.due_s() > now_s
        assert len(peer._deframer._held) + len(peer._receiver._data) <= 243 + 1000
        assert len(ended) + len(peer.waiting) == len(sent)
    assert ended == sent[: len(ended)]
    assert said <= 1200 * (len(chunks) + 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 30), st.lists(st.integers(1, 40), min_size=1, max_size=10))
def test_the_same_bytes_cut_otherwise_give_the_same(seed, sizes):
    """What an instrument's peer said on a bad line, in one piece and in many."""
    heard = []

    class Tap(Peer):
        def receive(self, data, now_s):
            heard.append(data)
            return super().receive(data, now_s)

    pair = Pair(faults=(Faults(flip=2e-3), CLEAN), seed=seed)
    tap = Tap(Role.INSTRUMENT, 9)
    pair.instrument.peer = pair.line.peers[1] = tap
    for item in messages(2, 300):
        pair.host.peer.send(item)
    pair.host.peer.say(Budget(1, 2))
    pair.run(4.0)
    data = b"".join(heard)
    whole, cut = Peer(Role.INSTRUMENT, 9), Peer(Role.INSTRUMENT, 9)
    events, place, n = [], 0, 0
    while place < len(data):
        size = sizes[n % len(sizes)]
        events += cut.receive(data[place : place + size], 0.0)
        place, n = place + size, n + 1
    assert list(whole.receive(data, 0.0)) == events
    assert whole.to_send(9999) == cut.to_send(9999)
    assert whole.counts == cut.counts
