"""The SBD driver: its words to the byte, every status, damage, silence, power cuts; and with the emulator."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge.links import ModemLink
from edge.outbox import Outbox
from firmware_bridge.errors import MisuseError
from firmware_bridge.iridium.at import Block, Tokens, checksum
from firmware_bridge.iridium.clock import ERA_STARTS_MS, ticks_of, utc_ms_of
from firmware_bridge.iridium.emulator import Gateway, SbdModem, Session, Sky
from firmware_bridge.iridium.radio import MUTE_AFTER
from firmware_bridge.iridium.sbd import SbdDriver
from firmware_bridge.iridium.sbd_buffers import MAX_BAD_READS
from firmware_bridge.iridium.sbd_words import (
    SESSION_ANSWER_S,
    SESSION_S,
    Attempt,
    CyclePower,
    Damaged,
    Failed,
    Held,
    Mailbox,
    NetworkTime,
    Rang,
    Received,
    Sent,
    Spent,
    Step,
)
from firmware_bridge.iridium.statuses import ALARM_S, LONG_S, REGISTRATION_S, STATUSES, Action, status_of
from firmware_bridge.null_modem import Faults, NullModem

pytestmark = pytest.mark.board

GROWN = b"\r\n+SBDS: 1, 8, 0, -1\r\n\r\nOK\r\n"
"""After a session with number 7 that has completed."""
FAST = Sky(session_s=(1.0, 2.0), signal_s=(1.0, 2.0))


class Talk:
    """A driver and a script in the modem's place."""

    def __init__(self, **options):
        self.driver = SbdDriver(**options)
        self.now = 0.0
        self.events = []

    def hear(self, data=b"", wait=0.01):
        self.now += wait
        self.events += self.driver.receive(data, self.now)
        return self.driver.to_send(10_000)

    def until_idle(self, momsn=7, mo=0, mt=0):
        assert self.hear(wait=10.0) == b"AT\r"
        assert self.hear(b"AT\r\r\nOK\r\n") == b"ATE0\r"  # it still echoes
        assert self.hear(b"\r\nOK\r\n") == b"AT&D0\r"
        assert self.hear(b"\r\nOK\r\n") == b"AT&K0\r"
        assert self.hear(b"\r\nOK\r\n") == b"AT+SBDMTA=1\r"
        assert self.hear(b"\r\nOK\r\n") == b"AT+SBDST=90\r"
        assert self.hear(b"\r\nERROR\r\n") == b"AT-MSSTM\r", "a modem without it works as well"
        assert self.hear(b"\r\n-MSSTM: no network service\r\n\r\nOK\r\n") == b"AT+SBDS\r"
        return self.hear(b"\r\n+SBDS: %d, %d, %d, -1\r\n\r\nOK\r\n" % (mo, momsn, mt))

    def until_session(self, data=b"hello"):
        self.driver.send(1, data)
        assert self.until_idle() == b"AT+CSQ\r"
        assert self.hear(b"\r\n+CSQ:4\r\n\r\nOK\r\n") == b""
        assert self.events[-1] == Attempt(1, 7)
        assert self.hear(wait=50.0) == b"", "not before it is written down"
        self.driver.recorded()
        assert self.hear() == b"AT+SBDWB=%d\r" % len(data)
        assert self.hear(b"\r\nREADY\r\n") == data + checksum(data)
        assert self.hear(b"\r\n0\r\n") == b"", "not before its OK"
        assert self.hear(b"\r\nOK\r\n") == b"AT+SBDIX\r"


def test_a_message_word_by_word():
    talk = Talk()
    talk.until_session()
    assert talk.hear(b"\r\n+SBDIX: 0, 7, 0, -1, 0, 0\r\n") == b""
    assert talk.hear(b"\r\nOK\r\n") == b"AT+SBDS\r", "the line has no checksum: the modem's number decides"
    assert not any(isinstance(event, Sent) for event in talk.events)
    assert talk.hear(GROWN) == b"AT+SBDD0\r"
    assert talk.events[-1] == Sent(1, 7)
    assert talk.hear(b"\r\n0\r\n\r\nOK\r\n") == b""
    assert talk.driver.step is Step.IDLE
    assert talk.driver.is_free


