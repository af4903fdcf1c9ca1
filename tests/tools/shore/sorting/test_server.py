"""What the server of the page refuses, and that a power cut loses no decision."""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import subprocess
import threading

import pytest

from tests.tools.shore.sorting.made import typed
from tools.shore.sorting.server import MOST_BYTES, Server
from tools.shore.sorting.work import Work


@pytest.fixture
def server(work_file):
    with contextlib.closing(Server(work_file, "anna", "127.0.0.1", 0)) as found:
        found.close = found.server_close
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()


def ask(server, method, path, body=None, **headers):
    port = server if isinstance(server, int) else server.server_address[1]
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as link:
        link.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = link.getresponse()
        return answer.status, answer.read(), answer.headers


def post(server, path, told, **headers):
    headers = {"Content_Type": "application/json"} | headers
    return ask(server, "POST", path, told if isinstance(told, bytes) else json.dumps(told), **headers)


def test_what_is_shown(server):
    status, page, headers = ask(server, "GET", "/")
    assert status == 200
    assert b"seston sort" in page
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    told = json.loads(ask(server, "GET", "/state.json")[1])
    assert (told["images"], told["step"], told["who"]) == (160, 0, "anna")
    status, data, headers = ask(server, "GET", "/vignette?n=1")
    assert (status, headers["Content-Type"], data[:4]) == (200, "image/png", b"\x89PNG")
    for path in ("/vignette?n=9999", "/vignette?n=x", "/../etc/passwd", "/cast.sort", "/offer"):
        assert ask(server, "GET", path)[0] == 404
    for path in ("/cluster.json?n=7", "/offer.json?n=x"):
        assert ask(server, "GET", path)[0] == 400


def test_decisions_and_those_of_a_page_that_is_behind(server):
    status, body, _ = post(server, "/cluster", {"step": 0})
    assert status == 200
    assert json.loads(body)["step"] == 1
    assert post(server, "/undo", {"step": 1})[0] == 200
    status, body, _ = post(server, "/cluster", {"step": 1})
    assert (status, body) == (409, b"Something was decided elsewhere: look again.")


@pytest.mark.parametrize(
    ("path", "told", "headers", "status"),
    [
        ("/undo", {"step": 0}, {"Host": "evil.example"}, 403),
        ("/undo", {"step": 0}, {"Content_Type": "text/plain"}, 403),
        ("/undo", {"step": 0}, {"Sec_Fetch_Site": "cross-site"}, 403),
        ("/undo", b"{", {}, 400),
        ("/undo", [], {}, 400),
        ("/undo", {"step": 0, "data": []}, {}, 400),
        ("/undo", b"x", {"Content_Length": str(MOST_BYTES + 1)}, 400),
        ("/accept", {"step": 0, "data": {"cluster": 5}}, {}, 400),
        ("/accept", {"step": 0, "data": {"number": 5}}, {}, 400),
        ("/halve", {"step": 0, "data": {"cluster": []}}, {}, 400),
        ("/grow", {"step": 0, "data": {"cluster": 0, "images": "all", "refused": []}}, {}, 400),
        ("/nonsense", {"step": 0}, {}, 409),
    ],
)
def test_what_is_refused(server, work_file, path, told, headers, status):
    assert post(server, path, told, **headers)[0] == status
    with Work.open(work_file) as work:
        assert work.history() == []


def test_a_decision_that_was_answered_survives_a_kill(work_file):
    command = typed("sort", "serve", work_file, "--port", 0, "--who", "bert")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        port = int(process.stdout.readline().split()[0].rpartition(":")[2])
        assert post(port, "/cluster", {"step": 0})[0] == 200
        assert post(port, "/reject", {"step": 1, "data": {"cluster": 0}})[0] in (200, 400)
        wanted = json.loads(ask(port, "GET", "/state.json")[1])["step"]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    with Work.open(work_file) as work:
        assert len(work.history()) == wanted >= 1
        assert {who for _, _, who, *_ in work.history()} == {"bert"}


def test_a_port_that_is_taken_is_a_sentence(server, work_file, tmp_path):
    port = server.server_address[1]
    done = subprocess.run(
        typed("sort", "serve", work_file, "--port", port), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"--port: is {port}, which cannot be had" in done.stderr
