"""Two peers on a simulated line, and the same peers on a pty and on TCP."""

from __future__ import annotations

import math
import socket

import pytest

from firmware_bridge.errors import TransportError
from firmware_bridge.null_modem import Faults, NullModem
from firmware_bridge.transport import PtyTransport, SerialTransport, TcpTransport, serve


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
