"""The driver of an IMT modem: its words, and with the emulated 9704 that loses, repeats and refuses."""

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.links import ModemLink
from edge.outbox import Outbox
from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium.imt import BAUD, MAX_MESSAGE_BYTES, TOPIC, ImtDriver, Step, sealed
from firmware_bridge.iridium.imt_emulator import FAILURES, SEGMENT_BYTES, ImtModem
from firmware_bridge.iridium.sbd_words import (
    Attempt,
    CyclePower,
    Damaged,
    Failed,
    Mailbox,
    Received,
    Sent,
    Spent,
)
from firmware_bridge.iridium.sky import Gateway, Session, Sky
from firmware_bridge.null_modem import Faults, NullModem, SimulatedLine

pytestmark = pytest.mark.board

FAST = {"session_s": (1.0, 2.0), "signal_s": (1.0, 2.0)}
CLEAN = Faults()


class Talk:
    """A driver and a script in the modem's place."""

    def __init__(self):
        self.driver, self.now, self.events = ImtDriver(), 0.0, []

    def hear(self, code=0, target="", wait=0.01, **body):
        """What the driver says to words of the modem, or to time alone."""
        self.now += wait
        line = f"{code} {target} {json.dumps(body)}\r".encode() if target else b""
        new = self.driver.receive(line, self.now)
        self.events += new
        for event in new:
            if isinstance(event, Attempt):
                self.driver.recorded()
                self.events += self.driver.receive(b"", self.now)
        return self.driver.to_send(1 << 20).decode()

    def until_active(self):
        assert self.hear().startswith("GET apiVersion")
        said = self.hear(200, "apiVersion", supported_versions=[{"major": 1, "minor": 7, "patch": 0}])
        assert said == 'PUT apiVersion {"active_version": {"major": 1, "minor": 7, "patch": 0}}\r'
        assert self.hear(200, "apiVersion").startswith("PUT simConfig")
        assert self.hear(200, "simConfig") == 'PUT operationalState {"state": "active"}\r'
        assert self.hear(200, "operationalState").startswith("GET constellationState")
        return self.hear(200, "constellationState", constellation_visible=True, signal_bars=4)

    def until_sending(self, data=b"a"):
        self.driver.send(1, data)
        assert self.until_active().startswith("PUT messageOriginate {")
        self.hear(200, "messageOriginate", message_id=0, message_response="message_accepted")
        assert self.driver.step is Step.SEND

    def give(self, data, *, spoil=b""):
        who, whole = {"topic_id": TOPIC, "message_id": 30}, sealed(data)[: -1 if spoil else None] + spoil
        self.hear(299, "messageTerminate", message_length_max=100_000, **who)
        for start in range(0, len(whole), SEGMENT_BYTES):
            part = whole[start : start + SEGMENT_BYTES]
            where = {"segment_length": len(part), "segment_start": start}
            for _ in range(2):  # a segment that comes twice counts once
                text = base64.b64encode(part).decode()
                self.hear(299, "messageTerminateSegment", data=text, **where, **who)
        for _ in range(2):
            self.hear(299, "messageTerminateStatus", final_mt_status="complete", **who)


def both(*, seed=1, mail=(), faults=CLEAN, **sky):
    driver, modem = ImtDriver(), ImtModem(Sky(**FAST | sky), seed=seed, gateway=Gateway())
    modem.gateway.to_float.extend(mail)
    return driver, modem, NullModem((driver, modem), baud=BAUD, faults=(faults, faults), seed=seed)


def run(driver, modem, line, seconds):
    heard = []

    def react(end, event):
        heard.append(event)
        if isinstance(event, Attempt):
            driver.recorded()
        if isinstance(event, CyclePower):
            modem.power(line.now_s)
            driver.powered()

    line.run(line.now_s + seconds, react)
    return heard


def test_the_checksum_is_that_of_a_real_modem():
    # Recorded of a 9704: the sums of two messages that it took, and messages that it gave.
    assert sealed(b"MeshSat laptop test 2026-03-24T18:28:01Z")[-2:] == b"\xaa\xeb"
    assert sealed(b"MeshSat mule test 2026-03-24T18:46:23Z")[-2:] == b"\x56\xc5"
    assert sealed(b"tst") == base64.b64decode("dHN0Z9E=")
    assert sealed(b"b" * 11) == base64.b64decode("YmJiYmJiYmJiYmLdPg==")


