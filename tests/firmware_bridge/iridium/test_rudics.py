"""Data calls to shore: both ends real, a phone between them that drops calls; every message once by id."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.links import ModemLink
from edge.outbox import Outbox
from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium.rudics import GUARD_S, RudicsDriver, Step
from firmware_bridge.iridium.rudics_emulator import (
    MAX_FLYING_BYTES,
    Dialled,
    HungUp,
    Mode,
    RudicsModem,
    ToShore,
)
from firmware_bridge.iridium.sbd_words import Attempt, CyclePower, Failed, Mailbox, Received, Sent, Spent
from firmware_bridge.iridium.sky import Sky
from firmware_bridge.link import ObjectReceived, Peer
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Role
from firmware_bridge.link_wire import Kind
from firmware_bridge.null_modem import NullModem, SimulatedLine

pytestmark = pytest.mark.board

FAST = {"session_s": (1.0, 3.0), "delay_s": 0.3}


class Phone:
    """The emulated modem, and shore's end of the link behind it."""

    def __init__(self, *, seed=1, **sky):
        self.modem = RudicsModem(Sky(**FAST | sky), seed=seed)
        self.shore, self.now, self.calls, self.got = Peer(Role.HOST, seed + 1), 0.0, 0, []

    def receive(self, data, now_s):
        self.now = now_s
        heard = b""
        for event in self.modem.receive(data, now_s):
            match event:
                case Dialled():
                    self.calls += 1
                    self.modem.connected()
                    self.shore.line_is_back(now_s)
                case ToShore(arrived):
                    heard += arrived
        if not self.modem.is_in_call:
            return ()
        for event in self.shore.receive(heard, now_s):
            if isinstance(event, ObjectReceived):
                self.got.append((event.item.object_id, event.item.data))
                self.shore.stored(event.item)
        self.modem.from_shore(self.shore.to_send(4096))
        return ()

    def to_send(self, limit_bytes):
        return self.modem.to_send(limit_bytes)

    def due_s(self):
        due_s = self.modem.due_s()
        return min(due_s, max(self.shore.due_s(), self.now)) if self.modem.is_in_call else due_s


def run(driver, phone, line, seconds):
    heard = []

    def react(end, event):
        heard.append(event)
        if isinstance(event, Attempt):
            driver.recorded()
        if isinstance(event, CyclePower):
            phone.modem.power(line.now_s)
            driver.powered()

    line.run(line.now_s + seconds, react)
    return heard


def both(**options):
    driver, phone = RudicsDriver("0088160000500", 7), Phone(**options)
    return driver, phone, NullModem((driver, phone), baud=19_200)


def test_a_message_goes_by_a_call_and_the_call_is_ended():
    driver, phone, line = both()
    driver.send(41, b"a message" * 50)
    heard = run(driver, phone, line, 120.0)
    assert [type(event) for event in heard] == [Attempt, Sent]
    assert heard[1].message_id == 41
    assert phone.got == [(41, b"a message" * 50)]
    assert not phone.modem.is_in_call
    assert driver.is_idle
    assert phone.calls == 1


def test_several_messages_go_in_one_call_and_commands_come_back():
    driver, phone, line = both()
    phone.shore.send(LinkObject(Kind.COMMAND, 9, b"order"))
    phone.shore.send(LinkObject(Kind.MODEL, 10, b"weights"))
    heard = []
    for number in range(3):
        driver.send(number, bytes([number]) * 500)
        for _ in range(200):
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
@given(
    st.integers(0, 1000),
    st.builds(
        dict, fail=st.floats(0, 0.4), hidden=st.floats(0, 0.2), mute=st.floats(0, 0.2),
        hang=st.floats(0, 0.1), weak=st.floats(0, 0.2), call_s=st.floats(15, 120),
    ),
)  # fmt: skip
def test_every_message_arrives_once_whatever_calls_do(seed, sky):
    driver, phone, line = both(seed=seed, **sky)
    for number in range(3):
        driver.send(number, bytes([number]) * 2000)
        for _ in range(400):
            run(driver, phone, line, 60.0)
            if driver.is_free:
                break
        assert driver.is_free
    assert [number for number, _ in phone.got] == [0, 1, 2]
    assert all(data == bytes([number]) * 2000 for number, data in phone.got)


def until_half_is_there(driver, phone, line):
    while not (phone.shore.partial and len(phone.shore.partial[1]) > 1500):
        run(driver, phone, line, 1.0)
    return line.sent_bytes[0]


