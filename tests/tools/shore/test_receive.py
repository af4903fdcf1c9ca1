"""The receiver with real sockets and a real disk: what it confirms it has, once, whoever else is there."""

from __future__ import annotations

import base64
import contextlib
import email.message
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.config import Config
from edge.errors import InputError
from edge.orders import Orders
from edge.outbox import Outbox
from edge.telemetry.replies import Verdict
from tests.tools.made_dive import make_dive
from tools.command import command
from tools.keys import keys
from tools.shore.receive import receive
from tools.shore.receiving import http
from tools.shore.receiving.arrival import Arrival, Unreadable, check, read_file_name, read_mail, read_webhook
from tools.shore.receiving.directip import packet_bytes, read_packet
from tools.shore.receiving.ports import MAX_CONNECTIONS
from tools.shore.receiving.products import decode_dive, is_due
from tools.shore.receiving.store import MAX_ASIDE_BYTES, MAX_ASIDE_FILES, Store

IMEI = "300234010753370"
TIME_S = 1_741_090_000
CONFIRMED, REFUSED = b"\x01\x00\x04\x05\x00\x01\x01", b"\x01\x00\x04\x05\x00\x01\x00"
ROOT = Path(__file__).parents[3]
HANGS_S = 300
"""After which something hangs, however busy the machine is."""


def packet(payload, momsn=7, imei=IMEI, time_s=TIME_S, *, place=True):
    """A mobile-originated DirectIP message, from the interface's description alone."""
    body = struct.pack(">BHI15sBHHI", 1, 28, 99, imei.encode(), 0, momsn, 0, time_s)
    if place:
        body += struct.pack(">BHBBHBHI", 3, 11, 0b01, 43, 25_000, 7, 52_000, 3)
    if payload is not None:
        body += struct.pack(">BH", 2, len(payload)) + payload
    return struct.pack(">BH", 1, len(body)) + body


def form(payload, momsn=7, imei=IMEI, **more):
    return urllib.parse.urlencode({
        "imei": imei, "serial": "12345", "momsn": momsn, "transmit_time": "25-03-04 12:06:40",
        "iridium_latitude": "43.4167", "iridium_longitude": "-7.8667", "iridium_cep": "3",
        "data": payload.hex(), **more,
    }).encode()  # fmt: skip


def lingo(payload, momsn=7):
    return {
        "id": "c0eb3dd4", "receivedAt": {"year": 2025}, "identity": {"hardware": {"imei": IMEI}},
        "sbd": {
            "imei": IMEI, "cdrReference": "3152085395", "momsn": momsn, "mtmsn": 0,
            "sessionAt": {"year": 2025, "month": 3, "day": 4, "hour": 12, "minute": 6, "second": 40},
            "status": "SESSION_STATUS_OK",
            "location": {"latitude": 43.4167, "longitude": -7.8667, "cep": 3.0},
        },
        "message": base64.b64encode(payload).decode(),
    }  # fmt: skip


