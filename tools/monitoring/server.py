"""The monitor's web server: three things to get, nothing to change, for browsers on this machine.

No address of a request ever names a file. A page of another site that has its name point here (DNS rebinding)
is refused by the name it asks for.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tools.monitoring.state import Monitor

LOCAL = ("127.0.0.1", "localhost", "::1")


class Server(ThreadingHTTPServer):
    """Listens at once.

    Parameters
    ----------
    monitor
        What is shown.
    host, port
        Where to listen; port 0 takes a free one.

    Raises
    ------
    OSError
        When the port cannot be had.
    """

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, monitor: Monitor, host: str, port: int) -> None:
        self.monitor, self.name = monitor, host
        self.page, self.policy = _page()
        super().__init__((host, port), _Handler)

    def may_ask(self, named: str) -> bool:
        """Whether a request may name this host: by an address, by the name that was given, or localhost."""
        name = (urlsplit(f"//{named}").hostname or "") if named else ""
        if name in LOCAL or name == self.name.lower():
            return True
        return self.name not in LOCAL and _is_address(name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Server
    timeout = 30
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "seston", ""

    def do_GET(self) -> None:
        if not self._is_named_rightly():
            text = b"This page is asked for as localhost or 127.0.0.1.\n"
            self._answer(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", text)
            return
        asked = urlsplit(self.path)
        match asked.path:
            case "/":
                self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
            case "/state.json":
                told = json.dumps(self.server.monitor.look(), separators=(",", ":"), allow_nan=False)
                self._answer(HTTPStatus.OK, "application/json", told.encode())
            case "/frame.jpg":
                wanted = parse_qs(asked.query)
                picture = self.server.monitor.picture(wanted.get("key", [""])[0])
                if picture is None:
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"This frame is gone.\n")
                else:
                    self._answer(HTTPStatus.OK, "image/jpeg", picture.jpeg(is_whole="whole" in wanted))
            case _:
                self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is nothing here.\n")

    def _is_named_rightly(self) -> bool:
        try:
            return self.server.may_ask(self.headers.get("Host", ""))
        except ValueError:
            return False

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not a word for each request."""


def _page() -> tuple[bytes, str]:
    """The page with its style and script in it, and the policy that lets nothing else run."""
    here = files("tools.monitoring")
    style, script = ((here / name).read_text(encoding="utf-8") for name in ("monitor.css", "monitor.js"))
    page = (here / "monitor.html").read_text(encoding="utf-8")
    page = page.replace("/*style*/", style).replace("/*script*/", script)
    policy = (
        f"default-src 'none'; img-src 'self' data:; connect-src 'self'; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
