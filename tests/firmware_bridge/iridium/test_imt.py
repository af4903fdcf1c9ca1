"""The driver of an IMT modem against an emulated 9704 that loses, repeats and refuses."""

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
from firmware_bridge.iridium.sbd_words import Attempt, CyclePower, Failed, Mailbox, Received, Sent, Spent
from firmware_bridge.null_modem import NullModem, SimulatedLine
from firmware_bridge.sans_io import NEVER_S

SEGMENT_BYTES = 1446


class Modem:
    """An emulated 9704: asks for segments, gives the message to shore; `loss` of its last words are lost."""

    def __init__(self, *, seed=1, loss=0.0, sky=True, mail=()):
        self.draw, self.loss, self.sky, self.mail = random.Random(seed), loss, sky, list(mail)
        self.line, self.out = bytearray(), bytearray()
        self.got, self.asked, self.refuses = [], [], {}
        self.is_mute, self.is_cold, self.is_active = False, True, False
        self.number, self.size, self.message = -1, 0, bytearray()

    def receive(self, data, now_s):
        self.line += data
        while b"\r" in self.line:
            line, _, rest = bytes(self.line).partition(b"\r")
            self.line = bytearray(rest)
            if not self.is_mute:
                self.obey(*line.decode().split(" ", 2))
        return ()

    def say(self, code, target, **body):
        self.out += f"{code} {target} {json.dumps(body, separators=(',', ':'))}\r".encode()

    def want(self):
        size = min(SEGMENT_BYTES, self.size - len(self.message))
        where = {"segment_length": size, "segment_start": len(self.message)}
        self.say(299, "messageOriginateSegment", topic_id=TOPIC, message_id=self.number, **where)

    def obey(self, method, target, text):
        self.asked.append(f"{method} {target}")
        body = json.loads(text)
        if self.is_cold:
            self.is_cold = False
            self.say(405, "MALFORMED")
        elif target in self.refuses:
            self.say(self.refuses[target], target)
        elif target == "apiVersion":
            version = {"major": 1, "minor": 7, "patch": 0}
            assert method == "GET" or body == {"active_version": version}
            self.say(200, target, supported_versions=[version, {"major": 1, "minor": 6, "patch": 1}])
        elif target == "operationalState":
            self.say(406 if self.is_active == (body["state"] == "active") else 200, target)
            self.is_active = body["state"] == "active"
        elif target == "constellationState":
            bars = 4 if self.sky else 0
            self.say(200, target, constellation_visible=self.sky, signal_bars=bars)
            if self.sky and self.mail:
                self.give(self.mail.pop())
        elif target == "messageOriginate":
            self.number = (self.number + 1) % 8
            self.size, self.message = body["message_length"], bytearray()
            accepted = {"message_id": self.number, "message_response": "message_accepted"}
            reference = body["request_reference"]
            self.say(200, target, topic_id=body["topic_id"], request_reference=reference, **accepted)
            self.want()
        elif target == "messageOriginateSegment":
            data = base64.b64decode(body["data"])
            assert (body["segment_start"], body["segment_length"]) == (len(self.message), len(data))
            self.message += data
            self.say(200, target, topic_id=TOPIC, message_id=self.number)
            if len(self.message) < self.size:
                self.want()
            else:
                self.finish()
        else:
            self.say(402, target)

    def finish(self):
        said = "message_dropped_local_crc_error"
        if sealed(bytes(self.message[:-2])) == self.message:
            self.got.append(bytes(self.message[:-2]))
            said = "mo_ack_received"
        if self.draw.random() >= self.loss:
            self.say(
                299, "messageOriginateStatus", topic_id=TOPIC, message_id=self.number, final_mo_status=said
            )

    def give(self, data, *, spoil=b""):
        who, whole = {"topic_id": TOPIC, "message_id": 30}, sealed(data)[: None if not spoil else -1] + spoil
        self.say(299, "messageTerminate", message_length_max=100_000, **who)
        for start in range(0, len(whole), SEGMENT_BYTES):
            part = whole[start : start + SEGMENT_BYTES]
            text = base64.b64encode(part).decode()
            for _ in range(2):  # a segment that comes twice counts once
                self.say(
                    299, "messageTerminateSegment", segment_length=len(part), segment_start=start, data=text,
                    **who,
                )  # fmt: skip
        for _ in range(2):
            self.say(299, "messageTerminateStatus", final_mt_status="complete", **who)

    def to_send(self, limit_bytes):
        taken = bytes(self.out[:limit_bytes])
        del self.out[: len(taken)]
        return taken

    def due_s(self):
        return NEVER_S


