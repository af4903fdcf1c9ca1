"""Data calls to the receiver: a process, real sockets, the real driver on a real pty; cut and resumed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import time

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.links import ModemLink
from edge.outbox import Outbox
from firmware_bridge.iridium.rudics import RudicsDriver
from firmware_bridge.iridium.rudics_emulator import Dialled, RudicsModem, ToShore
from firmware_bridge.iridium.sky import Sky
from firmware_bridge.link import Delivered, ObjectReceived, Opened, Peer, Refused
from firmware_bridge.link_objects import LinkObject
from firmware_bridge.link_records import Reason, Role
from firmware_bridge.link_wire import Kind
from firmware_bridge.transport import PortLine, PtyTransport, SerialTransport
from tests.tools.shore.test_receive import IMEI, receiving
from tools.modem import Shore
from tools.shore.receive import receive
from tools.shore.receiving import calls, orders
from tools.shore.receiving.calls import MAX_CALLS, Calls
from tools.shore.receiving.ports import Ports

SPEED = 10.0
"""The float's time is so much faster than ours, so that pauses of half a minute do not last."""
SKY = Sky(session_s=(1.0, 2.0), delay_s=0.3, call_bytes_s=3000.0)


class Float:
    """Outbox, driver and emulated modem, which calls the receiver."""

    def __init__(self, folder, port, sky=SKY):
        self.box, self.modem = Outbox(folder / "outbox.sqlite"), RudicsModem(sky, seed=3)
        self.pty, self.shore, self.came, self.n_calls, self.n_bytes = PtyTransport(), None, [], 0, 0
        self.shore = Shore(self.modem, "127.0.0.1", port)
        self.line = PortLine(self.modem, lambda: self.pty, self.now_s)
        driver = RudicsDriver("0088160000500", 1 + os.getpid(), jitter=lambda: 0.0)
        port_line = PortLine(driver, lambda: SerialTransport(self.pty.port, 19_200), self.now_s)
        self.link = ModemLink(self.box, driver, port_line, lambda: 0, self.came.append)
        self.link.open(1e9)

    @staticmethod
    def now_s():
        return time.monotonic() * SPEED

    def until(self, done, seconds=15.0):
        until = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < until, "it takes too long"
            self.link.poll(0.01)
            self.shore.carry()
            for event in self.line.carry(0.01):
                self.n_calls += isinstance(event, Dialled)
                self.n_bytes += len(event.data) if isinstance(event, ToShore) else 0
                self.shore.on(event)

    def cut(self):
        self.shore.hang_up("the sky cuts it")
        self.modem.shore_gone()

    def close(self):
        self.shore.hang_up("the end")
        self.link.release()
        self.pty.close()
        self.box.close()


class Caller:
    """A float's end of the link alone, on a socket."""

    def __init__(self, port, boot_id=5):
        self.peer = Peer(Role.INSTRUMENT, boot_id)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.settimeout(0.05)
        self.is_over = False

    def hear(self, wanted, seconds=10.0):
        """All that is told until something of a kind, or the end of the call."""
        events, until = [], time.monotonic() + seconds
        while not any(isinstance(event, wanted) for event in events) and not self.is_over:
            assert time.monotonic() < until, f"{wanted} does not come"
            with contextlib.suppress(OSError):
                self.socket.sendall(self.peer.to_send(4096))
            data = b""
            try:
                data = self.socket.recv(4096)
                self.is_over = not data
            except TimeoutError:
                pass
            except OSError:
                self.is_over = True
            events += self.peer.receive(data, time.monotonic())
        with contextlib.suppress(OSError):
            self.socket.sendall(self.peer.to_send(4096))
        return events


def port_of(running):
    return int(running.wait_for(r"rudics on \S+:(\d+)")[1])


def kept(folder):
    return sorted(file.read_bytes() for file in folder.glob("*/other/*.sbd"))


@pytest.fixture
def sea(tmp_path):
    """Things to be closed."""
    (tmp_path / "float").mkdir()
    with contextlib.ExitStack() as things:
        yield things


