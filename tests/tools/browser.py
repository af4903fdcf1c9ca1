"""A real Chromium for tests: see `tools.bench.chromium`."""

from __future__ import annotations

import pytest

from edge.errors import InputError
from tools.bench.chromium import Chromium


class Browser(Chromium):
    """One page of a browser; skips where there is none."""

    def __init__(self, profile, width=1400, height=1000):
        try:
            super().__init__(profile, width, height)
        except InputError:
            pytest.skip("needs a Chromium to look at the page with, and none is installed")
