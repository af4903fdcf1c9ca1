"""The port on deck: there while the switch is set, never otherwise. Real sockets; a clock of its own."""

from __future__ import annotations

import dataclasses
import socket
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import msgspec
import pytest

from edge.deck import SETTLED_S, Deck, open_switch
from edge.errors import ConfigError
from edge.fetching import Shelf
from edge.intake import nothing_taken
from edge.run_config import DeckConfig
from firmware_bridge.ctd import Reading
from firmware_bridge.link import Delivered, Opened, Peer, Refused
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Phase, Reason, Role, Start
from firmware_bridge.link_wire import Kind
from firmware_bridge.transport import PortLine, TcpTransport

pytestmark = pytest.mark.board


class Float:
    """A deck, with all that it asks at hand."""

    def __init__(self, folder, **changes):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.key = folder / "seston.key"
        self.now_s, self.pressure_dbar, self.is_diving, self.said = 100.0, None, False, []
        self.commands, self.flag = [], folder / "deck-is-open"
        self.flag.touch()  # left by one that was killed
        self.intake = dataclasses.replace(nothing_taken(), command=self.commands.append)
        told = {"switch": f"file:{self.key}", "listen": f"127.0.0.1:{self.port}", **changes}
        self.deck = Deck(
            DeckConfig(**told), Shelf(folder, lambda: self.is_diving), self.intake, 5, self.reading,
            lambda: self.now_s, self.said.append, folder / "deck-is-open",
        )  # fmt: skip

    def reading(self):
        return None if self.pressure_dbar is None else Reading(self.pressure_dbar)

    def poll(self, *seconds):
        """Look after so many seconds each; whether the port is there then."""
        for s in seconds or (0.5, 0.5, 0.5, 0.5):
            self.now_s += s
            assert self.deck.poll(0.0) == 0.0
        assert self.flag.exists() or not self.listens()
        return self.listens()

    def listens(self):
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return any(row[1].endswith(f":{self.port:04X}") and row[3] == "0A" for row in rows)


@pytest.fixture
def float_(tmp_path):
    made = Float(tmp_path)
    yield made
    made.deck.close()
    assert not made.listens()


def test_it_is_there_while_the_switch_is_set_for_a_while_and_gone_at_once(float_):
    assert not float_.poll()
    float_.key.touch()
    assert not float_.poll(0.1)
    assert not float_.poll(SETTLED_S - 0.1)
    float_.key.unlink()
    assert not float_.poll(0.1), "it bounces"
    float_.key.touch()
    assert not float_.poll(SETTLED_S - 0.05)
    assert float_.poll(SETTLED_S)
    float_.key.unlink()
    assert not float_.poll(0.01)
    assert not float_.flag.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", float_.port))
    assert [line.split(":")[0] for line in float_.said] == [
        "the deck is open", "no logs are served on the network any more",
    ]  # fmt: skip


def test_under_water_and_in_a_dive_it_is_not_whatever_the_switch_says(float_):
    float_.key.touch()
    float_.pressure_dbar = 2.1
    assert not float_.poll()
    float_.pressure_dbar = 1.9
    assert float_.poll()
    float_.pressure_dbar = 2.1
    assert not float_.poll()
    float_.pressure_dbar = None
    assert float_.poll()
    float_.is_diving = True
    assert not float_.poll()


def test_without_a_switch_nothing_is_ever_opened(tmp_path):
    made = Float(tmp_path, switch="", listen="")
    assert not made.poll()
    assert made.deck.poll(0.7) == 0.7
    made.deck.close()


def call(float_):
    """A caller's end, that may say anything."""
    peer = Peer(Role.HOST, 9)
    transport = TcpTransport.connect("127.0.0.1", float_.port)
    return peer, PortLine(peer, lambda: transport)


def carry(float_, line, n=60):
    events = []
    for _ in range(n):
        float_.now_s += 0.01
        float_.deck.poll(0.0)
        events += line.carry(0.005)
    return events


def test_a_caller_commands_nothing_and_may_bring_what_is_signed(float_):
    float_.key.touch()
    assert float_.poll()
    peer, line = call(float_)
    peer.say(Start(Phase.DESCENT))
    peer.send(LinkObject(Kind.COMMAND, 1, b"signed or not"))
    events = carry(float_, line)
    line.close()
    assert [type(event) for event in events] == [Opened, Delivered]
    assert float_.commands == [b"signed or not"], "who judges it is not the deck"
    peer, line = call(float_)
    peer.send(LinkObject(Kind.MODEL, 1, b"that nobody announced" * 9999))
    events = carry(float_, line)
    line.close()
    assert [type(event) for event in events] == [Opened, Refused]
    assert events[1].reason is Reason.UNWANTED


def test_the_newest_caller_counts_and_one_who_has_gone_is_forgotten(float_):
    float_.key.touch()
    assert float_.poll()
    (_, first), (_, second) = call(float_), call(float_)
    assert [type(event) for event in carry(float_, first)] in ([], [Opened])
    events = carry(float_, second)
    assert [type(event) for event in events] == [Opened]
    carry(float_, first, 3)
    assert first.fault, "the newest counts"
    second.close()
    carry(float_, first, 3)
    assert float_.deck.poll(0.7) == 0.7, "there is nobody any more"