@pytest.mark.parametrize("size", [1, 340, 1445, MAX_MESSAGE_BYTES])
def test_a_message_of_any_size_goes_and_the_modem_is_put_to_rest(size):
    driver, modem, line = both()
    data = random.Random(size).randbytes(size)
    driver.send(41, data)
    heard = run(driver, modem, line, 200.0)
    assert [type(event) for event in heard] == [Attempt, Session, Sent, Mailbox]
    assert heard[1].data == data
    assert heard[2].message_id == 41
    assert driver.is_idle
    assert not modem.is_active


def test_messages_come_from_shore_once_and_whole():
    long = random.Random(1).randbytes(5000)
    driver, modem, line = both(mail=[b"order", long])
    driver.check_mailbox()
    heard = run(driver, modem, line, 100.0)
    assert heard == [Received(b"order", 0, 0), Received(long, 1, 0), Mailbox(True)]
    assert not modem.gateway.to_float


def test_a_segment_that_comes_twice_counts_once():
    talk = Talk()
    talk.driver.check_mailbox()
    assert talk.until_active() == ""
    assert talk.driver.step is Step.LISTEN
    long = random.Random(1).randbytes(5000)
    talk.give(long)
    talk.hear(wait=60.0)
    assert talk.events == [Received(long, 30, 0), Mailbox(True)]


def test_a_damaged_message_from_shore_is_not_taken():
    talk = Talk()
    talk.driver.check_mailbox()
    talk.until_active()
    talk.give(b"order", spoil=b"?")
    talk.hear(wait=60.0)
    assert talk.events == [Damaged(30), Mailbox(False)]


def test_without_sky_the_radio_is_spent_and_nothing_is_begun():
    driver, modem, line = both(weak=1.0)
    driver.renew(100.0)
    driver.send(1, b"a")
    heard = run(driver, modem, line, 1000.0)
    assert heard == [Spent()]
    assert driver.is_idle
    assert not modem.is_active
    assert modem.gateway.begun == 0
    driver, modem, line = both()
    driver.renew(10.0)
    driver.check_mailbox()
    assert run(driver, modem, line, 20.0) == [Mailbox(False)]
    assert not modem.is_active, "it listens no longer than the radio may be on"
    driver, modem, line = both(weak=0.8)
    driver.send(1, b"a")
    assert any(isinstance(event, Sent) for event in run(driver, modem, line, 1000.0))


def test_a_refusal_is_an_alarm_and_is_tried_again():
    talk = Talk()
    talk.driver.send(1, b"a")
    assert talk.until_active().startswith("PUT messageOriginate {")
    assert talk.hear(418, "messageOriginate") == 'PUT operationalState {"state": "inactive"}\r'
    failed = talk.events[-1]
    assert isinstance(failed, Failed)
    assert failed.alarm
    assert "418" in failed.reason
    assert talk.hear(200, "operationalState") == ""
    assert talk.hear(wait=failed.again_s - talk.now - 0.1) == ""
    assert talk.hear(wait=0.2).startswith("GET apiVersion")


def test_a_mute_modem_is_cycled():
    driver, modem, line = both(faults=Faults(cuts=((0.0, 60.0),)))
    driver.send(1, b"a")
    assert any(isinstance(event, CyclePower) for event in run(driver, modem, line, 60.0))
    assert any(isinstance(event, Sent) for event in run(driver, modem, line, 600.0))