class Running:
    """`seston receive` in a process of its own."""

    def __init__(self, folder, *options):
        code = "import sys; from tools.shore.receive import receive; receive(sys.argv[1:])"
        self.run = subprocess.Popen(
            [sys.executable, "-u", "-c", code, "--folder", str(folder), "--directip", "0", "--webhook", "0",
             *options],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.lines = []
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.directip = int(self.wait_for(r"directip on \S+:(\d+)")[1])
        self.webhook = int(self.wait_for(r"webhook on \S+:(\d+)")[1])
        self.wait_for("files from")

    def _read(self):
        for line in self.run.stdout:
            with self._told:
                self.lines.append(line)
                self._told.notify_all()
        with self._told:
            self.lines.append("ended\n")
            self._told.notify_all()

    def wait_for(self, pattern, after=0):
        found = []

        def there():
            found[:] = [m for line in self.lines[after:] if (m := re.search(pattern, line))]
            return found or "ended\n" in self.lines

        with self._told:
            self._told.wait_for(there, timeout=HANGS_S)
        assert found, f"{pattern} not in {self.lines}"
        return found[0]

    def connect(self, port):
        return socket.create_connection(("127.0.0.1", port), timeout=HANGS_S)

    def send(self, data):
        """One DirectIP message on a connection of its own; the answer."""
        with self.connect(self.directip) as line:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: line.recv(100), b""))

    def post(self, body, kind="application/x-www-form-urlencoded", path="/"):
        url = f"http://127.0.0.1:{self.webhook}{path}"
        request = urllib.request.Request(url, body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=HANGS_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def stop(self, number=signal.SIGTERM):
        if self.run.poll() is None:
            self.run.send_signal(number)
        code = self.run.wait(HANGS_S)
        self._reader.join(HANGS_S)
        self.run.stdout.close()
        return code


@contextlib.contextmanager
def receiving(folder, *options):
    running = Running(folder, *options)
    try:
        yield running
    finally:
        running.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def dive(tmp_path_factory):
    return make_dive(tmp_path_factory.mktemp("float"), seed=3)


@pytest.fixture(scope="module")
def messages(dive):
    return [file.read_bytes() for file in sorted((dive / "messages").glob("*.msg"))]


def kept(folder):
    return sorted(file.read_bytes() for file in Path(folder).glob("*/*/*.sbd"))


def test_a_dive_comes_by_every_way_and_is_decoded(tmp_path, dive, messages):
    import xarray

    assert len(messages) >= 4
    (tmp_path / "codebook.json").write_bytes((dive / "messages" / "codebook.json").read_bytes())
    with receiving(tmp_path) as running:
        assert running.send(packet(messages[0], momsn=1)) == CONFIRMED
        assert running.post(form(messages[1], momsn=2)) == (200, "OK\n")
        assert running.post(json.dumps(lingo(messages[2], 3)).encode(), "application/json")[0] == 200
        (tmp_path / "inbox" / f"{IMEI}_000004.sbd").write_bytes(messages[3])
        for momsn, message in enumerate(messages[4:], 5):
            assert running.send(packet(message, momsn)) == CONFIRMED
        running.wait_for(r"dive-00012: dive 12 is complete")
        assert running.stop() == 0
        assert re.search(rf"Stopped: {len(messages)} kept\.", running.lines[-2])
    folder = tmp_path / IMEI / "dive-00012"
    with xarray.open_dataset(folder / "profile.nc", engine="h5netcdf") as data:
        assert int(data["frames_total"].sum()) > 0
    assert (folder / "profile.csv").exists()
    assert not list((tmp_path / "inbox").iterdir())
    told = json.loads((folder / next(folder.glob(f"{TIME_S}-1-*.json")).name).read_text())
    assert told["time"] == "2025-03-04T12:06:40+00:00"
    assert (told["latitude_deg"], told["cep_km"]) == (pytest.approx(43.4167, abs=1e-3), 3)
    assert told["longitude_deg"] == pytest.approx(-7.8667, abs=1e-3)


def test_what_comes_twice_is_kept_once_and_confirmed_twice(tmp_path, messages):
    with receiving(tmp_path) as running:
        for _ in range(3):
            assert running.send(packet(messages[0])) == CONFIRMED
            assert running.post(form(messages[0]))[0] == 200
        assert running.send(packet(messages[0]) + packet(messages[1], 8)) == CONFIRMED * 2, "two in a row"
        assert running.post(None) == (200, "2 kept, 6 duplicate\n")
    assert kept(tmp_path) == sorted(messages[:2])


def test_a_codebook_that_comes_later_decodes_what_waited(tmp_path, dive, messages):
    with receiving(tmp_path) as running:
        assert running.send(packet(messages[0])) == CONFIRMED
        running.wait_for(r"not decoded yet: .*needs the codebook")
        (tmp_path / IMEI / "codebook.json").write_bytes((dive / "messages" / "codebook.json").read_bytes())
        running.wait_for(r"dive 12: parts? .* missing")
    assert (tmp_path / IMEI / "dive-00012" / "profile.csv").exists()


def test_what_is_missing_is_asked_for_sent_again_and_completes_the_dive(tmp_path, dive, messages):
    """Shore and board: a dive with a hole, a signed request, the outbox, and the whole dive."""
    shore, board, keyring = tmp_path / "shore", tmp_path / "board", ["--keys", str(tmp_path / "keys")]
    shore.mkdir()
    board.mkdir()
    (shore / "codebook.json").write_bytes((dive / "messages" / "codebook.json").read_bytes())
    keys.main(["new", "--unit", "float-17", *keyring], standalone_mode=False)
    keys.main(["install", "float-17", str(board), *keyring], standalone_mode=False)
    folder, order = shore / IMEI / "dive-00012", tmp_path / "order.sbd"
    with receiving(shore) as running, Outbox(board / "outbox.sqlite") as box:
        box.put(12, messages, now_ms=1)
        for part, message in enumerate(messages):
            box.delivered(12, part, now_ms=2)
            if part != 1:
                assert running.send(packet(message, part)) == CONFIRMED
        running.wait_for(r"dive 12: part 2 of \d+ is missing")
        command.main(
            ["missing", str(folder), "--unit", "float-17", "--out", str(order), *keyring],
            standalone_mode=False,
        )
        orders = Orders(board, Config(), box.requeue)
        assert orders.take(order.read_bytes(), now_ms=3).reply.verdict is Verdict.DONE
        orders.close()
        (again,) = box.waiting()
        assert again.part == 1
        assert running.send(packet(again.data, 100)) == CONFIRMED
        running.wait_for("dive-00012: dive 12 is complete")


def test_kill_in_the_middle_loses_nothing_that_was_confirmed(tmp_path, messages):
    many = [messages[0] + n.to_bytes(2, "big") for n in range(400)]
    confirmed: list[int] = []
    enough = threading.Event()

    def pour(running, part):
        for n in range(part, len(many), 4):
            try:
                if running.send(packet(many[n], n)) == CONFIRMED:
                    confirmed.append(n)
                    if len(confirmed) >= 40:
                        enough.set()
            except OSError:
                return

    with receiving(tmp_path) as running:
        clients = [threading.Thread(target=pour, args=(running, part)) for part in range(4)]
        for client in clients:
            client.start()
        assert enough.wait(HANGS_S)
        running.run.send_signal(signal.SIGKILL)
        for client in clients:
            client.join()
    assert 40 <= len(confirmed) < len(many)
    there = kept(tmp_path)
    assert {many[n] for n in confirmed} <= set(there) <= set(many)
    with receiving(tmp_path) as running:
        for n, message in enumerate(many[:120]):
            assert running.send(packet(message, n)) == CONFIRMED
        assert running.stop() == 0
    again = kept(tmp_path)
    assert len(again) == len(set(again))
    assert set(again) == set(there) | set(many[:120])


def test_a_client_that_drips_holds_up_nobody(tmp_path, messages):
    with receiving(tmp_path) as running, contextlib.ExitStack() as slow:
        ports = (running.directip, running.webhook)
        drips = [slow.enter_context(running.connect(ports[n % 2])) for n in range(MAX_CONNECTIONS + 20)]
        for n, line in enumerate(drips):
            with contextlib.suppress(OSError):  # the first of them have had to go by now
                line.sendall(packet(messages[0])[: n % 40 + 1] if n % 2 == 0 else b"POST / HTTP/1.1\r\nA")
        assert running.send(packet(messages[1])) == CONFIRMED
        assert running.post(form(messages[2]))[0] == 200
        drips[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            drips[-1].recv(1)  # it drips still: nobody waited for its end
        assert running.stop() == 0
    assert kept(tmp_path) == sorted(messages[1:3])


def test_malformed_and_foreign_are_put_aside_and_counted(tmp_path, messages):
    with receiving(tmp_path, "--imei", IMEI) as running:
        assert running.send(b"\x02\x00\x04abcd") == REFUSED
        assert running.send(packet(messages[0])[:50]) == REFUSED
        assert running.send(packet(messages[0], imei="300234010753371")) == CONFIRMED
        assert running.send(packet(messages[0], imei="30023401075337/")) == REFUSED
        assert running.post(form(messages[0], imei="../../../../etc"))[0] == 400
        assert running.post(b"imei=1")[0] == 400
        assert running.post(b"{", "application/json")[0] == 400
        assert running.send(packet(b"hello from another instrument")) == CONFIRMED
        assert running.send(packet(None)) == CONFIRMED
        status = running.post(None)[1]
        assert running.stop() == 0
    assert status.strip() == ("1 kept, 1 not of this instrument, 1 of an unknown modem, 1 empty, 6 malformed")
    assert len(list((tmp_path / "aside").iterdir())) == 7
    assert kept(tmp_path) == [b"hello from another instrument"]
    assert not (tmp_path / "300234010753371").exists()


def test_a_secret_path(tmp_path, messages):
    with receiving(tmp_path, "--webhook-path", "/hook-6f3a") as running:
        assert running.post(form(messages[0]))[0] == 404
        assert kept(tmp_path) == []
        assert running.post(form(messages[0]), path="/hook-6f3a")[0] == 200
    assert kept(tmp_path) == [messages[0]]


def test_a_disk_that_refuses_is_never_confirmed(tmp_path, messages):
    with receiving(tmp_path) as running:
        (tmp_path / IMEI).write_text("in the way")
        assert running.send(packet(messages[0])) == REFUSED
        assert running.post(form(messages[0]))[0] == 503
        running.wait_for("the disk refuses it")
        (tmp_path / IMEI).unlink()
        assert running.send(packet(messages[0])) == CONFIRMED
    assert kept(tmp_path) == [messages[0]]


def test_a_second_receiver_is_refused(tmp_path):
    first = Store(tmp_path)
    with pytest.raises(InputError, match="in use by another receiver"):
        Store(tmp_path)
    first.close()
    Store(tmp_path).close()


def test_a_port_in_use_is_a_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"--webhook: 127\.0\.0\.1:{port} cannot be listened on"):
            receive.main(["--folder", str(tmp_path), "--webhook", str(port)], standalone_mode=False)
    Store(tmp_path).close()


def test_control_c_is_a_clean_end_and_a_decoding_that_breaks_is_none(tmp_path, messages):
    (tmp_path / "codebook.json").mkdir()
    with receiving(tmp_path) as running:
        assert running.send(packet(messages[0])) == CONFIRMED
        running.wait_for(r"dive-00012: not decoded yet: .*cannot be read")
        (tmp_path / "inbox" / "photo.sbd").write_bytes(b"abc")
        running.wait_for("photo.sbd in the inbox is not named")
        assert running.stop(signal.SIGINT) == 0
        assert running.lines[-2] == "Stopped: 1 kept.\n"
    assert [file.name for file in (tmp_path / "inbox").iterdir()] == ["photo.sbd.unused"]


def test_pictures_of_an_earlier_decoding_do_not_stay(tmp_path, dive, messages):
    (tmp_path / "codebook.json").write_bytes((dive / "messages" / "codebook.json").read_bytes())
    store = Store(tmp_path)
    for momsn, message in enumerate(messages):
        _, folder = store.take(Arrival(IMEI, momsn, TIME_S, message, "file"), b"")
    store.close()
    assert is_due(folder)
    (folder / "pictures").mkdir()
    (folder / "pictures" / "99_old.png").write_bytes(b"")
    told, complete = decode_dive(folder)
    assert told.startswith(f"{IMEI}/dive-00012: dive 12 is complete")
    assert complete
    assert not (folder / "pictures" / "99_old.png").exists()
    assert not is_due(folder)
    assert not (folder / ".decoding").exists()


def test_what_a_power_cut_left_half_written_is_swept_away(tmp_path, messages):
    store = Store(tmp_path)
    _, folder = store.take(Arrival(IMEI, 1, TIME_S, messages[0], "file"), b"")
    store.close()
    torn = folder / "9-9-9.sbd.part"
    torn.write_bytes(b"half")
    Store(tmp_path).close()
    assert not torn.exists()
    assert kept(tmp_path) == [messages[0]]


def test_rubbish_does_not_fill_the_disk(tmp_path):
    store = Store(tmp_path)
    store._n_aside = MAX_ASIDE_FILES - 1
    for n in range(5):
        store.malformed(bytes(20_000) + bytes((n,)))
    (file,) = (tmp_path / "aside").iterdir()
    assert file.stat().st_size == MAX_ASIDE_BYTES
    assert store.counts[None] == 5
    store.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_hostile_bytes_at_every_port(hostile, messages, data):
    good = data.draw(st.sampled_from([packet(messages[0]), form(messages[0])]))
    cut = data.draw(st.integers(0, len(good)))
    bytes_ = data.draw(st.one_of(
        st.binary(max_size=600),
        st.binary(max_size=40).map(lambda noise: good[:cut] + noise + good[cut:]),
        st.binary(max_size=60).map(lambda noise: b"POST / HTTP/1.1\r\n" + noise + b"\r\n\r\n" + noise),
    ))  # fmt: skip
    for port in (hostile.directip, hostile.webhook):
        with hostile.connect(port) as line, contextlib.suppress(ConnectionError):
            line.sendall(bytes_)
            line.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda line=line: line.recv(1000), b""))
            assert len(answer) < 2000
    assert hostile.run.poll() is None


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, messages):
    folder = tmp_path_factory.mktemp("hostile")
    with receiving(folder) as running:
        yield running
        assert running.send(packet(messages[1], 9999)) == CONFIRMED, "after all of it, it still works"
        assert not [line for line in running.lines if "Traceback" in line or "Exception" in line]