def test_a_message_is_written_again_when_the_modem_refuses_the_session():
    talk = Talk()
    talk.until_session()
    assert talk.hear(b"\r\nERROR\r\n") == b""
    assert talk.hear(wait=talk.events[-1].again_s - talk.now + 0.1) == b"AT+CSQ\r"
    talk.hear(b"\r\n+CSQ:5\r\n\r\nOK\r\n")
    talk.driver.recorded()
    assert talk.hear() == b"AT+SBDWB=5\r"


@pytest.mark.parametrize("status", [b"3", b"2"])
def test_a_failure_that_lost_a_character_is_no_success(status):
    talk = Talk()
    talk.until_session()
    assert talk.hear(b"\r\n+SBDIX: %b, 7, 2, -1, 0, 0\r\n\r\nOK\r\n" % status) == b"AT+SBDS\r", "it was 32"
    assert talk.hear(b"\r\n+SBDS: 1, 7, 0, -1\r\n\r\nOK\r\n") == b""
    assert not any(isinstance(event, Sent) for event in talk.events)
    failed = talk.events[-1]
    assert isinstance(failed, Failed)
    assert "denies" in failed.reason
    assert talk.hear(wait=failed.again_s - talk.now + 0.1) == b"AT+CSQ\r"


def test_the_checksum_of_hello_is_the_manuals():
    assert checksum(b"hello") == bytes.fromhex("0214")
    assert checksum(b"\xff" * 340) == (255 * 340 & 0xFFFF).to_bytes(2, "big")


@pytest.mark.parametrize("length", [1, 10, 13, 270])
@pytest.mark.parametrize("fill", [b"\r", b"\n", b"OK\r\n", b"SBDRING\r\n"])
def test_a_message_from_shore_may_hold_any_bytes(length, fill):
    data = (fill * length)[:length]
    talk = Talk()
    talk.until_session()
    talk.hear(b"\r\n+SBDIX: 0, 7, 1, 55, %d, 2\r\n" % length)
    assert talk.hear(b"\r\nOK\r\n") == b"AT+SBDRB\r"
    block = length.to_bytes(2, "big") + data + checksum(data)
    talk.hear(block[:3])
    talk.hear(block[3:] + b"\r\nOK\r\n")
    assert talk.events[-1] == Received(data, 55, 2)


def test_a_damaged_message_from_shore_is_read_again_and_not_taken():
    talk = Talk()
    talk.until_session()
    assert talk.hear(b"\r\n+SBDIX: 0, 7, 1, 55, 3, 0\r\n\r\nOK\r\n") == b"AT+SBDRB\r"
    assert talk.hear(b"\x00\x03abc\x00\x00\r\nOK\r\n") == b"AT+SBDRB\r"
    talk.hear(b"\x00\x03abc" + checksum(b"abc") + b"\r\nOK\r\n")
    assert [e for e in talk.events if isinstance(e, Received)] == [Received(b"abc", 55, 0)]


def test_a_message_from_shore_that_stays_damaged_is_told_and_read_no_more():
    talk = Talk()
    talk.until_session()
    assert talk.hear(b"\r\n+SBDIX: 0, 7, 1, 55, 3, 1\r\n\r\nOK\r\n") == b"AT+SBDRB\r"
    bad = b"\x00\x03abc\x00\x00\r\nOK\r\n"
    for _ in range(MAX_BAD_READS):
        assert talk.hear(bad) == b"AT+SBDRB\r"
        assert not any(isinstance(event, Damaged) for event in talk.events)
    assert talk.hear(bad) == b"AT+SBDS\r"
    assert talk.events[-1] == Damaged(55)
    assert talk.hear(b"\r\n+SBDS: 1, 8, 1, 55\r\n\r\nOK\r\n") == b"AT+SBDD0\r", "what was lost is not unread"
    assert talk.hear(b"\r\n0\r\n\r\nOK\r\n") == b"AT+CSQ\r", "another waits at the gateway"