def test_a_call_that_is_cut_in_a_message_goes_on_in_the_next_and_all_count_once(tmp_path, sea):
    shore = tmp_path / "shore"
    messages = [bytes([n]) * 6000 for n in range(3)]
    (shore / IMEI / orders.FOLDER).mkdir(parents=True)
    (shore / IMEI / orders.FOLDER / "1.sbd").write_bytes(b"an order")
    with receiving(shore, "--rudics", f"0:{IMEI}") as running:
        one = Float(tmp_path / "float", port_of(running))
        sea.callback(one.close)
        one.box.put(1, messages, 0)
        one.until(lambda: one.n_bytes > 10_000)
        one.cut()
        cut = running.wait_for(r"a call is over: (\d) messages, (\d+) of 6000 bytes of another")
        assert int(cut[1]) == 1
        assert 2000 < int(cut[2]) < 6000
        one.until(lambda: not one.box.waiting() and one.came)
        assert one.n_calls == 2
        assert one.n_bytes < 10_000 + 12_000 + 6000 - int(cut[2]), "what had come is not sent again"
        assert one.came == [b"an order"]
        running.wait_for("has an order of 8 bytes")
        assert running.post(None)[1] == "3 kept, 3 not of this instrument\n"
        assert running.stop() == 0
    assert kept(shore) == messages
    assert [file.name for file in (shore / IMEI / orders.FOLDER).iterdir()] == ["1.sbd.sent"]


def test_a_receiver_that_is_killed_in_a_call_loses_nothing_that_it_acknowledged(tmp_path, sea):
    shore = tmp_path / "shore"
    messages = [bytes([n]) * 3000 for n in range(4)]
    with receiving(shore, "--rudics", "0", "--imei", IMEI) as running:
        port = port_of(running)
        one = Float(tmp_path / "float", port)
        sea.callback(one.close)
        one.box.put(1, messages, 0)
        one.until(lambda: one.n_bytes > 5000)
        running.run.send_signal(signal.SIGKILL)
        running.run.wait(10)
        delivered = len(messages) - len(one.box.waiting())
        assert 1 <= delivered < len(messages)
        assert len(kept(shore)) >= delivered
    with receiving(shore, "--rudics", f"{port}", "--imei", IMEI) as running:
        one.until(lambda: not one.box.waiting())
    assert kept(shore) == messages


@pytest.mark.slow
def test_a_dive_comes_by_the_whole_chain_of_processes(tmp_path):
    from tests.tools.test_modem_and_uvp6 import run, started

    sent = [os.urandom(5000), b"short"]
    for i, data in enumerate(sent):
        (tmp_path / f"{i}.bin").write_bytes(data)
    shore = tmp_path / "shore"
    (shore / IMEI / orders.FOLDER).mkdir(parents=True)
    (shore / IMEI / orders.FOLDER / "1").write_bytes(b"order")
    with receiving(shore, "--rudics", f"0:{IMEI}") as running:
        options = ("--kind", "rudics", "--fast", "--shore", f"127.0.0.1:{port_of(running)}")
        with started("modem", "emulate", *options) as modem:
            pty = re.search(r"modem on (\S+)", modem.stdout.readline())[1]
            files = tmp_path / "0.bin", tmp_path / "1.bin"
            options = ("--kind", "rudics", "--number", "0088160000500", "--received", tmp_path / "mt")
            done = run("modem", "send", pty, *files, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 delivered, 0 of 0 bytes wait, 1 came" in done.stdout
    assert kept(shore) == sorted(sent)
    assert (tmp_path / "mt" / "001.mt").read_bytes() == b"order"


@pytest.fixture(scope="module")
def shore(tmp_path_factory):
    folder = tmp_path_factory.mktemp("calls")
    with receiving(folder, "--rudics", f"0:{IMEI}") as running:
        running.folder, running.rudics = folder, port_of(running)
        yield running
        assert not [line for line in running.lines if "Traceback" in line or "Exception" in line]


def test_a_message_that_was_stored_is_stored_once_whoever_calls(shore):
    item = LinkObject(Kind.MESSAGE, 70_001, b"once")
    for boot_id in (5, 5, 6):
        caller = Caller(shore.rudics, boot_id)
        caller.peer.send(item)
        assert caller.hear(Delivered)[-1] == Delivered(item)
        caller.socket.close()
    assert kept(shore.folder).count(b"once") == 1


def test_what_is_no_message_is_refused(shore):
    caller = Caller(shore.rudics)
    caller.peer.send(LinkObject(Kind.MODEL, 1, b"weights"))
    (refused,) = [event for event in caller.hear(Refused) if isinstance(event, Refused)]
    assert refused.reason is Reason.UNWANTED
    caller.peer.send(LinkObject(Kind.MESSAGE, 2, bytes(100_001)))
    (refused,) = [event for event in caller.hear(Refused) if isinstance(event, Refused)]
    assert refused.reason is Reason.TOO_LARGE
    caller.socket.close()


def test_an_order_that_the_float_refuses_stays(shore):
    place = shore.folder / IMEI / orders.FOLDER
    (place / "2.sbd").write_bytes(b"refused")
    (place / "3.sbd").write_bytes(b"")
    (place / "4.sbd").write_bytes(bytes(orders.MAX_ORDER_BYTES + 1))
    caller = Caller(shore.rudics)
    item = caller.hear(ObjectReceived)[-1].item
    assert (item.kind, item.data) == (Kind.COMMAND, b"refused")
    caller.peer.refuse(item, Reason.UNWANTED)
    caller.socket.sendall(caller.peer.to_send(4096))
    shore.wait_for("refuses an order of 7 bytes: unwanted")
    caller.socket.close()
    assert orders.waiting(shore.folder, IMEI) == [b"refused"]
    for file in place.iterdir():
        file.unlink()


def test_a_disk_that_refuses_ends_the_call_and_acknowledges_nothing(tmp_path):
    with receiving(tmp_path, "--rudics", f"0:{IMEI}") as running:
        (tmp_path / IMEI / "other").write_text("in the way")
        item = LinkObject(Kind.MESSAGE, 1, b"data")
        caller = Caller(port_of(running))
        caller.peer.send(item)
        assert not [event for event in caller.hear(Delivered) if isinstance(event, Delivered)]
        assert caller.is_over
        caller.socket.close()
        running.wait_for("the disk refuses it")
        (tmp_path / IMEI / "other").unlink()
        caller = Caller(port_of(running))
        caller.peer.send(item)
        assert caller.hear(Delivered)[-1] == Delivered(item)
        caller.socket.close()
    assert kept(tmp_path) == [b"data"]


def test_silent_callers_hold_up_nobody_and_noise_is_put_aside(tmp_path):
    with receiving(tmp_path, "--rudics", f"0:{IMEI}") as running, contextlib.ExitStack() as silent:
        port = port_of(running)
        for _ in range(MAX_CALLS + 5):
            silent.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        caller = Caller(port)
        item = LinkObject(Kind.MESSAGE, 1, b"data")
        caller.peer.send(item)
        assert caller.hear(Delivered)[-1] == Delivered(item)
        caller.socket.close()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as noise:
            noise.sendall(b"GET / HTTP/1.0\r\n\r\n\0\0")
            noise.shutdown(socket.SHUT_WR)
            while noise.recv(1000):
                pass
        running.wait_for("a call is over: 0 messages, 1 damaged frames")
        assert running.post(None)[1] == "1 kept, 1 not of this instrument, 1 malformed\n"
        assert running.stop() == 0, "whoever still calls is hung up"
    (aside,) = (tmp_path / "aside").iterdir()
    assert aside.read_bytes() == b"GET / HTTP/1.0\r\n\r\n\0\0"


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.integers(0, 60))
def test_hostile_bytes_in_a_call(shore, data, cut):
    hello = Peer(Role.INSTRUMENT, 9).to_send(1000)
    address = "127.0.0.1", shore.rudics
    with socket.create_connection(address, timeout=10) as line, contextlib.suppress(ConnectionError):
        line.sendall(hello[:cut] + data + hello[cut:])
        line.shutdown(socket.SHUT_WR)
        while line.recv(1000):
            pass
    assert shore.run.poll() is None


