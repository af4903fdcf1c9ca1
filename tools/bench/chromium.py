"""A real Chromium, led over a pair of pipes (Chrome DevTools Protocol): no port, no package.

For benchmarks of pages, and for their tests.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Self

from edge.errors import InputError

NAMES = ("chromium", "chromium-browser", "google-chrome")


class Chromium:
    """One page of a browser.

    Attributes
    ----------
    complaints
        What the page said on its console as a warning or an error, and what it threw.
    requests
        Every address that the page asked for.

    Raises
    ------
    InputError
        When no Chromium is installed.
    """

    def __init__(self, profile: Path, width: int = 1400, height: int = 1000) -> None:
        name = next(filter(None, map(shutil.which, NAMES)), None)
        if name is None:
            raise InputError("is not installed", field="chromium", remedy="install Chromium or Chrome")
        theirs, self._out = (_above_ten(one) for one in os.pipe())
        self._in, answers = (_above_ten(one) for one in os.pipe())
        command = [
            name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--hide-scrollbars", f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank",
        ]  # fmt: skip
        # The browser reads from its file 3 and writes to its file 4.
        shell = f'exec "$@" 3<&{theirs} 4>&{answers} {theirs}<&- {answers}>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "browser", *command], pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(answers)
        self._numbers, self._data = itertools.count(1), b""
        self._session: str | None = None
        self.complaints: list[Any] = []
        self.requests: list[str] = []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.do("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._in)
        os.close(self._out)

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its answer."""
        number = next(self._numbers)
        call = {"id": number, "method": method, "params": parameters}
        if self._session is not None and not method.startswith(("Target.", "Browser.")):
            call["sessionId"] = self._session
        data = json.dumps(call).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while True:
            heard = self._hear()
            if heard.get("id") == number:
                assert "error" not in heard, heard["error"]
                result: dict[str, Any] = heard["result"]
                return result

    def resize(self, width: int, height: int) -> None:
        """Give the page a screen of this size."""
        self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip

    def open(self, url: str) -> None:
        """Go to a page."""
        self.do("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What an expression is on the page; promises are waited for."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str, timeout_s: float = 40.0) -> Any:
        """Wait until an expression is true on the page, looked at each time that the page has changed."""
        looked = f"""new Promise((done) => {{
            const begun = performance.now();
            const look = () => {{
                let found = false;
                try {{ found = {expression}; }} catch {{ found = false; }}
                if (found) done(true);
                else if (performance.now() - begun > {1000 * timeout_s}) done(null);
                else setTimeout(look, 50);
            }};
            look();
        }})"""
        found = self.value(looked)
        assert found, f"{expression} is not so; the page says {self.value('document.body.innerText')}"
        return found

    def screenshot(self, file: Path) -> None:
        """Keep a picture of the whole page."""
        taken = self.do("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def _hear(self) -> dict[str, Any]:
        deadline = time.monotonic() + 90
        while b"\0" not in self._data:
            left_s = deadline - time.monotonic()
            assert left_s > 0, "the browser says nothing"
            if select.select([self._in], [], [], left_s)[0]:
                piece = os.read(self._in, 1 << 20)
                assert piece, "the browser has ended"
                self._data += piece
        line, self._data = self._data.split(b"\0", 1)
        heard: dict[str, Any] = json.loads(line)
        method, told = heard.get("method"), heard.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"])
        if method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.complaints.append(told["args"])
        if method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        if method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"])
        return heard


def _above_ten(file: int) -> int:
    """The same file under a number that the shell does not give away: the browser's are 3 and 4."""
    moved = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(file)
    return moved
