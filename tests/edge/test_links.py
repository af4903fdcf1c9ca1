"""Outbox, link and driver against the emulated modem: at least once, counted once, nothing billed twice."""

from __future__ import annotations

import random

import pytest

from edge.errors import DiveLogError
from edge.links import ModemLink
from edge.outbox import Outbox
from firmware_bridge.iridium.emulator import Gateway, SbdModem, Sky
from firmware_bridge.iridium.sbd import SbdDriver
from firmware_bridge.null_modem import NullModem, SimulatedLine
from tools.bridge_bench import sbd as bench

pytestmark = pytest.mark.board
FAST = Sky(session_s=(1.0, 2.0), signal_s=(1.0, 2.0))


class World:
    def __init__(self, folder, sky=FAST, gateway=None, seed=1):
        self.outbox = Outbox(folder / "outbox.sqlite")
        self.gateway, self.sessions, self.said, self.commands = gateway or Gateway(), [], [], []
        self.driver, self.modem = (
            SbdDriver(jitter=random.Random(seed).random),
            SbdModem(sky, seed=seed, gateway=self.gateway),
        )
        self.line = NullModem((self.driver, self.modem), baud=19_200)
        self.link = ModemLink(
            self.outbox, self.driver, SimulatedLine(self.line, 0, self.sessions.append),
            lambda: round(1000 * self.line.now_s), self.commands.append, say=self.said.append,
            cycle_power=lambda: self.modem.power(self.line.now_s),
        )  # fmt: skip

    def run(self, seconds):
        until = self.line.now_s + seconds
        while self.line.now_s < until:
            self.link.poll(until - self.line.now_s)
        return self


def test_what_waits_is_sent_in_order_and_mail_is_taken(tmp_path):
    world = World(tmp_path)
    world.outbox.put(1, [b"a" * 100, b"b" * 340], 0)
    world.gateway.to_float.append(b"order")
    world.run(100)
    assert not world.sessions, "nothing before the surface is reached"
    world.link.open(600.0)
    world.run(200)
    assert [session.data for session in world.sessions] == [b"a" * 100, b"b" * 340]
    assert world.commands == [b"order"]
    assert world.outbox.waiting() == []
    assert world.link.is_idle
    assert world.link.counts.attempts == world.link.counts.delivered == 2


def test_nothing_is_begun_after_the_surface_is_left(tmp_path):
    world = World(tmp_path)
    world.link.open(600.0)
    world.run(60)
    world.link.close()
    world.outbox.put(1, [b"a"], 0)
    sessions = len(world.sessions)
    world.run(300)
    assert len(world.sessions) == sessions


def test_a_message_too_long_for_the_modem_is_told_and_holds_up_no_other(tmp_path):
    world = World(tmp_path)
    world.outbox.put(1, [b"a" * 341, b"b"], 0)
    world.link.open(600.0)
    world.run(100)
    assert [session.data for session in world.sessions if session.data] == [b"b"]
    assert any("waits for another link" in sentence for sentence in world.said)
    assert [message.part for message in world.outbox.waiting()] == [0]


@pytest.mark.parametrize(("code", "sessions"), [(12, 2), (15, 1)])
def test_a_held_message_is_kept_and_no_access_stops_all(tmp_path, code, sessions):
    world = World(tmp_path, Sky(fail=1.0, failures=(code,), session_s=(1.0, 2.0), signal_s=(1.0, 2.0)))
    world.outbox.put(1, [b"a", b"b"], 0)
    world.link.open(10_000.0)
    world.run(1000)
    assert sum("ALARM" in sentence for sentence in world.said) == sessions
    assert len(world.outbox.waiting()) == 2


def test_an_attempt_that_cannot_be_written_down_is_not_made(tmp_path, monkeypatch):
    world = World(tmp_path)
    world.outbox.put(1, [b"a"], 0)
    refuses = True

    def attempted(dive, part, tried=None, write=world.outbox.attempted):
        if refuses:
            raise DiveLogError("cannot be written", file="outbox", remedy="free the disk")
        write(dive, part, tried)

    monkeypatch.setattr(world.outbox, "attempted", attempted)
    world.link.open(600.0)
    world.run(100)
    assert not world.sessions
    assert sum("waits for the disk" in sentence for sentence in world.said) == 1
    refuses = False
    world.run(100)
    assert [session.data for session in world.sessions if session.data] == [b"a"]


def test_power_that_goes_between_session_and_result_costs_no_second_session(tmp_path):
    """The board alone is cut: its modem's number tells that the session had completed."""
    gateway = Gateway()
    world = World(tmp_path, gateway=gateway)
    world.outbox.put(1, [b"a"], 0)
    world.link.open(600.0)
    while not world.sessions:
        world.run(0.05)
    assert world.outbox.waiting()[0].tried == 0
    world.outbox.close()
    again = World(tmp_path, gateway=gateway)
    again.link.open(600.0)
    again.run(100)
    assert [session.data for session in again.sessions] == [None]
    assert again.outbox.waiting() == []


@pytest.mark.slow
def test_thousands_of_sessions_under_a_bad_sky_lose_nothing_and_bill_no_more_than_must_be():
    result = bench.run(1000, seed=3)
    assert result.lost == 0
    assert result.arrived == result.messages > 500
    assert result.cuts > 20
    assert result.duplicates > 20, "the sky hid some that had arrived"
    assert result.billed <= 1.05