def both(**options):
    driver, modem = ImtDriver(), Modem(**options)
    return driver, modem, NullModem((driver, modem), baud=BAUD)


def run(driver, line, seconds):
    heard = []

    def react(end, event):
        heard.append(event)
        if isinstance(event, Attempt):
            driver.recorded()
        if isinstance(event, CyclePower):
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
    heard = run(driver, line, 200.0)
    assert [type(event) for event in heard] == [Attempt, Sent, Mailbox]
    assert heard[1].message_id == 41
    assert modem.got == [data]
    assert driver.is_idle
    assert not modem.is_active


def test_messages_come_from_shore_once_and_whole():
    long = random.Random(1).randbytes(5000)
    driver, _, line = both(mail=[long])
    driver.check_mailbox()
    heard = run(driver, line, 100.0)
    assert heard == [Received(long, 30, 0), Mailbox(True)]


def test_a_damaged_message_from_shore_is_not_told():
    driver, modem, line = both()
    driver.check_mailbox()
    run(driver, line, 20.0)
    assert driver.step is Step.LISTEN
    modem.give(b"order", spoil=b"?")
    assert run(driver, line, 100.0) == [Mailbox(False)]


def test_without_sky_the_radio_is_spent_and_nothing_is_begun():
    driver, modem, line = both(sky=False)
    driver.renew(100.0)
    driver.send(1, b"a")
    heard = run(driver, line, 1000.0)
    assert heard == [Spent()]
    assert driver.is_idle
    assert not modem.is_active
    modem.sky = True
    driver.renew()
    assert any(isinstance(event, Sent) for event in run(driver, line, 100.0))


def test_a_refusal_is_an_alarm_and_is_tried_again():
    driver, modem, line = both()
    modem.refuses["messageOriginate"] = 418
    driver.send(1, b"a")
    failed = [event for event in run(driver, line, 60.0) if isinstance(event, Failed)]
    assert failed[0].alarm
    assert "418" in failed[0].reason
    modem.refuses.clear()
    assert any(isinstance(event, Sent) for event in run(driver, line, 600.0))


def test_a_mute_modem_is_cycled():
    driver, modem, line = both()
    modem.is_mute = True
    driver.send(1, b"a")
    assert any(isinstance(event, CyclePower) for event in run(driver, line, 60.0))
    modem.is_mute = False
    assert any(isinstance(event, Sent) for event in run(driver, line, 600.0))


def test_an_end_that_comes_late_counts():
    driver, modem, line = both(loss=1.0)
    driver.send(1, b"a")
    heard = run(driver, line, 315.0)
    assert isinstance(heard[-1], Failed)
    modem.say(299, "messageOriginateStatus", topic_id=TOPIC, message_id=7, final_mo_status="mo_ack_received")
    assert run(driver, line, 1.0) == []
    modem.say(299, "messageOriginateStatus", topic_id=TOPIC, message_id=0, final_mo_status="mo_ack_received")
    assert run(driver, line, 1.0) == [Sent(1, 0)]
    assert driver.is_free


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.0, 0.7))
def test_the_outbox_sends_all_though_ends_are_lost(tmp_path_factory, seed, loss):
    driver, modem, line = both(seed=seed, loss=loss)
    parts = [bytes([number]) * 3000 for number in range(3)]
    with Outbox(tmp_path_factory.mktemp("imt") / "outbox.sqlite") as box:
        box.put(1, parts, 0)
        link = ModemLink(
            box, driver, SimulatedLine(line, 0, lambda event: None), lambda: 0, lambda data: None
        )  # fmt: skip
        link.open(1e6)
        for _ in range(500):
            link.poll(60.0)
            if not box.waiting():
                break
        assert box.waiting() == []
    assert set(modem.got) == set(parts)
    assert link.counts.delivered == len(parts)


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


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(HOSTILE, st.floats(0, 50)), max_size=30))
def test_hostile_lines_never_raise_and_nothing_grows(chunks):
    driver = ImtDriver()
    driver.send(1, bytes(500))
    heard = hear(driver, chunks)
    assert sum(isinstance(event, Sent) for event in heard) <= 1