def test_what_came_damaged_is_a_sentence_for_a_person(tmp_path):
    class Line:
        def carry(self, wait_s):
            return [Damaged(55)]

        def close(self):
            pass

    said = []
    with Outbox(tmp_path / "outbox.sqlite") as box:
        link = ModemLink(box, SbdDriver(), Line(), lambda: 0, lambda data: None, say=said.append)
        link.poll(0.0)
    assert said == ["ALARM: a message from shore (MTMSN 55) came damaged: it must be sent again"]
    assert link.counts.damaged == 1


@pytest.mark.parametrize("at", range(0, 27, 2))
def test_a_ring_may_stand_anywhere_in_an_answer(at):
    talk = Talk()
    talk.until_session()
    line = b"+SBDIX: 0, 7, 0, -1, 0, 0"
    talk.hear(b"\r\n" + line[:at] + b"\r\nSBDRING\r\n" + line[at:] + b"\r\n")
    assert Rang() in talk.events
    assert talk.hear(b"\r\nOK\r\n") == b"AT+SBDS\r"
    # The ring asks for a check; what the buffer holds is cleared first, or it would be sent and billed again.
    assert talk.hear(GROWN) == b"AT+SBDD0\r"
    assert Sent(1, 7) in talk.events
    assert talk.hear(b"\r\n0\r\n\r\nOK\r\n") == b"", "the answer said that nothing is queued"


@pytest.mark.parametrize("code", range(0, 40))
def test_every_status_has_its_action(code):
    talk = Talk()
    talk.until_session()
    sent = talk.hear(b"\r\n+SBDIX: %d, 7, 2, -1, 0, 0\r\n\r\nOK\r\n" % code)
    action = status_of(code).action
    if action is Action.SENT:
        assert sent == b"AT+SBDS\r"
        assert talk.hear(GROWN) == b"AT+SBDD0\r"
        assert talk.events[-1] == Sent(1, 7)
        return
    if action is Action.HOLD:
        assert isinstance(talk.events[-1], Held)
        assert talk.events[-1].code == code
        assert sent == b"AT+SBDD0\r"
        return
    failed = talk.events[-1]
    assert isinstance(failed, Failed)
    wait = failed.again_s - talk.now
    low, high = {
        Action.RETRY: (20, 40), Action.SAME_AGAIN: (20, 40), Action.WAIT_LONG: (LONG_S, LONG_S),
        Action.WAIT_REGISTRATION: (REGISTRATION_S, REGISTRATION_S), Action.ALARM: (ALARM_S, ALARM_S),
    }[action]  # fmt: skip
    assert low <= round(wait, 6) <= high
    assert failed.alarm is (action is Action.ALARM)
    assert talk.hear(wait=wait - 0.1) == b""
    assert talk.hear(wait=0.2) == b"AT+CSQ\r"
    talk.hear(b"\r\n+CSQ:5\r\n\r\nOK\r\n")
    talk.driver.recorded()
    assert talk.hear() == b"AT+SBDIX\r", "the buffer holds it still: it is not written again"


def test_the_table_of_statuses_is_the_manuals():
    codes = {action: {code for code, row in STATUSES.items() if row.action is action} for action in Action}
    assert codes[Action.SENT] == {0, 1, 2, 3, 4}
    assert codes[Action.SAME_AGAIN] == {10, 13, 17, 18, 19}
    assert codes[Action.HOLD] == {12, 14, 15, 16}
    assert codes[Action.ALARM] == {33, 34}
    assert status_of(9).action is status_of(31).action is status_of(99).action is Action.SAME_AGAIN


