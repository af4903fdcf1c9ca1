"""Data calls to shore: both ends real, a phone between them that drops calls; every message once by id."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.links import ModemLink
from edge.outbox import Outbox
from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium.rudics import GUARD_S, RudicsDriver, Step
from firmware_bridge.iridium.sbd_words import Attempt, CyclePower, Failed, Mailbox, Received, Sent, Spent
from firmware_bridge.link import ObjectReceived, Peer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Role
from firmware_bridge.link_wire import Kind
from firmware_bridge.null_modem import NullModem, SimulatedLine
from firmware_bridge.sans_io import NEVER_S


class Phone:
    """A modem with data calls, and shore's end of the link behind it."""

    def __init__(self, *, seed=1, lasts_s=NEVER_S, takes=1.0, known=()):
        self.draw, self.lasts_s, self.takes = random.Random(seed), lasts_s, takes
        self.shore = Peer(Role.HOST, seed + 1, stored=known)
        self.in_call, self.ends_s, self.calls = False, NEVER_S, 0
        self.line, self.out, self.heard_s, self.plus_s = bytearray(), bytearray(), -10.0, NEVER_S
        self.got, self.is_mute = [], False

    def receive(self, data, now_s):
        if self.is_mute:
            return ()
        if self.in_call and now_s >= self.ends_s:
            self.drop()
        if not self.in_call:
            self.obey(data, now_s)
            return ()
        if data == b"+++" and now_s - self.heard_s > 1.0:
            self.in_call = False
            self.out += b"\r\nOK\r\n"
            return ()
        if data:
            self.heard_s = now_s
        for event in self.shore.receive(data, now_s):
            if isinstance(event, ObjectReceived):
                self.got.append((event.item.object_id, event.item.data))
                self.shore.stored(event.item)
        return ()

    def drop(self):
        self.in_call = False
        self.out += b"\r\nNO CARRIER\r\n"

    def obey(self, data, now_s):
        self.line += data
        while b"\r" in self.line:
            command, _, rest = bytes(self.line).partition(b"\r")
            self.line = bytearray(rest)
            if command.strip().startswith(b"ATDT"):
                if self.draw.random() >= self.takes:
                    self.out += b"\r\nNO CARRIER\r\n"
                    continue
                self.calls += 1
                self.out += b"\r\nCONNECT 9600\r\n"
                self.in_call, self.heard_s = True, now_s
                self.shore.line_is_back(now_s)
                if self.lasts_s < NEVER_S:
                    self.ends_s = now_s + self.draw.expovariate(1 / self.lasts_s)
            elif command.strip():
                self.out += b"\r\nOK\r\n"

    def to_send(self, limit_bytes):
        if self.out or not self.in_call:
            taken = bytes(self.out[:limit_bytes])
            del self.out[: len(taken)]
            return taken
        return self.shore.to_send(limit_bytes)

    def due_s(self):
        return min(self.shore.due_s(), self.ends_s) if self.in_call else NEVER_S


def run(driver, phone, line, seconds):
    heard = []

    def react(end, event):
        heard.append(event)
        if isinstance(event, Attempt):
            driver.recorded()
        if isinstance(event, CyclePower):
            driver.powered()

    line.run(line.now_s + seconds, react)
    return heard


def both(**options):
    driver, phone = RudicsDriver("0088160000500", 7), Phone(**options)
    return driver, phone, NullModem((driver, phone), baud=2400)


def test_a_message_goes_by_a_call_and_the_call_is_ended():
    driver, phone, line = both()
    driver.send(41, b"a message" * 50)
    heard = run(driver, phone, line, 120.0)
    assert [type(event) for event in heard] == [Attempt, Sent]
    assert heard[1].message_id == 41
    assert phone.got == [(41, b"a message" * 50)]
    assert not phone.in_call
    assert driver.is_idle
    assert phone.calls == 1