@pytest.mark.parametrize("is_open", [False, True])
def test_a_call_in_which_nothing_is_understood_ends(monkeypatch, tmp_path, is_open):
    monkeypatch.setattr(calls, "OPEN_TIMEOUT_S", 5.0 if is_open else 0.2)
    monkeypatch.setattr(calls, "SILENT_TIMEOUT_S", 0.2)
    said, taken = [], []

    async def take(found, raw):
        taken.append(raw)

    async def call():
        ports = Ports(take, lambda: "")
        port = await ports.listen_calls("127.0.0.1", 0, Calls(IMEI, tmp_path, take, said.append))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        peer, now_s = Peer(Role.INSTRUMENT, 3), asyncio.get_running_loop().time
        opened = 0
        while is_open and not opened:
            writer.write(peer.to_send(1000))
            opened = sum(
                isinstance(event, Opened) for event in peer.receive(await reader.read(1000), now_s())
            )
        writer.write(peer.to_send(1000) if is_open else b"noise\0")
        while await asyncio.wait_for(reader.read(1000), 4.0):
            pass
        writer.close()
        await ports.close()

    asyncio.run(call())
    assert len(said) == 1 + is_open
    assert taken == ([] if is_open else [b"noise\0"])


@pytest.mark.parametrize(("words", "told"), [
    (("--rudics", "0"), "a call does not say whose it is"),
    (("--rudics", "x:" + IMEI), "PORT:IMEI is expected"),
    (("--rudics", "0:123"), "a call does not say whose it is"),
    (("--rudics", "0", "--imei", IMEI, "--imei", IMEI[::-1]), "a call does not say whose it is"),
])  # fmt: skip
def test_a_port_of_calls_is_one_modems(tmp_path, words, told):
    with pytest.raises(click.UsageError, match=told):
        receive.main(["--folder", str(tmp_path), *words], standalone_mode=False)