@pytest.mark.parametrize(("answer", "ok"), [(b"1", b""), (b"2", b"\r\nOK\r\n"), (b"3", b"\r\nOK\r\n")])
def test_a_write_that_fails_is_tried_again_and_only_result_1_has_no_ok(answer, ok):
    talk = Talk()
    talk.driver.send(1, b"hello")
    talk.until_idle()
    talk.hear(b"\r\n+CSQ:4\r\n\r\nOK\r\n")
    talk.driver.recorded()
    talk.hear()
    talk.hear(b"\r\nREADY\r\n")
    talk.hear(b"\r\n" + answer + b"\r\n" + ok)
    assert isinstance(talk.events[-1], Failed)
    assert talk.driver.step is Step.REST


def test_no_session_is_begun_under_a_weak_sky():
    talk = Talk()
    talk.driver.send(1, b"hello")
    talk.until_idle()
    assert talk.hear(b"\r\n+CSQ:1\r\n\r\nOK\r\n") == b""
    assert talk.driver.step is Step.REST
    assert talk.hear(wait=16.0) == b"AT+CSQ\r"


@pytest.mark.parametrize(("momsn", "again"), [(7, True), (8, False), (9, True)])
def test_after_a_power_cut_the_modems_number_says_whether_it_was_sent(momsn, again):
    talk = Talk()
    talk.driver.send(1, b"hello", tried=7)
    sent = talk.until_idle(momsn=momsn)
    assert (Sent(1, 7) in talk.events) is not again
    assert sent == (b"AT+CSQ\r" if again else b"")


def test_a_session_without_an_answer_is_looked_up_and_not_repeated():
    talk = Talk()
    talk.until_session()
    assert talk.hear(wait=121.0) == b"AT\r"
    for _ in range(6):
        sent = talk.hear(b"\r\nOK\r\n")
    assert sent == b"AT-MSSTM\r"
    assert talk.hear(b"\r\nOK\r\n") == b"AT+SBDS\r"
    talk.hear(b"\r\n+SBDS: 1, 8, 1, 4\r\n\r\nOK\r\n")
    assert Sent(1, 7) in talk.events or talk.driver.step is Step.READ
    # The message from shore that came in that session is read as well.
    talk.hear(b"\x00\x01x" + checksum(b"x") + b"\r\nOK\r\n")
    assert Received(b"x", 4, 0) in talk.events
    assert Sent(1, 7) in talk.events


def test_a_session_without_an_answer_has_failed_only_when_the_modem_says_so():
    talk = Talk()
    talk.until_session()
    assert talk.hear(wait=121.0) == b"AT\r"
    for _ in range(6):
        talk.hear(b"\r\nOK\r\n")
    assert talk.hear(b"\r\nOK\r\n") == b"AT+SBDS\r"
    assert not any(isinstance(event, Failed) for event in talk.events), "the attempt's number is needed still"
    assert talk.hear(b"\r\n+SBDS: 1, 7, 0, -1\r\n\r\nOK\r\n") == b""
    failed = talk.events[-1]
    assert isinstance(failed, Failed)
    assert 20 <= round(failed.again_s - talk.now, 6) <= 40
    assert talk.hear(wait=41.0) == b"AT+CSQ\r"


def test_a_ring_is_answered_by_its_own_command_until_a_session_completes():
    talk = Talk()
    talk.until_idle()
    signal = b"\r\n+CSQ:4\r\n\r\nOK\r\n"
    assert talk.hear(b"\r\nSBDRING\r\n") == b"AT+CSQ\r"
    assert talk.hear(signal) == b"AT+SBDIXA\r"
    assert talk.hear(b"\r\n+SBDIX: 32, 7, 0, -1, 0, 0\r\n\r\nOK\r\n") == b""
    assert talk.hear(wait=41.0) == b"AT+CSQ\r"
    assert talk.hear(signal) == b"AT+SBDIXA\r"
    talk.hear(b"\r\n+SBDIX: 0, 7, 0, -1, 0, 0\r\n\r\nOK\r\n")
    assert talk.events[-1] == Mailbox(False)
    talk.driver.check_mailbox()
    assert talk.hear() == b"AT+CSQ\r"
    assert talk.hear(signal) == b"AT+SBDIX\r"


