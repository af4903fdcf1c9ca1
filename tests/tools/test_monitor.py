"""The page for the bench: a real service, a real monitor and a real browser; and what none of them may do."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tty

import cv2
import msgspec
import numpy as np
import pytest

from edge.divelog import DiveLog
from edge.frame import FrameOutcome
from edge.live import (
    FRAME,
    TROUBLE,
    WANTED,
    Live,
    LiveFrame,
    LiveParticle,
    LiveState,
    ask,
    live_folder,
)
from tests.edge.test_instrument import scene
from tests.tools.browser import Browser
from tests.tools.made_dive import OPTICS, make_dive
from tests.tools.test_run import start, stop
from tools.monitoring import state
from tools.monitoring.server import Server
from tools.monitoring.state import Monitor

NASTY = "</script><img src=x onerror='window.hit=1'>&\"'"
CONFIG = """
bundle = "demo"
platform = "float 17"
[optics]
pixel_um = 73
image_volume_l = 0.6
threshold = 21
aa_um2 = 2300
exp = 1.136
[vision]
mask_dirt = false
[log]
frames_per_bloc = 2
[run.camera]
kind = "replay"
source = "{frames}"
frame_rate_hz = 5
[run.pressure]
port = "{port}"
"""


def seston_monitor(*arguments, **options):
    command = [sys.executable, "-u", "-c", "from tools.cli import main; main()", "monitor"]
    return subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True, **options)


@contextlib.contextmanager
def monitoring(*arguments):
    """A monitor at work; gives its address."""
    process = seston_monitor(*arguments, "--port", 0)
    try:
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line
        yield line.split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


@contextlib.contextmanager
def running(config, folder):
    """A service at work, gone for certain in the end."""
    process = start(config, folder)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=30)


@contextlib.contextmanager
def sinking(folder):
    """A configuration in `folder` whose pressure sensor says that the float sinks."""
    frames = folder / "frames"
    frames.mkdir()
    for i in range(5):
        cv2.imwrite(str(folder / f"{i}.png"), scene(i))
    cv2.imwrite(str(folder / "white.png"), np.full((300, 400), 230, np.uint8))
    (folder / "torn.png").write_bytes((folder / "0.png").read_bytes()[:2000])
    for i in range(1500):  # five minutes; nobody waits for the end
        name = "white" if i % 20 == 7 else "torn" if i % 20 == 17 else str(i % 5)
        (frames / f"{i:04d}.png").symlink_to(folder / f"{name}.png")
    host, instrument = pty.openpty()
    tty.setraw(instrument)
    os.set_blocking(host, False)
    ended = threading.Event()

    def sink():
        begun = time.monotonic()
        while not ended.wait(0.1):
            with contextlib.suppress(BlockingIOError):
                os.write(host, b"%.2f, 12.5\r\n" % (1 + 2 * (time.monotonic() - begun)))

    thread = threading.Thread(target=sink)
    thread.start()
    config = folder / "seston.toml"
    config.write_text(CONFIG.format(frames=frames, port=os.ttyname(instrument)))
    try:
        yield config
    finally:
        ended.set()
        thread.join()
        os.close(host)
        os.close(instrument)


def wait_for_frames(log, n):
    deadline = time.monotonic() + 60
    while True:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"file:{log}?mode=ro", uri=True)) as db,
        ):
            if db.execute("SELECT COUNT(*) FROM frames").fetchone()[0] >= n:
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def rows(browser, table):
    """First and last cell of every row of a table, as numbers where they are counts."""
    cells = (
        f"[...document.querySelectorAll('{table} tbody tr')].map((row) => [...row.cells])"
        ".map((cells) => [cells[0].innerText.trim(), cells[cells.length - 1].innerText])"
    )
    return {name: int(n.replace(",", "")) for name, n in browser.value(cells)}


@pytest.mark.board
@pytest.mark.slow
def test_a_browser_sees_a_service_at_work_until_it_stops(tmp_path):
    log = tmp_path / "dives/00000/dive.sqlite"
    with (
        Browser(tmp_path / "profile") as browser,
        sinking(tmp_path) as config,
        monitoring(tmp_path) as url,
        running(config, tmp_path) as service,
    ):
        wait_for_frames(log, 4)
        assert not live_folder(tmp_path).exists(), "nobody looks: nothing is shown"

        browser.open(url)
        browser.until("document.querySelectorAll('#overlay rect').length > 0")
        for _ in range(3):  # what is drawn over a picture belongs to it, whatever frame it is
            browser.until(
                "shown.frame.particles.length > 0 && picture.naturalWidth === 400 && (window.drawn ="
                " [shown.frame.particles.length, document.querySelectorAll('#overlay rect').length,"
                " document.getElementById('frame-facts').innerText.includes(`frame ${shown.frame.frame} `),"
                " document.querySelectorAll('#overlay circle').length, shown.frame.regions.length,"
                " shown.frame.frame])"
            )
            drawn = browser.value("drawn")
            assert drawn[0] == drawn[1] > 0
            assert drawn[2]
            assert drawn[3] == drawn[4] - drawn[0]
            browser.until(f"shown.frame.frame > {drawn[5]}")
        assert browser.value("document.getElementById('scale').textContent") == "5 mm"
        browser.until("document.querySelector('#overlay text').textContent.match(/^.+ [0-9.]+$/)")
        assert browser.value("document.getElementById('platform').textContent") == "float 17"
        browser.until("document.getElementById('state').textContent === 'descent'")
        browser.until("document.getElementById('pressure').textContent.endsWith('dbar')")

        # Frames in trouble are shown as such, with a picture or without.
        browser.until("document.querySelector('#culprit .outcome').textContent === 'over-exposed'")
        browser.until("document.querySelector('#culprit img').naturalWidth === 400")
        browser.until(
            "document.querySelector('#frame .outcome.trouble')?.textContent === 'corrupt'"
            " && document.getElementById('nothing').innerText === 'No picture: this frame is corrupt.'"
            " && document.getElementById('frame-count').innerText.startsWith('Nobody looked')"
        )

        browser.resize(390, 844)
        assert browser.value("document.documentElement.scrollWidth") <= 390, "it must not scroll sideways"
        browser.resize(1400, 1000)

        assert "the next start goes on with it" in stop(service)
        browser.until("document.getElementById('alarms').innerText.includes('seston run has stopped')")
        browser.until("document.getElementById('alarms').innerText.includes('no frame for')")
        browser.until("document.querySelector('#stack').classList.contains('old')")
        assert browser.value("document.getElementById('pressure').textContent") == ""
        with DiveLog.open(log) as found:
            outcomes = [record.outcome for record in found.records()]
            taxa = [found.meta("codebook")["taxa"][one.taxon]["label"] for one in found.particles()]
        browser.until(f"document.querySelectorAll('#recent b').length === 40 || {len(outcomes)} < 40")
        assert rows(browser, "#outcomes") == {
            one.label: outcomes.count(one) for one in FrameOutcome if one in outcomes
        }
        assert rows(browser, "#taxa") == {one: taxa.count(one) for one in set(taxa)}
        assert browser.complaints == []
    assert not live_folder(tmp_path).exists(), "the monitor leaves nothing behind"


@pytest.fixture
def shown(tmp_path):
    """A folder with a dive whose names are hostile, and what an instrument showed of it."""
    make_dive(tmp_path, nasty=NASTY)
    with sqlite3.connect(tmp_path / "dive.sqlite") as db:
        ((book,),) = db.execute("SELECT value FROM meta WHERE key = 'codebook'")
        book = json.loads(book)
        book["platform"] = NASTY
        book["taxa"][0]["label"] = NASTY
        db.execute("UPDATE meta SET value = ? WHERE key = 'codebook'", (json.dumps(book),))
        db.execute("UPDATE frames SET note = ? WHERE outcome > 2", (NASTY,))
    db.close()
    place = live_folder(tmp_path)
    ask(place)
    yield tmp_path, place
    shutil.rmtree(place, ignore_errors=True)


FRAME_OF = LiveFrame(
    written_s=99.0, frame=3, time_ms=0, pressure_dbar=None, phase="descent", outcome="analysed", note="",
    lit=True, source="", sharpness=0.2, dirt=0, unnamed=0, optics=OPTICS, n_regions=0, regions=(),
    particles=(), height_px=0, width_px=0,
)  # fmt: skip


def show(folder, name=FRAME, **changes):
    """Leave a frame as an instrument would; returns it."""
    live = Live(folder, [])
    told = {
        "written_s": time.monotonic(), "pressure_dbar": 12.5, "note": "", "n_regions": 1,
        "regions": ((10, 20, 30, 40, 700),),
        "particles": (LiveParticle(10, 20, 30, 40, 2000, "copepod", "copepod", 0.9),),
        "height_px": 300, "width_px": 400,
    } | changes  # fmt: skip
    frame = msgspec.structs.replace(FRAME_OF, **told)
    live._write(name, frame, scene(0) if frame.width_px else None)
    return frame


@pytest.mark.board
def test_hostile_words_stay_words_and_a_monitor_without_a_service_says_so(shown, tmp_path_factory):
    folder, _ = shown
    hostile = LiveParticle(10, 20, 30, 40, 2000, NASTY, NASTY + "?", 0.9)
    with Browser(tmp_path_factory.mktemp("profile")) as browser, monitoring(folder) as url:
        show(
            folder, particles=(hostile,), note=NASTY, phase=NASTY, outcome=NASTY,
            written_s=time.monotonic() - 4,
        )  # fmt: skip
        live = Live(folder, [])
        live.listen(lambda sentence: None)(NASTY)
        live.tell(lambda: LiveState(state=NASTY))
        browser.open(url)
        browser.until("document.querySelectorAll('#overlay rect').length === 1")
        said = browser.value("document.body.textContent")
        assert said.count(NASTY) > 8
        for place_of in (
            "#overlay text",
            "#particles td",
            "#taxa td",
            "#frame-facts",
            "#platform",
            "#trouble",
            "#said",
            "#state",
        ):
            assert NASTY in browser.value(f"document.querySelector({place_of!r}).textContent"), place_of
        assert browser.value(
            "[window.hit, document.querySelectorAll('img').length, document.scripts.length]"
        ) == [None, 1, 1]
        # What it showed is some seconds old now, and nobody makes it new.
        browser.until("document.getElementById('alarms').innerText.includes('no frame for')")
        browser.until("document.querySelector('#stamp').innerText.startsWith('old: ')")
        assert browser.complaints == []


@pytest.mark.board
def test_a_folder_where_nothing_has_happened_is_said_to_be_one(tmp_path, monkeypatch):
    monitor = Monitor(tmp_path, tmp_path / "dives")
    try:
        told = {one["name"]: (one["status"], one["message"]) for one in monitor.look()["checks"]}
        assert told["service"] == ("-", "asked; it answers within some seconds")
        assert told["log"] == ("-", "there is no dive in this folder yet")
        assert (live_folder(tmp_path) / WANTED).exists()
        now_s = time.monotonic()
        monkeypatch.setattr(state.time, "monotonic", lambda: now_s + 7)
        later = monitor.look()
        told = {one["name"]: (one["status"], one["message"]) for one in later["checks"]}
        assert told["service"][0] == "BAD"
        assert "none is at work in this folder" in told["service"][1]
        assert later["frame"] is later["dive"] is later["state"] is None
        json.dumps(later, allow_nan=False)
    finally:
        monitor.close()
    assert not live_folder(tmp_path).exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.board
def test_a_torn_frame_leaves_the_one_before_it(shown, monkeypatch):
    folder, place = shown
    monkeypatch.setattr(state, "AGAIN_S", -1.0)
    monitor = Monitor(folder, folder)
    show(folder, frame=3)
    assert monitor.look()["frame"]["frame"] == 3
    show(folder, frame=4)
    data = (place / FRAME).read_bytes()
    for torn in (data[:9], data[:200], data[:-1], b"", data + b"\0"):
        (place / FRAME).write_bytes(torn)
        assert monitor.look()["frame"]["frame"] == 3
    (place / FRAME).write_bytes(data)
    seen = monitor.look()["frame"]
    assert seen["frame"] == 4
    picture = cv2.imdecode(np.frombuffer(monitor.picture(seen["key"]).jpeg(is_whole=False), np.uint8), 0)
    assert np.abs(picture.astype(int) - scene(0)).mean() < 3
    show(
        folder,
        TROUBLE,
        frame=5,
        outcome="corrupt",
        width_px=0,
        height_px=0,
        regions=(),
        particles=(),
        n_regions=None,
    )
    seen = monitor.look()
    assert (seen["frame"]["frame"], seen["frame"]["key"], seen["trouble"]["frame"]) == (5, None, 5)
    show(folder, frame=6)
    seen = monitor.look()
    assert (seen["frame"]["frame"], seen["trouble"]["frame"]) == (6, 5)
    show(folder, frame=7, written_s=time.monotonic() + 1e6)  # of another run of the machine
    assert monitor.look()["frame"]["frame"] == 6


@pytest.mark.board
def test_a_large_frame_is_reduced_unless_every_pixel_is_wanted():
    picture = state.Picture(np.full((1000, 2000), 90, np.uint8))
    sizes = [cv2.imdecode(np.frombuffer(picture.jpeg(is_whole=w), np.uint8), 0).shape for w in (False, True)]
    assert sizes == [(640, 1280), (1000, 2000)]


# --- the server


@pytest.fixture
def served(shown):
    folder, _ = shown
    monitor = Monitor(folder, folder)
    server = Server(monitor, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def get(port, path="/", host=None, method="GET"):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as line:
        line.putrequest(method, path, skip_host=True)
        if host != "":
            line.putheader("Host", host or f"127.0.0.1:{port}")
        line.endheaders()
        answer = line.getresponse()
        return answer.status, answer.read(), answer.headers


@pytest.mark.board
@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "10.0.0.7", "", "[", "localhost.evil"],
)
def test_a_page_of_another_name_gets_nothing(served, host):
    status, body, _ = get(served[1], "/state.json", host)
    assert status == 403
    assert b"copepod" not in body


@pytest.mark.board
@pytest.mark.parametrize("host", ["localhost:9999", "LOCALHOST", "127.0.0.1", "[::1]:8765"])
def test_a_tunnel_may_have_another_port(served, host):
    assert get(served[1], "/state.json", host)[0] == 200


@pytest.mark.board
def test_it_is_only_read_and_no_address_names_a_file(served):
    folder, port = served
    before = sorted(folder.iterdir())
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
        assert get(port, "/state.json", method=method)[0] == 501
    for path in (
        "/dive.sqlite",
        "/../dive.sqlite",
        "/frame.jpg?key=../dive.sqlite",
        "/frame.jpg",
        "//etc/passwd",
        "/%2e%2e/x",
    ):
        assert get(port, path)[0] == 404
    status, page, headers = get(port)
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers
    assert b"http" not in page.replace(b"http://www.w3.org/2000/svg", b""), "it asks nothing of any network"
    assert sorted(folder.iterdir()) == before


@pytest.mark.board
def test_others_are_served_only_when_that_is_asked_for(tmp_path):
    process = seston_monitor(tmp_path, "--port", 0, "--listen", "127.0.0.2", stderr=subprocess.PIPE)
    assert process.stdout.readline().startswith("http://127.0.0.2:")
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert "WARNING: whoever reaches 127.0.0.2 sees this page" in said
    with monitoring(tmp_path) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(OSError):
            http.client.HTTPConnection("127.0.0.2", port, timeout=5).connect()


@pytest.mark.board
def test_what_cannot_be_served_is_a_sentence(tmp_path):
    with monitoring(tmp_path) as url:
        port = url.rpartition(":")[2]
        process = seston_monitor(tmp_path, "--port", port, stderr=subprocess.PIPE)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert f"--port: is {port}, which cannot be had on 127.0.0.1" in said
    process = seston_monitor(tmp_path / "nowhere", stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "nowhere: is no folder; name the folder of seston run" in said
