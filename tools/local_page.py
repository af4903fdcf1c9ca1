"""A page for browsers on this machine: what every such server of seston has. What is on it, is others'.

No address of a request ever names a file. A page of another site that has its name point here (DNS rebinding)
is refused by the name it asks for.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import signal
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

LOCAL = ("127.0.0.1", "localhost", "::1")


class LocalServer(ThreadingHTTPServer):
    """Listens at once.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    handler
        Answers requests.
    package, stem
        Where the page is: `stem`.html, .css and .js.

    Raises
    ------
    OSError
        When the port cannot be had.
    """

    daemon_threads = True
    request_queue_size = 16

    def __init__(self, host: str, port: int, handler: type[LocalHandler], package: str, stem: str) -> None:
        self.name = host
        self.page, self.policy = read_page(package, stem)
        super().__init__((host, port), handler)

    def may_ask(self, named: str) -> bool:
        """Whether a request may name this host: by an address, by the name that was given, or localhost."""
        name = (urlsplit(f"//{named}").hostname or "") if named else ""
        if name in LOCAL or name == self.name.lower():
            return True
        return self.name not in LOCAL and _is_address(name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that has gone is no error."""

    def end_on_signals(self) -> None:
        """Ctrl-C and SIGTERM end `serve_forever`."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=self.shutdown).start())


class LocalHandler(BaseHTTPRequestHandler):
    """Refuses what is not asked for by the right name; answers with what lets nothing else run."""

    server: LocalServer
    timeout = 30
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "seston", ""

    def is_named_rightly(self) -> bool:
        """Whether the request names this host; it is answered when it does not."""
        try:
            if self.server.may_ask(self.headers.get("Host", "")):
                return True
        except ValueError:
            pass
        text = b"This page is asked for as localhost or 127.0.0.1.\n"
        self.answer(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", text)
        return False

    def answer(self, status: HTTPStatus, kind: str, body: bytes, cache: str = "no-store") -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", cache)
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not a word for each request."""


def read_page(package: str, stem: str) -> tuple[bytes, str]:
    """A page with its style and script in it, and the policy that lets nothing else run."""
    here = files(package)
    page, style, script = (
        (here / f"{stem}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")
    )
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