@pytest.mark.parametrize("refused", [b"AT\r", b"AT+SBDS\r", b"AT+SBDD0\r"])
@pytest.mark.parametrize("answer", [b"\r\nERROR\r\n", b"\r\nOK\r\n"])
def test_a_modem_that_refuses_is_not_asked_without_a_pause(refused, answer):
    talk = Talk()
    talk.driver.check_mailbox()
    asked, said = 0, b""
    for _ in range(6000):
        command = talk.hear(said)
        asked += bool(command)
        said = b""
        if command == refused:
            said = answer
        elif command == b"AT+SBDS\r":
            said = b"\r\n+SBDS: 1, 7, 0, -1\r\n\r\nOK\r\n"
        elif command == b"AT+SBDIX\r":
            said = b"\r\n+SBDIX: 0, 7, 0, -1, 0, 0\r\n\r\nOK\r\n"
        elif command:
            said = b"\r\n+CSQ:5\r\n\r\nOK\r\n" if command == b"AT+CSQ\r" else b"\r\nOK\r\n"
    assert 3 <= asked <= 20, "in a minute"


def test_a_mute_modem_is_cycled():
    talk = Talk()
    talk.driver.send(1, b"hello")
    for _ in range(200):
        talk.hear(wait=1.0)
        if any(isinstance(event, CyclePower) for event in talk.events):
            break
    assert talk.now < 10 + 5 * MUTE_AFTER
    talk.driver.powered()
    assert talk.hear(wait=6.0) == b"AT\r"


def test_the_radio_has_a_budget():
    talk = Talk(radio_s=30.0)
    talk.until_session()
    assert talk.hear(b"\r\n+SBDIX: 32, 7, 0, -1, 0, 0\r\n\r\nOK\r\n", wait=40.0) == b""
    assert talk.hear(wait=50.0) == b""
    assert talk.events[-1] == Spent()
    assert talk.hear(wait=4000.0) == b""
    talk.driver.renew()
    assert talk.hear() == b"AT+CSQ\r"


def test_a_mailbox_check_clears_what_would_be_sent_again():
    talk = Talk()
    talk.driver.check_mailbox()
    talk.driver.check_mailbox()
    assert talk.until_idle(mo=1) == b"AT+SBDD0\r"
    assert talk.hear(b"\r\n0\r\n\r\nOK\r\n") == b"AT+CSQ\r"
    assert talk.hear(b"\r\n+CSQ:3\r\n\r\nOK\r\n") == b"AT+SBDIX\r"
    talk.hear(b"\r\n+SBDIX: 0, 7, 0, -1, 0, 0\r\n\r\nOK\r\n")
    assert talk.events[-1] == Mailbox(False)


@pytest.mark.parametrize("data", [b"", b"x" * 341, b"RBxx"])
def test_what_cannot_be_sent_is_misuse(data):
    with pytest.raises(MisuseError, match="can be sent"):
        SbdDriver().send(1, data)


def test_one_message_at_a_time_and_no_attempt_unasked():
    driver = SbdDriver()
    driver.send(1, b"a")
    with pytest.raises(MisuseError, match="on its way"):
        driver.send(2, b"b")
    with pytest.raises(MisuseError, match="no attempt"):
        driver.recorded()


# --- the emulator


CLEAN = Faults()


def sky_and_driver(sky=FAST, faults=CLEAN, seed=1):
    driver, modem = SbdDriver(jitter=random.Random(seed).random), SbdModem(sky, seed=seed, gateway=Gateway())
    return driver, modem, NullModem((driver, modem), baud=19_200, faults=(faults, faults), seed=seed)


def run(line, driver, modem, seconds):
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


def test_driver_and_modem_together():
    driver, modem, line = sky_and_driver()
    modem.gateway.to_float.extend([b"first", b"second"])
    driver.send(1, b"hello")
    heard = run(line, driver, modem, 120.0)
    assert [e.data for e in heard if isinstance(e, Session)] == [b"hello", None]
    assert [e.data for e in heard if isinstance(e, Received)] == [b"first", b"second"]
    assert [e for e in heard if isinstance(e, Sent)] == [Sent(1, 0)]
    assert any(isinstance(e, NetworkTime) for e in heard)