@given(st.binary(max_size=400))
def test_any_bytes_are_a_packet_or_none(data):
    wanted = packet_bytes(bytearray(data))
    assert 3 <= wanted <= 65_538
    found = read_packet(data)
    assert isinstance(found, Arrival | Unreadable)
    assert not isinstance(found, Arrival) or check(found) == found


@given(st.binary(max_size=100), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF))
def test_packets_are_read(payload, momsn, time_s):
    found = read_packet(packet(payload, momsn, time_s=time_s))
    assert (found.imei, found.momsn, found.time_s, found.payload) == (IMEI, momsn, time_s, payload)


@given(
    st.sampled_from(["", "application/json", "application/x-www-form-urlencoded; charset=utf-8", "x/y"]),
    st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)),
)
def test_any_body_is_a_message_or_none(kind, body):
    found = read_webhook(kind, body)
    assert isinstance(found, Arrival | Unreadable)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.sampled_from(["imei", "momsn", "message", "sessionAt", "location", "year"])), st.data())
def test_json_with_anything_in_its_place_is_a_message_or_none(names, data):
    tree = lingo(b"abc")
    flat = dict(urllib.parse.parse_qsl(form(b"abc").decode()))
    for name in names:
        place = tree if name == "message" else tree["sbd"]
        if name == "year" and isinstance(place.get("sessionAt"), dict):
            place = place["sessionAt"]
        place[name] = data.draw(values)
        flat[name] = data.draw(values)
    flat["transmit_time"] = data.draw(values)
    for one in (tree, flat):
        found = read_webhook("application/json", json.dumps(one).encode())
        assert isinstance(found, Arrival | Unreadable)
        assert not isinstance(found, Arrival) or check(found) == found