def test_an_address_that_cannot_be_had_is_said_once(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        made = Float(tmp_path, listen=f"127.0.0.1:{port}")
        made.key.touch()
        made.poll()
        made.poll()
        assert len(made.said) == 1
        assert f"127.0.0.1:{port} cannot be had" in made.said[0]
    made.poll()
    assert len(made.said) == 2, "and it is had as soon as it can be"
    made.deck.close()


@pytest.fixture
def gpiod(monkeypatch):
    """As gpiod 2 is: a machine for tests has no such chip."""
    line = ModuleType("gpiod.line")
    line.Direction, line.Bias = Enum("Direction", "INPUT OUTPUT"), Enum("Bias", "PULL_UP PULL_DOWN")
    line.Value = Enum("Value", "INACTIVE ACTIVE")
    module = ModuleType("gpiod")
    module.line, module.LineSettings = line, SimpleNamespace
    chip = SimpleNamespace(at_ground=False, settings=None, path=None, is_open=True, is_broken=False)

    def get_value(number):
        if chip.is_broken:
            raise OSError(5, "Input/output error")
        return line.Value.ACTIVE if chip.at_ground == chip.settings.active_low else line.Value.INACTIVE

    def request_lines(path, consumer, config):
        if path == "/dev/gpiochip9":
            raise FileNotFoundError(2, "No such file or directory")
        ((chip.number, chip.settings),) = config.items()
        chip.path = path
        return SimpleNamespace(get_value=get_value, release=lambda: setattr(chip, "is_open", False))

    module.request_lines = request_lines
    monkeypatch.setitem(sys.modules, "gpiod", module)
    monkeypatch.setitem(sys.modules, "gpiod.line", line)
    return chip


@pytest.mark.parametrize(
    ("told", "path", "number"), [("gpio:17", "/dev/gpiochip0", 17), ("gpio:gpiochip4:5", "/dev/gpiochip4", 5)]
)
def test_a_line_is_set_at_ground_and_not_when_its_wire_is_broken(gpiod, told, path, number):
    switch = open_switch(told)
    assert (gpiod.path, gpiod.number) == (path, number)
    assert (gpiod.settings.direction.name, gpiod.settings.bias.name) == ("INPUT", "PULL_UP")
    assert not switch.is_set()
    gpiod.at_ground = True
    assert switch.is_set()
    gpiod.is_broken = True
    assert not switch.is_set()
    switch.close()
    assert not gpiod.is_open


def test_a_chip_that_is_not_there_is_a_sentence(gpiod):
    with pytest.raises(ConfigError, match=r"run\.deck\.switch: is gpio:gpiochip9:1, which cannot be had \("):
        open_switch("gpio:gpiochip9:1")


def test_alone_at_sea_a_switch_that_is_not_there_is_an_alarm(gpiod, tmp_path):
    said = []
    told = DeckConfig(switch="gpio:gpiochip9:3", listen="127.0.0.1:0")
    shelf = Shelf(tmp_path, lambda: False)
    rest = shelf, nothing_taken(), 1, lambda: None, lambda: 0.0, said.append
    with pytest.raises(ConfigError, match="gpiochip9"):
        Deck(told, *rest)
    deck = Deck(told, *rest, must_open=False)
    assert deck.poll(0.5) == 0.5
    deck.close()
    assert len(said) == 1
    assert said[0].startswith("ALARM: there is no deck switch: run.deck.switch: is gpio:gpiochip9:3, which")


def test_without_gpiod_there_is_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpiod", None)
    with pytest.raises(ConfigError, match="has no gpiod; install the Python package"):
        open_switch("gpio:17")


def test_a_switch_needs_an_address():
    with pytest.raises(ValueError, match="listen is missing"):
        DeckConfig(switch="gpio:17")


@pytest.mark.parametrize("told", ["gpio:17 ", " gpio:17", "gpio:17file:/x", "gpio:17,gpio:18", "file:x"])
def test_switches_that_are_none_are_refused(told):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"switch": told, "listen": "127.0.0.1:1"}, DeckConfig)


def test_any_of_several_switches_is_enough(gpiod, tmp_path):
    stick = tmp_path / "stick"
    switch = open_switch(f"gpio:17 file:{stick}")
    assert not switch.is_set()
    gpiod.at_ground = True
    assert switch.is_set()
    gpiod.at_ground = False
    stick.touch()
    assert switch.is_set()
    switch.close()
    assert not gpiod.is_open


def test_of_several_switches_none_stays_open_when_one_cannot_be_had(gpiod):
    with pytest.raises(ConfigError, match="gpiochip9"):
        open_switch("gpio:17 gpio:gpiochip9:1")
    assert not gpiod.is_open


def test_a_signed_command_opens_it_for_a_while_and_never_under_water(tmp_path):
    made = Float(tmp_path, switch="")
    assert not made.poll()
    made.deck.open_for(10)
    assert made.poll(1.0)
    made.pressure_dbar = 3.0
    assert not made.poll(1.0)
    made.pressure_dbar = 0.1
    assert made.poll(1.0, 596.0)
    assert not made.poll(2.0)
    made.deck.open_for(10)
    assert made.poll(1.0)
    made.deck.open_for(0)
    assert not made.poll(1.0)
    made.deck.close()