def test_the_modem_sends_again_what_was_not_cleared_and_forgets_on_power():
    modem = SbdModem(FAST)

    def ask(words, now):
        sessions = [*modem.receive(words, now), *modem.receive(b"", now + 30.0)]
        return modem.to_send(10_000), sessions

    assert ask(b"ATE0\r", 1.0)[0] == b"ATE0\r\r\nOK\r\n"
    assert ask(b"AT+SBDWB=5\r", 40.0)[0] == b"\r\nREADY\r\n"
    assert ask(b"hello\x02\x14", 80.0)[0] == b"\r\n0\r\n\r\nOK\r\n"
    assert [s.data for s in ask(b"AT+SBDIX\r", 120.0)[1]] == [b"hello"]
    assert [s.data for s in ask(b"AT+SBDIX\r", 160.0)[1]] == [b"hello"], "sending does not clear it"
    assert ask(b"AT+SBDD0\r", 200.0)[0] == b"\r\n0\r\n\r\nOK\r\n"
    assert [s.data for s in ask(b"AT+SBDIX\r", 240.0)[1]] == [None]
    assert ask(b"AT+SBDRB\r", 280.0)[0] == bytes(4) + b"\r\nOK\r\n"
    assert ask(b"AT+SBDWB=5\r", 320.0)[0] == b"\r\nREADY\r\n"
    assert ask(b"hello\x02\x15", 360.0)[0] == b"\r\n2\r\n\r\nOK\r\n"
    assert ask(b"AT+SBDWB=341\r", 400.0)[0] == b"\r\n3\r\n\r\nOK\r\n"
    assert ask(b"AT+SBDWB=5\r", 440.0)[0] == b"\r\nREADY\r\n"
    assert modem.receive(b"he", 480.0) == []
    modem.receive(b"", 501.0)
    assert modem.to_send(100) == b"\r\n1\r\n", "no OK follows"
    assert modem.gateway.momsn == 3
    modem.power(600.0)
    assert ask(b"AT+SBDS\r", 601.0)[0].endswith(b"+SBDS: 0, 3, 0, 0\r\n\r\nOK\r\n")


@pytest.mark.parametrize("words", [
    b"AT+SBDIX", b"AT+SBDIXA", b"at+sbdixa", b"AT+SBDIX=5212.483,-00007.350",
    b"AT+SBDIXA=+8959.999,17959.999",
])  # fmt: skip
def test_the_forms_of_a_session_that_a_modem_takes(words):
    modem = SbdModem(FAST)
    modem.receive(b"ATE0\r" + words + b"\r", 1.0)
    modem.receive(b"", 100.0)
    assert modem.to_send(1000).endswith(b"\r\n+SBDIX: 0, 0, 0, -1, 0, 0\r\n\r\nOK\r\n")


@pytest.mark.parametrize("words", [
    b"AT+SBDIXB", b"AT+SBDIXAA", b"AT+SBDIX=", b"AT+SBDIXA=1", b"AT+SBDIX=9012.483,00007.350",
    b"AT+SBDIX=5212.483,18007.350", b"AT+SBDIX=5260.000,00000.000", b"AT+SBDIX=5212.483,00007.350,1",
    b"AT+SBDIX A", b"AT+SBDRB=1", b"AT+SBDS=1", b"AT+CSQ=1", b"AT+SBDMTA", b"AT+SBDMTA=2", b"AT+SBDST=x",
    b"AT=1", b"SBDIX",
])  # fmt: skip
def test_the_forms_that_a_modem_refuses(words):
    modem = SbdModem(FAST)
    modem.receive(b"ATE0\r", 1.0)
    modem.to_send(1000)
    modem.receive(words + b"\r", 2.0)
    modem.receive(b"", 100.0)
    assert modem.to_send(1000) == b"\r\nERROR\r\n"
    assert modem.gateway.begun == 0