def mail(payload, place=True, subject=f"SBD Msg From Unit: {IMEI}", when="Sat Aug 20 15:24:57 2016"):
    """A mail as Iridium's gateway sends it, from examples that its users show."""
    made = email.message.EmailMessage()
    made["From"], made["To"], made["Subject"] = "sbdservice@sbd.iridium.com", "shore@example.org", subject
    where = "Unit Location: Lat = 55.87465 Long = -2.37135\r\nCEPradius = 4\r\n" if place else ""
    made.set_content(
        f"MOMSN: 29\r\nMTMSN: 0\r\nTime of Session (UTC): {when}\r\nSession Status: 00 - Transfer OK\r\n"
        f"Message Size (bytes): {len(payload)}\r\n\r\n{where}"
    )
    made.add_attachment(
        payload, maintype="application", subtype="x-zip-compressed", filename="300_000029.sbd"
    )
    return made.as_bytes()


_MAIL = mail(b"abc")


def test_a_mail_of_iridium_says_when_and_where():
    found = read_mail(mail(bytes(range(256))))
    when = 1_471_706_697  # 2016-08-20 15:24:57 UTC
    assert found == Arrival(IMEI, 29, when, bytes(range(256)), "mail", 55.87465, -2.37135, 4.0)
    nowhere = read_mail(mail(b"abc", place=False, when="soon"))
    assert (nowhere.latitude_deg, nowhere.cep_km, nowhere.time_s) == (None, None, 0), (
        "no message is lost for it"
    )
    assert isinstance(read_mail(mail(b"abc", subject="SBD Msg From Unit: 12")), Unreadable)


