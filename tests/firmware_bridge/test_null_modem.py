"""Two peers on a simulated line, and the same peers on a pty and on TCP."""

from __future__ import annotations

import math
import socket

import pytest

from firmware_bridge.errors import TransportError
from firmware_bridge.null_modem import Faults, NullModem, SimulatedLine
from firmware_bridge.transport import (
    QUEUED_BYTES,
    REOPEN_S,
    PortLine,
    PtyTransport,
    SerialTransport,
    TcpTransport,
    open_transport,
    serve,
)

pytestmark = pytest.mark.board


class Echo:
    """Says what it has to say, gives what it hears as events; rings once at `ring_s`."""

    def __init__(self, say=b"", ring_s=math.inf):
        self.say, self.ring_s = bytearray(say), ring_s

    def receive(self, data, now_s):
        events = [(now_s, data)] if data else []
        if now_s >= self.ring_s:
            self.ring_s = math.inf
            events.append((now_s, b"ring"))
        return events

    def to_send(self, limit_bytes):
        taken = bytes(self.say[:limit_bytes])
        del self.say[:limit_bytes]
        return taken

    def due_s(self):
        return self.ring_s


CLEAN = Faults()


def heard(faults=CLEAN, say=bytes(range(200)), **more):
    arrived = []
    line = NullModem((Echo(say), Echo()), baud=9600, faults=(faults, CLEAN), **more)
    line.run(100.0, lambda end, event: arrived.append(event) if end == 1 else None)
    return arrived, line


def test_bytes_arrive_in_order_at_the_pace_of_the_line():
    arrived, line = heard()
    assert b"".join(data for _, data in arrived) == bytes(range(200))
    assert arrived[-1][0] == pytest.approx(200 * 10 / 9600)
    assert line.sent_bytes == [200, 0]
    assert line.now_s == 100.0


def test_a_peer_is_called_when_it_waits_for_time_alone():
    line = NullModem((Echo(ring_s=7.5), Echo()), baud=9600)
    events = []
    line.run(10.0, lambda end, event: events.append((end, event)))
    assert events == [(0, (7.5, b"ring"))]


def test_the_same_seed_does_the_same_damage_and_another_does_not():
    faults = Faults(flip=0.05, lose=0.05, double=0.1, noise=0.1, delay_s=0.2)
    first, again, other = (heard(faults, seed=seed)[0] for seed in (1, 1, 2))
    assert first == again != other
    assert b"".join(data for _, data in first) != bytes(range(200))
    assert [at for at, _ in first] == sorted(at for at, _ in first)


def test_nothing_arrives_while_the_line_is_cut():
    arrived, _ = heard(Faults(cuts=((0.05, 0.1),)))
    assert 0 < len(b"".join(data for _, data in arrived)) < 200
    assert not any(0.05 <= at < 0.1 for at, _ in arrived)


@pytest.mark.parametrize("kind", ["pty", "tcp"])
def test_the_same_peer_works_on_a_real_line(kind):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        if kind == "pty":
            ours = PtyTransport()
            theirs = SerialTransport(ours.port, 38400)
        else:
            ours = TcpTransport.connect(*listener.getsockname())
            theirs = TcpTransport(listener.accept()[0], "theirs")
        with ours, theirs:
            got = bytearray()
            serve(Echo(b"abc"), ours, lambda event: None, stop=iter([False, True]).__next__)
            serve(Echo(), theirs, lambda event: got.extend(event[1]), stop=lambda: len(got) == 3)
            assert bytes(got) == b"abc"


def test_a_line_that_is_not_there_is_one_sentence():
    with pytest.raises(TransportError, match="check the port"):
        SerialTransport("/dev/no-such-port", 9600)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(TransportError, match="nobody answers"):
            TcpTransport.connect(*nobody.getsockname())


def test_a_line_end_carries_until_its_peer_says_something():
    said = []
    line = NullModem((Echo(b"abc"), Echo(b"de")), baud=9600)
    end = SimulatedLine(line, 1, said.append)
    assert end.carry(5.0) == [(3 * 10 / 9600, b"abc")]
    assert end.carry(5.0) == []
    assert line.now_s == pytest.approx(3 * 10 / 9600 + 5.0)
    assert [data for _, data in said] == [b"de"]


def test_a_port_that_fails_is_opened_again_and_nothing_is_raised():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        echo = Echo(b"a")
        now = [0.0]
        port = PortLine(echo, lambda: TcpTransport.connect(*listener.getsockname()), lambda: now[0])
        port.carry(0.0)
        first, _ = listener.accept()
        assert first.recv(10) == b"a"
        first.close()
        port.carry(0.0)
        assert "closed the connection" in port.fault
        echo.say += b"b"
        port.carry(0.0)
        assert port.fault, "not at once: a port that is gone is not hammered"
        now[0] += REOPEN_S
        port.carry(0.0)
        assert not port.fault
        second, _ = listener.accept()
        second.sendall(b"c")
        assert second.recv(10) == b"b"
        second.close()
        events = []
        while not events:
            events = port.carry(0.0)
        assert events == [(now[0], b"c")]
        port.close()


def test_few_bytes_wait_in_a_serial_port_so_that_urgent_ones_are_soon_out():
    with PtyTransport() as theirs, SerialTransport(theirs.port, 9600) as ours:
        assert ours.room_bytes() == QUEUED_BYTES
        ours.write(b"x" * 100)
        assert ours.room_bytes() <= QUEUED_BYTES


def test_a_port_that_is_never_there_costs_a_sentence_alone():
    port = PortLine(Echo(b"a"), lambda: SerialTransport("/dev/no-such-port", 9600))
    assert port.carry(0.05) == []
    assert "check the port" in port.fault


def test_a_port_is_a_device_or_an_address():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        host, port = listener.getsockname()
        with open_transport(f"tcp:{host}:{port}", 9600) as line:
            assert isinstance(line, TcpTransport)
    with PtyTransport() as theirs, open_transport(theirs.port, 9600) as ours:
        assert isinstance(ours, SerialTransport)
    for wrong in ("tcp:7", "tcp:host:", "tcp:host:x"):
        with pytest.raises(TransportError, match="tcp:HOST:PORT"):
            open_transport(wrong, 9600)
