"""A port's speed: raised by agreement, its own again after silence, whoever was not heard."""

from __future__ import annotations

import pytest

from firmware_bridge.framing import encode_frame
from firmware_bridge.link import Peer
from firmware_bridge.link_records import Role, Status, Stop
from firmware_bridge.link_speed import FALL_BACK_S, SpeedKeeper
from firmware_bridge.link_wire import Hello, pack
from firmware_bridge.transport import PtyTransport, SerialTransport


class Port:
    def __init__(self):
        self.told = []

    def set_speed(self, baud):
        self.told.append(baud)


def opened():
    peer = Peer(Role.HOST, 5)
    peer.receive(encode_frame(pack(Hello(1, 1, Role.INSTRUMENT, True, 7, 5, 240, 1000, 0))), 0.0)
    peer.to_send(4096)
    return peer


def test_it_is_raised_and_falls_back_after_silence_and_what_waits_is_tried_at_once():
    port, peer = Port(), opened()
    keeper = SpeedKeeper(port, 9600)
    keeper.look(peer, 1000.0)
    assert port.told == [], "its own speed needs nobody who is heard"
    keeper.go_to(921_600, 1000.0)
    peer.say(Stop())
    peer.receive(b"", 1000.0)
    assert peer.to_send(4096)
    peer.receive(b"", 1003.0)
    assert peer.to_send(4096)
    assert not peer.has_told(Stop)
    keeper.look(peer, 1000.0 + FALL_BACK_S)
    assert (port.told, keeper.baud) == ([921_600], 921_600)
    now_s = 1000.1 + FALL_BACK_S
    keeper.look(peer, now_s)
    assert (port.told, keeper.baud) == ([921_600, 9600], 9600)
    assert peer.due_s() == now_s
    keeper.look(peer, now_s + 100)
    assert port.told == [921_600, 9600]


def test_while_somebody_is_heard_it_stays():
    port, peer = Port(), opened()
    keeper = SpeedKeeper(port, 9600)
    keeper.go_to(115_200, 0.0)
    frame = encode_frame(pack(Hello(1, 1, Role.INSTRUMENT, True, 7, 5, 240, 1000, 0)))
    for n in range(1, 10):
        peer.receive(frame, 3.0 * n)
        keeper.look(peer, 3.0 * n)
    assert port.told == [115_200]
    keeper.go_to(9600, 30.0)
    assert port.told == [115_200, 9600]


def test_a_line_without_a_speed_has_none():
    port = Port()
    keeper = SpeedKeeper(port, 0)
    keeper.go_to(921_600, 0.0)
    keeper.look(opened(), 100.0)
    assert port.told == []


def read(transport, n):
    got = b""
    while len(got) < n:
        transport.wait(10.0)
        some = transport.read()
        assert some
        got += some
    return got


def test_has_told_is_true_of_what_was_never_said():
    assert opened().has_told(Status)


@pytest.mark.parametrize("baud", [115_200, 921_600])
def test_a_real_port_changes_its_speed_and_goes_on(baud):
    with PtyTransport() as pty, SerialTransport(pty.port, 9600) as port:
        room = port.room_bytes()
        port.write(b"slow")
        port.set_speed(baud)
        assert port._serial.baudrate == baud
        assert port.room_bytes() > room, "more may wait on a faster line"
        port.write(b"fast")
        assert read(pty, 8) == b"slowfast"


def test_a_speed_that_a_port_does_not_have_changes_nothing():
    with PtyTransport() as pty, SerialTransport(pty.port, 9600) as port:
        port.set_speed(-1)
        assert port._serial.baudrate == 9600
        port.write(b"as before")
        assert read(pty, 9) == b"as before"