@given(st.binary(max_size=400), st.integers(0, 900))
def test_any_bytes_are_a_mail_or_none(data, cut):
    for one in (data, _MAIL[:cut], _MAIL[:cut] + data):
        assert isinstance(read_mail(one), Arrival | Unreadable)


def test_webhooks_say_the_same_in_every_form():
    wanted = Arrival(IMEI, 7, TIME_S, b"\x80abc\x00", "webhook", 43.4167, -7.8667, 3.0)
    body = form(b"\x80abc\x00")
    flat = dict(urllib.parse.parse_qsl(body.decode()))
    assert read_webhook("application/x-www-form-urlencoded", body) == wanted
    assert read_webhook("application/json; charset=utf-8", json.dumps(flat).encode()) == wanted
    assert read_webhook("application/json", json.dumps(lingo(b"\x80abc\x00")).encode()) == wanted


@pytest.mark.parametrize(
    ("text", "time_s"),
    [("25-03-04 12:06:40", TIME_S), ("2025-03-04T12:06:40Z", TIME_S), ("2025-03-04T13:06:40+01:00", TIME_S),
     ("yesterday", 0), ("", 0), ("0001-01-01", 0)],
)  # fmt: skip
def test_a_time_that_cannot_be_read_loses_no_message(text, time_s):
    found = read_webhook("", form(b"abc", transmit_time=text))
    assert (found.time_s, found.payload) == (time_s, b"abc")


