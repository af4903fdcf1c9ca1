"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Timings never decide a test: an example takes as long as it takes.
hypothesis.settings.register_profile("seston", deadline=None)
hypothesis.settings.load_profile("seston")

# Tests run side by side: a network in training must not take every core from a test that has a clock.
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, with the reason, what takes minutes and was not asked for."""
    if "flash" in config.option.markexpr:
        return
    for item in items:
        if item.get_closest_marker("flash"):
            item.add_marker(pytest.mark.skip(reason="takes minutes: make test-flash, or pytest -m flash"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and references beside the checkout; skips where there is none."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("needs the real data in ../shared, which is not beside this checkout")
    return folder
