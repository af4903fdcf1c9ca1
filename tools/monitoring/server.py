"""The monitor's web server: three things to get, nothing to change, for browsers on this machine."""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from tools.local_page import LocalHandler, LocalServer
from tools.monitoring.state import Monitor


class Server(LocalServer):
    """Listens at once.

    Parameters
    ----------
    monitor
        What is shown.
    host, port
        As `LocalServer` takes them; it raises the same.
    """

    def __init__(self, monitor: Monitor, host: str, port: int) -> None:
        self.monitor = monitor
        super().__init__(host, port, _Handler, "tools.monitoring", "monitor")


class _Handler(LocalHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802 so it is called
        if not self.is_named_rightly():
            return
        asked = urlsplit(self.path)
        match asked.path:
            case "/":
                self.answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
            case "/state.json":
                told = json.dumps(self.server.monitor.look(), separators=(",", ":"), allow_nan=False)
                self.answer(HTTPStatus.OK, "application/json", told.encode())
            case "/frame.jpg":
                wanted = parse_qs(asked.query)
                picture = self.server.monitor.picture(wanted.get("key", [""])[0])
                if picture is None:
                    self.answer(HTTPStatus.NOT_FOUND, "text/plain", b"This frame is gone.\n")
                else:
                    self.answer(HTTPStatus.OK, "image/jpeg", picture.jpeg(is_whole="whole" in wanted))
            case _:
                self.answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is nothing here.\n")