@pytest.mark.parametrize(
    ("name", "found"),
    [("300234010753370_000123.sbd", (IMEI, 123)), ("300234010753370_7_0.sbd", (IMEI, 7)), ("a.sbd", None),
     ("300234010753370_99999.sbd", None), ("30023401075337_1.sbd", None)],
)  # fmt: skip
def test_names_of_attachments(name, found):
    assert read_file_name(name) == found


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_have_a_head_or_not(data, cut):
    for one in (data, data[:cut] + b"\r\n\r\n" + data[cut:], b"POST / HTTP/1.1\r\n" + data + b"\r\n\r\n"):
        head = http.read_head(one)
        if isinstance(head, http.Head):
            assert head.body_at <= len(one)
            assert 0 <= head.body_bytes <= http.MAX_BODY_BYTES


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Content-Length: 999999999", 413),
        (b"Content-Length: -1", 400),
        (b"Content-Length: 1\r\nContent-Length: 2", 400),
        (b"Content-Length: \xb2", 400),
        (b"Transfer-Encoding: chunked", 411),
        (b"A: " + b"a" * 20_000, 431),
        (b"\r\n".join(b"A%d: 1" % n for n in range(200)), 431),
    ],
)
def test_requests_that_are_refused(fields, status):
    assert http.read_head(b"POST / HTTP/1.1\r\n" + fields + b"\r\n\r\n") == status


def test_leave_to_send_a_body_is_given(tmp_path, messages):
    body = form(messages[0])
    with receiving(tmp_path) as running, running.connect(running.webhook) as line:
        line.sendall(
            b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        assert line.recv(100) == http.CONTINUE
        line.sendall(body)
        assert line.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    assert kept(tmp_path) == [messages[0]]