def test_a_call_that_is_cut_goes_on_where_it_was():
    driver, phone, line = both()
    driver.send(1, bytes(3000))
    sent = until_half_is_there(driver, phone, line)
    phone.modem.shore_gone()
    heard = run(driver, phone, line, 300.0)
    assert any(isinstance(event, Failed) and "cut" in event.reason for event in heard)
    assert phone.got == [(1, bytes(3000))]
    assert line.sent_bytes[0] - sent < 3000


def test_a_call_that_goes_dead_is_hung_up_and_made_again():
    driver, phone, line = both()
    driver.send(1, bytes(3000))
    until_half_is_there(driver, phone, line)
    phone.modem._die()
    heard = run(driver, phone, line, 600.0)
    assert [event.reason for event in heard if isinstance(event, Failed)] == ["shore does not answer"]
    assert not any(isinstance(event, CyclePower) for event in heard), "the modem itself did nothing wrong"
    assert phone.got == [(1, bytes(3000))]
    assert phone.calls == 2


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_shore_says_together_with_the_connection_is_heard(size):
    driver, shore, now = RudicsDriver("1", 7), Peer(Role.HOST, 8), 0.0
    driver.send(1, b"a")
    said = driver.receive(b"", now) or driver.to_send(100)
    assert said == b"AT\r"
    driver.receive(b"\r\nOK\r\n", now)
    driver.receive(b"\r\nOK\r\n", now)
    assert driver.to_send(100).endswith(b"ATDT1\r")
    words = b"\r\nCONNECT 9600\r\n" + b"noise" * 100 + shore.to_send(1000)
    for at in range(0, len(words), size):
        driver.receive(words[at : at + size], now)
    assert driver.step is Step.CALL
    assert driver._link.peer is not None
    assert driver._link.peer.boot_id == 8


def test_words_of_the_modem_within_an_order_end_no_call():
    driver, phone, line = both()
    phone.shore.send(LinkObject(Kind.COMMAND, 9, b"a NO CARRIER b"))
    driver.check_mailbox()
    heard = run(driver, phone, line, 120.0)
    assert [event.data for event in heard if isinstance(event, Received)] == [b"a NO CARRIER b"]
    assert phone.calls == 1


def test_the_radio_has_a_budget_and_a_mute_modem_is_cycled():
    driver, phone, line = both()
    driver.renew(10.0)
    driver.send(1, bytes(30_000))
    heard = run(driver, phone, line, 600.0)
    assert any(isinstance(event, Spent) for event in heard)
    assert driver.is_idle
    assert not phone.modem.is_in_call
    phone.modem.mode = Mode.DEAF
    driver.renew(1000.0)
    assert any(isinstance(event, CyclePower) for event in run(driver, phone, line, 60.0))
    assert phone.modem.mode is not Mode.DEAF


def test_the_outbox_sends_by_calls_as_by_sessions(tmp_path):
    driver, phone, line = both(call_s=30.0)
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


# --- the emulator


class Port:
    """A person at the emulated modem."""

    def __init__(self, **sky):
        self.modem, self.now, self.events = RudicsModem(Sky(**FAST | sky)), 0.0, []

    def hear(self, data=b"", wait=0.0):
        self.now += wait
        self.events += self.modem.receive(data, self.now)
        return self.modem.to_send(100_000)

    def until_call(self):
        assert self.hear(b"ATE0\r") == b"ATE0\r\r\nOK\r\n"
        assert self.hear(b"ATDT0088160000500\r") == b""
        assert self.hear(wait=3.0) == b""
        assert self.events == [Dialled("0088160000500")]
        self.modem.connected()
        assert self.hear() == b"\r\nCONNECT 9600\r\n"
        self.events.clear()


def test_bytes_of_a_call_are_late_and_slow_both_ways():
    port = Port(call_bytes_s=240.0)
    port.until_call()
    assert port.hear(b"x" * 480) == b""
    port.hear(wait=0.3)
    assert port.events == []
    port.hear(wait=1.0)
    assert sum(len(event.data) for event in port.events) == pytest.approx(240, abs=24)
    port.hear(wait=1.1)
    assert b"".join(event.data for event in port.events) == b"x" * 480
    port.modem.from_shore(b"y" * 48)
    assert port.hear(wait=0.45) == b"y" * 24
    assert port.hear(wait=0.1) == b"y" * 24
    port.modem.from_shore(bytes(3 * MAX_FLYING_BYTES))
    assert len(port.hear(wait=1000.0)) == MAX_FLYING_BYTES


