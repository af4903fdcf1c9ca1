"""A real Chromium for tests, led over a pair of pipes (Chrome DevTools Protocol): no port, no package."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


class Browser:
    """One page of a browser; skips where there is none."""

    def __init__(self, profile, width=1400, height=1000):
        name = next(filter(None, map(shutil.which, NAMES)), None)
        if name is None:
            pytest.skip("needs a Chromium to look at the page with, and none is installed")
        theirs, self._out = os.pipe()
        self._in, answers = os.pipe()
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
        self._numbers, self._data, self._session = itertools.count(1), b"", None
        self.complaints = []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")
        self.resize(width, height)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.do("Browser.close")
        self._process.wait(timeout=30)
        os.close(self._in)
        os.close(self._out)

    def do(self, method, **parameters):
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
                return heard["result"]

    def resize(self, width, height):
        """Give the page a screen of this size."""
        self.do(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip

    def open(self, url):
        """Go to a page."""
        self.do("Page.navigate", url=url)

    def value(self, expression):
        """What an expression is on the page; promises are waited for."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression, timeout_s=40.0):
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

    def screenshot(self, file):
        """Keep a picture of the whole page."""
        taken = self.do("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def _hear(self):
        deadline = time.monotonic() + 90
        while b"\0" not in self._data:
            left_s = deadline - time.monotonic()
            assert left_s > 0, "the browser says nothing"
            if select.select([self._in], [], [], left_s)[0]:
                piece = os.read(self._in, 1 << 20)
                assert piece, "the browser has ended"
                self._data += piece
        line, self._data = self._data.split(b"\0", 1)
        heard = json.loads(line)
        method, told = heard.get("method"), heard.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(told["exceptionDetails"])
        if method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning"):
            self.complaints.append(told["args"])
        if method == "Log.entryAdded" and told["entry"]["level"] == "error":
            self.complaints.append(told["entry"])
        return heard