def test_an_end_that_comes_late_counts():
    talk = Talk()
    talk.until_sending()
    assert "inactive" in talk.hear(wait=301.0)
    assert isinstance(talk.events[-1], Failed)
    end = {"topic_id": TOPIC, "final_mo_status": "mo_ack_received"}
    talk.hear(299, "messageOriginateStatus", message_id=7, **end)
    assert isinstance(talk.events[-1], Failed)
    talk.hear(299, "messageOriginateStatus", message_id=0, **end)
    assert talk.events[-1] == Sent(1, 0)
    assert talk.driver.is_free


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 1000),
    st.builds(
        dict, fail=st.floats(0, 0.4), hidden=st.floats(0, 0.2), mute=st.floats(0, 0.2),
        hang=st.floats(0, 0.1), weak=st.floats(0, 0.5),
    ),
)  # fmt: skip
def test_the_outbox_sends_all_whatever_the_sky_does(tmp_path_factory, seed, sky):
    driver, modem, line = both(seed=seed, **sky)
    parts, sessions = [bytes([number]) * 3000 for number in range(3)], []
    with Outbox(tmp_path_factory.mktemp("imt") / "outbox.sqlite") as box:
        box.put(1, parts, 0)
        link = ModemLink(
            box, driver, SimulatedLine(line, 0, sessions.append), lambda: 0, lambda data: None,
            cycle_power=lambda: modem.power(line.now_s),
        )  # fmt: skip
        link.open(1e6)
        for _ in range(500):
            link.poll(60.0)
            if not box.waiting():
                break
        assert box.waiting() == []
    assert {session.data for session in sessions} == set(parts)
    assert link.counts.delivered == len(parts)
    assert [session.momsn for session in sessions] == list(range(len(sessions)))


def ask(modem, now, method, target, **body):
    modem.receive(f"{method} {target} {json.dumps(body)}\r".encode(), now)
    answers = [line.split(" ", 2) for line in modem.to_send(1 << 20).decode().split("\r")[:-1]]
    return [(int(code), target, json.loads(text)) for code, target, text in answers]


def awake(sky):
    """A modem that is active; what `ask` says to it comes after its first words."""
    modem, version = ImtModem(sky), {"major": 1, "minor": 7, "patch": 0}
    assert [code for code, *_ in ask(modem, 0.0, "GET", "apiVersion")] == [405], "the first words are lost"
    assert ask(modem, 0.0, "PUT", "simConfig", interface="internal")[0][0] == 400
    assert ask(modem, 0.0, "GET", "apiVersion")[0][2]["supported_versions"][0] == version
    assert ask(modem, 0.0, "PUT", "apiVersion", active_version={"major": 9})[0][0] == 408
    assert ask(modem, 0.0, "PUT", "apiVersion", active_version=version)[0][0] == 200
    assert ask(modem, 0.0, "PUT", "apiVersion", active_version=version)[0][0] == 402
    assert ask(modem, 0.0, "PUT", "operationalState", state="active")[0][0] == 410
    assert ask(modem, 0.0, "PUT", "simConfig", interface="internal")[0][0] == 200
    assert ask(modem, 0.0, "PUT", "messageOriginate", topic_id=TOPIC, message_length=9)[0][0] == 406
    assert ask(modem, 0.0, "PUT", "operationalState", state="active")[0][0] == 200
    assert ask(modem, 0.0, "PUT", "operationalState", state="active")[0][0] == 406
    return modem


def test_the_modem_refuses_by_the_vendors_codes():
    modem = awake(Sky(**FAST))
    assert ask(modem, 0.0, "GET", "nothing")[0][0] == 404
    assert ask(modem, 0.0, "GET", "simConfig")[0][0] == 401
    assert ask(modem, 0.0, "PUT", "operationalState", state=[])[0][0] == 408
    assert ask(modem, 0.0, "PUT", "messageOriginate", topic_id=1, message_length=9)[0][0] == 418
    assert ask(modem, 0.0, "PUT", "messageOriginate", topic_id=TOPIC, message_length=2)[0][0] == 408
    assert ask(modem, 0.0, "PUT", "messageOriginateSegment", message_id=0, segment_start=0)[0][0] == 408
    assert ask(modem, 0.0, "PUT", "messageOriginate", topic_id=TOPIC, x="x" * 9000)[0][0] == 403
    modem.receive(b"PUT messageOriginate {nonsense}\r", 0.0)
    assert modem.to_send(100).startswith(b"407 ")
    assert ask(modem, 0.0, "PUT", "messageOriginate", topic_id=TOPIC, message_length=9)[0][0] == 200
    assert ask(modem, 0.0, "PUT", "messageOriginate", topic_id=TOPIC, message_length=9)[0][0] == 406