def test_pluses_between_silences_leave_a_call_and_ath_ends_it():
    port = Port()
    port.until_call()
    assert port.hear(b"+++", wait=0.5) == b"", "no silence before"
    assert port.hear(wait=2.0) == b""
    assert port.hear(b"+++", wait=1.5) == b""
    assert port.hear(b"x", wait=0.5) == b"", "no silence after"
    assert port.hear(wait=2.0) == b""
    port.hear(b"x")
    assert port.hear(b"+++", wait=0.9) == b""
    assert port.hear(wait=2.0) == b"", "too short a silence before"
    assert port.hear(b"+", wait=1.0) == b""
    assert port.hear(b"++", wait=0.5) == b""
    assert port.hear(wait=1.0) == b"\r\nOK\r\n"
    assert port.modem.mode is Mode.ESCAPED
    assert port.hear(b"ATO\r") == b"\r\nCONNECT 9600\r\n"
    port.hear(b"+++", wait=1.5)
    assert port.hear(b"ATH\r", wait=1.5) == b"\r\nOK\r\n" * 2
    assert port.events[-1] == HungUp()
    assert not port.modem.is_in_call
    assert port.hear(b"ATO\r") == b"\r\nERROR\r\n"


@pytest.mark.parametrize("chance", ["fail", "weak"])
def test_a_call_that_is_not_taken_is_told(chance):
    port = Port(**{chance: 1.0})
    port.hear(b"ATE0\rATD1\r")
    assert port.hear(wait=3.0).strip() in (b"NO CARRIER", b"BUSY", b"NO ANSWER")
    assert port.events == []


def test_a_call_that_nobody_answers_is_ended_by_any_byte():
    port = Port(mute=1.0)
    port.hear(b"ATE0\rATDT1\r")
    assert port.hear(wait=600.0) == b""
    assert port.hear(b"A") == b"\r\nNO CARRIER\r\n"
    assert port.hear(b"AT\r") == b"\r\nOK\r\n"


def test_a_deaf_modem_wants_power_and_a_call_ends_with_it():
    port = Port(hang=1.0)
    port.hear(b"ATDT1\r")
    assert port.hear(b"AT\r", wait=600.0) == b""
    port.modem.power(700.0)
    assert port.hear(b"AT\r", wait=101.0) == b"AT\r\r\nOK\r\n"
    port = Port()
    port.until_call()
    port.modem.power(10.0)
    port.hear(wait=10.0)
    assert port.events == [HungUp()]


def test_what_shore_does_is_told_to_the_port():
    port = Port()
    port.until_call()
    port.modem.shore_gone()
    assert port.hear() == b"\r\nNO CARRIER\r\n"
    port.hear(b"ATDT1\r")
    port.hear(wait=3.0)
    port.modem.refused()
    assert port.hear() == b"\r\nNO CARRIER\r\n"
    port.hear(b"ATDT1\r")
    port.hear(wait=3.0)
    port.hear(b"x")
    port.events.clear()
    port.modem.connected()
    port.hear()
    assert port.events == [HungUp()], "shore answered when nobody called any more"


def test_calls_are_cut_from_the_seed():
    port = Port(call_s=20.0)
    port.until_call()
    assert port.hear(wait=600.0) == b"\r\nNO CARRIER\r\n"
    assert port.events == [HungUp()]


@pytest.mark.parametrize("words", [b"ATDT\r", b"ATDTabc\r", b"hello\r", b"AT+SBDIX\r", b"A" * 500 + b"\r"])
def test_what_it_does_not_know_is_an_error(words):
    port = Port()
    port.hear(b"ATE0\r")
    assert port.hear(words) == b"\r\nERROR\r\n"


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(WORDS | st.sampled_from([b"ATDT1\r", b"+++", b"ATH\r"]), st.floats(0, 5)), max_size=30)
)
def test_hostile_bytes_never_raise_in_the_emulator_either(chunks):
    port = Port()
    for data, wait in chunks:
        assert len(port.hear(data, wait)) < 10_000
        if port.events and isinstance(port.events.pop(), Dialled):
            port.modem.connected()
        port.modem.from_shore(data)
    assert len(port.modem._line) <= 128
