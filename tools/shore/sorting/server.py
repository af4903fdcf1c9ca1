"""The page of `seston sort serve`, for browsers on this machine: what it shows, and the decisions it sends.

A decision is a POST of JSON that names the step it was made at: a page that is behind is told so. Another
site's page cannot send one (a browser asks first before it sends JSON elsewhere, and is not answered).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from edge.errors import SestonError
from tools.local_page import LocalHandler, LocalServer
from tools.shore.sorting.session import MAY_DECIDE, Session

MOST_BYTES = 1 << 22
"""Of a decision: room for some hundred thousand images."""
T = TypeVar("T")


class Server(LocalServer):
    """Listens at once; all of the session happens in one thread of its own.

    Parameters
    ----------
    path
        The work file.
    who
        Who decides.
    host, port
        As `LocalServer` takes them.

    Raises
    ------
    InputError
        When it is no work file; OSError as `LocalServer` does.
    """

    def __init__(self, path: Path, who: str, host: str, port: int) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._opened = Session.open(path, who)
        try:
            self.session = self.do(self._opened.__enter__)
            super().__init__(host, port, _Handler, "tools.shore.sorting", "sort")
        except BaseException:
            self._thread.shutdown()
            raise

    def do(self, what: Callable[[], T]) -> T:
        """Do it in the session's thread, one after the other."""
        return self._thread.submit(what).result()

    def server_close(self) -> None:
        """Close port and work file."""
        super().server_close()
        self.do(lambda: self._opened.__exit__(None, None, None))
        self._thread.shutdown()


class _Handler(LocalHandler):
    server: Server

    def do_GET(self) -> None:  # noqa: N802 so it is called
        if not self.is_named_rightly():
            return
        session = self.server.session
        asked = urlsplit(self.path)
        wanted = {key: values[0] for key, values in parse_qs(asked.query).items()}
        try:
            number, start = int(wanted.get("n", "-1")), max(0, int(wanted.get("start", "0")))
        except ValueError:
            number, start = -1, 0
        match asked.path:
            case "/":
                self.answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)
            case "/state.json":
                self._tell(session.overview)
            case "/cluster.json":
                self._tell(lambda: session.look_at(number, start))
            case "/offer.json":
                self._tell(lambda: session.offer(number, start))
            case "/vignette":
                found = self.server.do(lambda: session.picture(number))
                if found is None:
                    self.answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is no such image.\n")
                else:  # an image never changes
                    self.answer(HTTPStatus.OK, *found, cache="private, max-age=86400")
            case _:
                self.answer(HTTPStatus.NOT_FOUND, "text/plain", b"There is nothing here.\n")

    def do_POST(self) -> None:  # noqa: N802 so it is called
        if not self.is_named_rightly():
            return
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MOST_BYTES:
            self.close_connection = True
            self._refuse(HTTPStatus.BAD_REQUEST, "That is too long, or of no length.")
            return
        body = self.rfile.read(int(length))
        is_ours = self.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none")
        if self.headers.get_content_type() != "application/json" or not is_ours:
            self._refuse(HTTPStatus.FORBIDDEN, "Only the page itself decides.")
            return
        try:
            asked = json.loads(body)
            step, data = asked["step"], asked.get("data", {})
            if not isinstance(data, dict):
                raise TypeError
        except (ValueError, TypeError, KeyError, AttributeError):
            self._refuse(HTTPStatus.BAD_REQUEST, "That is no decision.")
            return
        self._tell(lambda: self._decide(urlsplit(self.path).path, step, data))

    def _decide(self, path: str, step: int, data: dict[str, Any]) -> dict[str, Any]:
        session = self.server.session
        if step != session.step:
            raise BehindError
        kind, said = path.removeprefix("/"), ""
        match kind:
            case "undo":
                said = "" if session.undo() else "There is nothing to undo."
            case "cluster":
                n = session.cluster()
                said = f"{n} clusters found." if n else "No cluster of this size is left."
            case "halve":
                session.halve(data.get("cluster", -1))
            case "arrange":
                n = session.arrange()
                said = f"{n} groups made." if n else "There is nothing to arrange."
            case "near":
                n = session.grow_near(data.get("cluster", -1))
                said = f"{n} added." if n else "Nothing is near enough."
            case _ if kind in MAY_DECIDE:
                session.decide(kind, data)
            case _:
                raise BehindError
        return session.overview() | {"said": said}

    def _tell(self, what: Callable[[], dict[str, Any]]) -> None:
        try:
            told = self.server.do(what)
        except BehindError:
            self._refuse(HTTPStatus.CONFLICT, "Something was decided elsewhere: look again.")
        except SestonError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        else:
            body = json.dumps(told, separators=(",", ":"), allow_nan=False).encode()
            self.answer(HTTPStatus.OK, "application/json", body)

    def _refuse(self, status: HTTPStatus, sentence: str) -> None:
        self.answer(status, "text/plain; charset=utf-8", sentence.encode())


class BehindError(Exception):
    """A page decides on what it has not seen."""