@pytest.mark.parametrize(("chance", "arrived", "told"), [
    ("fail", {0}, FAILURES), ("hidden", {1}, FAILURES), ("mute", {0, 1}, ()), ("hang", {0}, ()),
])  # fmt: skip
def test_the_sky_loses_ends_messages_or_both(chance, arrived, told):
    seen = set()
    for seed in range(8):
        modem = awake(Sky(**FAST, **{chance: 1.0}))
        modem._draw.seed(seed)
        ask(modem, 5.0, "PUT", "messageOriginate", topic_id=TOPIC, message_length=3)
        data = base64.b64encode(sealed(b"a")).decode()
        ask(modem, 5.0, "PUT", "messageOriginateSegment", message_id=0, segment_start=0, data=data)
        sessions = modem.receive(b"", 60.0)
        ends = [json.loads(line.split(b" ", 2)[2]) for line in modem.to_send(1 << 20).split(b"\r")[:-1]]
        assert [end["final_mo_status"] in told for end in ends] == [True] * bool(told)
        seen.add(len(sessions))
        assert bool(ask(modem, 61.0, "GET", "apiVersion")) is (chance != "hang")
        modem.power(62.0)
        assert ask(modem, 62.0, "GET", "apiVersion")[0][0] == 405
        assert not modem.is_active
    assert seen == arrived


def test_what_cannot_be_sent_is_misuse():
    driver = ImtDriver()
    for data in (b"", bytes(MAX_MESSAGE_BYTES + 1)):
        with pytest.raises(MisuseError, match="can be sent"):
            driver.send(1, data)
    driver.send(1, b"a")
    with pytest.raises(MisuseError, match="on its way"):
        driver.send(2, b"b")
    with pytest.raises(MisuseError, match="no attempt"):
        driver.recorded()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 5000) | st.floats() | st.sampled_from(
        ["mo_ack_received", "message_accepted", "complete", "AAAA", "=", "\u00e9"]
    ),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "topic_id",
        "message_id",
        "segment_start",
        "segment_length",
        "data",
        "message_response",
        "final_mo_status",
        "final_mt_status",
        "constellation_visible",
        "signal_bars",
        "supported_versions",
    ]
)
TARGETS = st.sampled_from(
    [
        "apiVersion",
        "simConfig",
        "operationalState",
        "constellationState",
        "messageOriginate",
        "messageOriginateSegment",
        "messageOriginateStatus",
        "messageTerminate",
        "messageTerminateSegment",
        "messageTerminateStatus",
    ]
)
USUAL = {
    "topic_id": TOPIC, "message_id": 1, "message_response": "message_accepted", "signal_bars": 3,
    "constellation_visible": True, "supported_versions": [{"major": 1}],
}  # fmt: skip
LINES = st.builds(
    lambda code, target, body: f"{code} {target} {json.dumps(USUAL | body)}\r".encode(),
    st.sampled_from([200, 299, 405]), TARGETS, st.dictionaries(KEYS, VALUES, max_size=3),
)  # fmt: skip
NESTED = b"200 apiVersion {" + b'"a":{' * 700 + b"}\r"
HOSTILE = (
    LINES | st.binary(max_size=300) | st.sampled_from([NESTED, b"x" * 10_000, b"200 simConfig {}\r" * 99])
)


def hear(driver, chunks):
    heard, now = [], 0.0
    for data, wait in chunks:
        now += wait
        for event in driver.receive(data, now):
            heard.append(event)
            if isinstance(event, Attempt):
                driver.recorded()
            if isinstance(event, CyclePower):
                driver.powered()
        assert len(driver.to_send(1 << 20)) < 200_000
        assert len(driver._held) <= 4097
    return heard


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(HOSTILE, st.floats(0, 50)), max_size=30))
def test_hostile_lines_never_raise_in_the_emulator_either(chunks):
    modem, now = ImtModem(Sky(**FAST)), 0.0
    for data, wait in chunks:
        now += wait
        modem.receive(data.replace(b"200 ", b"PUT ").replace(b"299 ", b"GET "), now)
        assert len(modem.to_send(1 << 20)) < 200_000
        assert len(modem._line) <= 8193


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(HOSTILE, st.floats(0, 50)), max_size=30))
def test_hostile_lines_never_raise_and_nothing_grows(chunks):
    driver = ImtDriver()
    driver.send(1, bytes(500))
    heard = hear(driver, chunks)
    assert sum(isinstance(event, Sent) for event in heard) <= 1