def test_several_messages_go_in_one_call_and_commands_come_back():
    driver, phone, line = both()
    phone.shore.send(LinkObject(Kind.COMMAND, 9, b"order"))
    phone.shore.send(LinkObject(Kind.MODEL, 10, b"weights"))
    heard = []
    for number in range(3):
        driver.send(number, bytes([number]) * 500)
        for _ in range(100):
            heard += run(driver, phone, line, 0.5)
            if driver.is_free:
                break
    heard += run(driver, phone, line, 120.0)
    assert [data[:1] for _, data in phone.got] == [b"\0", b"\1", b"\2"]
    assert [event.data for event in heard if isinstance(event, Received)] == [b"order"]
    assert phone.calls == 1
    assert driver.is_idle


def test_a_look_for_mail_is_a_call_too():
    driver, phone, line = both()
    driver.check_mailbox()
    assert [type(event) for event in run(driver, phone, line, 120.0)] == [Mailbox]
    assert driver.is_idle


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.floats(8, 120), st.floats(0.4, 1.0))
def test_every_message_arrives_once_whatever_calls_do(seed, lasts_s, takes):
    driver, phone, line = both(seed=seed, lasts_s=lasts_s, takes=takes)
    for number in range(3):
        driver.send(number, bytes([number]) * 2000)
        for _ in range(400):
            run(driver, phone, line, 60.0)
            if driver.is_free:
                break
        assert driver.is_free
    assert [number for number, _ in phone.got] == [0, 1, 2]
    assert all(data == bytes([number]) * 2000 for number, data in phone.got)


def test_a_call_that_is_cut_goes_on_where_it_was():
    driver, phone, line = both()
    driver.send(1, bytes(3000))
    run(driver, phone, line, 8.0)
    assert driver.step is Step.CALL
    sent = line.sent_bytes[0]
    phone.drop()
    heard = run(driver, phone, line, 300.0)
    assert any(isinstance(event, Failed) and "cut" in event.reason for event in heard)
    assert phone.got == [(1, bytes(3000))]
    assert line.sent_bytes[0] - sent < 3000


def test_the_radio_has_a_budget_and_a_mute_modem_is_cycled():
    driver, phone, line = both()
    driver.renew(10.0)
    driver.send(1, bytes(30_000))
    heard = run(driver, phone, line, 600.0)
    assert any(isinstance(event, Spent) for event in heard)
    assert driver.is_idle
    assert not phone.in_call
    phone.is_mute = True
    driver.renew(1000.0)
    assert any(isinstance(event, CyclePower) for event in run(driver, phone, line, 60.0))


def test_the_outbox_sends_by_calls_as_by_sessions(tmp_path):
    driver, phone, line = both(lasts_s=20.0)
    with Outbox(tmp_path / "outbox.sqlite") as box:
        box.put(1, [b"x" * 5000, b"y" * 300], 0)
        link = ModemLink(
            box, driver, SimulatedLine(line, 0, lambda event: None), lambda: 0, lambda data: None
        )  # fmt: skip
        link.open(100_000.0)
        for _ in range(400):
            link.poll(60.0)
            if not box.waiting():
                break
        assert box.waiting() == []
    assert [data for _, data in phone.got] == [b"x" * 5000, b"y" * 300]


def test_what_cannot_be_sent_is_misuse():
    driver = RudicsDriver("1", 7)
    with pytest.raises(MisuseError, match="can be sent"):
        driver.send(1, b"")
    driver.send(1, b"a")
    with pytest.raises(MisuseError, match="on its way"):
        driver.send(2, b"b")
    with pytest.raises(MisuseError, match="no attempt"):
        driver.recorded()
    assert GUARD_S > 1.0


WORDS = st.binary(max_size=300) | st.sampled_from([b"OK\r\n", b"CONNECT\r\n"])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(WORDS, st.floats(0, 50)), max_size=20))
def test_hostile_bytes_never_raise_and_nothing_grows(chunks):
    driver, now = RudicsDriver("1", 7), 0.0
    driver.send(1, bytes(500))
    for data, wait in chunks:
        now += wait
        for event in driver.receive(data, now):
            if isinstance(event, Attempt):
                driver.recorded()
            if isinstance(event, CyclePower):
                driver.powered()
        assert len(driver.to_send(1 << 20)) < 5000
    assert len(driver._held) <= 300