def test_a_session_is_ended_by_the_modem_before_the_driver_gives_it_up():
    driver, modem, line = sky_and_driver(Sky(session_s=(100.0, 110.0), signal_s=(1.0, 2.0)))
    driver.send(1, b"hello")
    heard = run(line, driver, modem, 150.0)
    failed = [event for event in heard if isinstance(event, Failed)]
    assert ["session timeout" in event.reason for event in failed] == [True]
    assert not any(isinstance(event, Session | CyclePower) for event in heard)
    assert SESSION_S < SESSION_ANSWER_S


@settings(deadline=None, max_examples=25)
@example(76, Sky(fail=0.25), Faults(flip=0.0005925217721574555, lose=0.0008642372166483014, noise=0.01171875))
@given(
    st.integers(0, 10_000),
    st.builds(
        Sky, fail=st.floats(0, 0.4), hidden=st.floats(0, 0.2), mute=st.floats(0, 0.2), hang=st.floats(0, 0.1),
        weak=st.floats(0, 0.5), ring_within=st.floats(0, 1),
    ),
    st.builds(Faults, flip=st.floats(0, 1e-3), lose=st.floats(0, 1e-3), noise=st.floats(0, 0.02)),
)  # fmt: skip
def test_every_message_arrives_whatever_sky_and_line_do(seed, sky, faults):
    driver, modem, line = sky_and_driver(sky, faults, seed)
    sent, arrived = [], []
    for number in range(4):
        data = random.Random(number).randbytes(30 + 50 * number)  # zeros would have a sum however many
        driver.send(number, data)
        for _ in range(100):
            heard = run(line, driver, modem, 600.0)
            arrived += [e.data for e in heard if isinstance(e, Session)]
            sent += [e.message_id for e in heard if isinstance(e, Sent)]
            if driver.is_free:
                break
        assert number in sent
        # Two bits that turn against each other leave the modem's sum as it was: shore's own CRC finds that.
        assert (len(data), checksum(data)) in {(len(one), checksum(one)) for one in arrived if one}
    assert sent == [0, 1, 2, 3]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.binary(max_size=400), st.floats(0, 200)), max_size=20))
def test_hostile_bytes_never_raise_and_nothing_grows(chunks):
    driver, modem = SbdDriver(), SbdModem(FAST)
    driver.send(1, b"x" * 340)
    driver.check_mailbox()
    now = 0.0
    for data, wait in chunks:
        now += wait
        for peer in (driver, modem):
            for event in peer.receive(data, now):
                if isinstance(event, Attempt):
                    driver.recorded()
                if isinstance(event, CyclePower):
                    driver.powered()
        assert len(driver.to_send(100_000)) < 5_000
        assert len(modem.to_send(1_000_000)) < 10_000
    assert len(driver._tokens._held) <= 2400
    assert len(modem._line) <= 128


LINES = [b"\r\nOK\r\n", b"\r\nSBDRING\r\n", b"\r\n+CSQ:3\r\n", b"\r\n0\r\n", b"x" * 300 + b"\r\n"]


@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_lines_cut_otherwise_are_the_same_and_noise_is_none(parts):
    data = b"".join(parts)
    whole, one = Tokens().feed(data), Tokens()
    assert [token for i in range(len(data)) for token in one.feed(data[i : i + 1])] == whole
    assert len(whole) == sum(len(part) < 300 for part in parts)
    assert not any(isinstance(token, Block) for token in whole)


# --- the clock


def test_network_time_of_both_eras():
    assert ticks_of(b"-MSSTM: a0f1") == 0xA0F1
    assert ticks_of(b"-MSSTM: no network service") is None
    ticks = 1_000_000
    third = ERA_STARTS_MS[1] + 90 * ticks
    second = ERA_STARTS_MS[0] + 90 * ticks
    assert utc_ms_of(ticks) == utc_ms_of(ticks, 946_684_800_000) == third
    assert utc_ms_of(ticks, third + 86_400_000) == third
    assert utc_ms_of(ticks, second - 3_600_000) == second
    assert utc_ms_of(ticks, third + 5 * 365 * 86_400_000) is None, "no era agrees with a clock that is set"
